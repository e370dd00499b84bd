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


@dataclass
class Side:
    """One side at work."""

    host: PrivateHost
    directory: Path
    engine: bool
    namespaces: int = 0

    def prepare(self, case: Case, numbers: range) -> None:
        """Namespaces and devices for these containers; not part of any figure."""
        missing = range(self.namespaces, numbers.stop)
        if missing:
            self.host.ask("namespaces", names=[f"c{number}" for number in missing])
            self.namespaces = numbers.stop
        if case.name.startswith("host-device"):
            for number in numbers:
                device = host_device(number)
                self.host.run([_IP, "link", "add", device, "type", "veth", "peer", "name", f"p{device}"])

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
        if self.engine:
            self.host.ask("exchange", **ours.SYNC)

    def has(self, driver: str) -> bool:
        """Whether the kernel makes such a device."""
        if driver == "tun":
            words = [_IP, "tuntap", "add", "probe", "mode", "tap"]
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
        host.run([_IP, "link", "add", WIRE, "type", "veth", "peer", "name", "outside"])
        for device in (WIRE, "outside"):
            host.run([_IP, "link", "set", device, "up"])
        if ours_or_reference == "reference":
            yield Side(host, reference(), engine=False)
        else:
            directory = ours.install(host, python_launcher=False)
            ours.start_engine(host)
            yield Side(host, directory, engine=True)
