"""Ours and the reference's, each in a private host, and one container's ADD or DEL."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..chain import ours
from ..chain.contestants import PAUSE
from ..chain.peers import reference
from ..chain.private_host import ENVIRONMENT, BenchError, PrivateHost, private_host
from .cases import WIRE, Case, host_device, plugin_list

__all__ = ["Side", "side"]


_IP = shutil.which("ip") or "/sbin/ip"
_DNSMASQ = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
_OUTSIDE, _BETWEEN = "outside", "between"
_HELLO = b"CONNECT /_goRPC_ HTTP/1.0\n\n"
_SERVER = (
    *("--conf-file=/dev/null", "--port=0", f"--interface={_OUTSIDE}", "--bind-interfaces", "--user=root", "--no-ping"),
    *("--dhcp-authoritative", "--dhcp-range=10.91.1.0,10.91.200.255,1h", "--dhcp-option=3,10.91.0.1"),
    *("--dhcp-leasefile=/run/dhcp.leases", "--pid-file=/run/dnsmasq.pid"),
)
"""It goes into the background as soon as it listens."""


@dataclass
class Side:
    """One side at work."""

    host: PrivateHost
    directory: Path
    ours: bool
    namespaces: int = 0
    dhcp: bool = False

    def prepare(self, case: Case, numbers: range) -> None:
        """Namespaces and devices for these containers; not part of any figure."""
        self._prepare_namespaces(numbers)
        if case.plugin == "host-device":
            self._prepare_devices(numbers)
        if case.plugin == "dhcp" and not self.dhcp:
            self._start_dhcp()
            self.dhcp = True

    def _prepare_namespaces(self, numbers: range) -> None:
        missing = range(self.namespaces, numbers.stop)
        if missing:
            self.host.ask("namespaces", names=[f"c{number}" for number in missing])
            self.namespaces = numbers.stop

    def _prepare_devices(self, numbers: range) -> None:
        for number in numbers:
            device = host_device(number)
            self.host.run([_IP, "link", "add", device, "type", "veth", "peer", "name", f"p{device}"])

    def _start_dhcp(self) -> None:
        """The server behind the host's wire, and this side's daemon."""
        self.host.run([_IP, "address", "add", "10.91.0.1/16", "dev", _OUTSIDE])
        self.host.run([_DNSMASQ, *_SERVER])
        argv = [str(ours.COMMANDS / "pynetd"), "dhcp"] if self.ours else [str(self.directory / "dhcp"), "daemon"]
        self.host.ask(
            "service",
            argv=argv,
            environment=ENVIRONMENT,
            log=str(self.host.scratch / "dhcp.log"),
            socket="/run/cni/dhcp.sock",
            frame=_HELLO.hex(),
        )

    def prepare_moves(self, numbers: range) -> None:
        """Namespaces and devices for `move`."""
        self._prepare_namespaces(numbers)
        self._prepare_devices(numbers)
        if not self.ours:
            self.host.ask("namespaces", names=[_BETWEEN])

    def move(self, verb: str, number: int) -> float:
        """Seconds that the kernel needs to bring that container's device into its namespace, or back: the reference's
        way leads through a namespace in between."""
        way = ["", f"c{number}"] if self.ours else ["", _BETWEEN, f"c{number}"]
        way = way if verb == "ADD" else way[::-1]
        return float(self.host.ask("move", device=host_device(number), way=way, pause=PAUSE)["wall"])

    def call(self, case: Case, verb: str, number: int) -> float:
        """Seconds of the plugin the case is about; those before it are called, too."""
        namespace = f"/run/netns/c{number}"
        plugins = plugin_list(case, number)
        last = len(plugins) - 1
        environment = ENVIRONMENT | {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": f"{case.name.replace(', ', '-').replace(' ', '-')}-{number}",
            "CNI_NETNS": namespace,
            "CNI_IFNAME": "lo" if case.name == "loopback" else "eth0",
            "CNI_PATH": str(self.directory),
        }
        steps = [
            {"argv": [str(self.directory / plugin["type"])], "stdin": json.dumps(plugin), "spliced": True}
            for plugin in (plugins if verb == "ADD" else reversed(plugins))
        ]
        request: dict[str, Any] = {"id": f"c{number}", "adding": verb == "ADD", "environment": environment}
        walls = self.host.ask("chain", pause=PAUSE, steps=steps, **request)["walls"]
        return float(walls[last if verb == "ADD" else 0])

    def finish(self) -> None:
        """What the engine has put off is done."""
        if self.ours:
            self.host.ask("exchange", **ours.SYNC)

    def has(self, driver: str) -> bool:
        """Whether the kernel makes such a device."""
        if driver == "tun":
            words = [_IP, "tuntap", "add", "probe", "mode", "tap"]
        elif driver == "vlan_filtering":
            words = [_IP, "link", "add", "name", "probe", "type", "bridge", driver, "1"]
        else:
            more = {"ipvlan": ["link", WIRE], "vlan": ["link", WIRE]}.get(driver, [])
            tail = {"vlan": ["id", "2"], "vrf": ["table", "77"]}.get(driver, [])
            words = [_IP, "link", "add", *more, "name", "probe", "type", driver, *tail]
        try:
            self.host.run(words)
        except BenchError:
            return False
        self.host.run([_IP, "link", "delete", "probe"])
        return True


@contextlib.contextmanager
def side(ours_or_reference: str) -> Iterator[Side]:
    """`ours` with an engine, or `reference`."""
    with private_host() as host:
        host.run([_IP, "link", "add", WIRE, "type", "veth", "peer", "name", _OUTSIDE])
        for device in (WIRE, _OUTSIDE):
            host.run([_IP, "link", "set", device, "up"])
        if ours_or_reference == "reference":
            yield Side(host, reference(), ours=False)
        else:
            directory = ours.install(host, python_launcher=False)
            ours.start_engine(host)
            yield Side(host, directory, ours=True)
