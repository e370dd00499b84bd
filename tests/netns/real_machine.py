"""A host of private namespaces on which plugins run through the real dispatcher: the host itself, containers, and a
neighbour outside that reaches the host over a wire."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pycni.firewall.firewall import Firewall
from pycni.invoke import LAUNCHER_MARK
from pycni.kernel.namespace import Namespace
from pycni.settings import Settings
from pycni.skeleton import Answer, Host, serve
from pycni_plugins import NAMES, load

SECONDS = 3.0
"""How long traffic that is expected may take."""

SILENCE = 0.3
"""How long to listen for traffic that must not come."""


class RealMachine:
    """`host` is the host's namespace, `outside` the neighbour's (192.0.2.2 and fd99::2, the host has .1 and ::1)."""

    def __init__(self, netns: Callable[[], Any], directory: Path) -> None:
        self.make = netns
        self.host = netns()
        self.outside = netns()
        self.directory = directory / "machine"
        self.bin = self.directory / "bin"
        self.bin.mkdir(parents=True)
        for name in NAMES:
            (self.bin / name).write_bytes(LAUNCHER_MARK)
        self.settings = Settings(
            run_dir=str(self.directory / "run"),
            tuning_allowlist=str(self.directory / "allowlist.conf"),
            system_bus=str(self.directory / "bus"),
        )
        self.namespace: Namespace = self.host.namespace()
        self.firewall = Firewall(self.namespace, self.settings.run_dir)
        self._wire()

    def _wire(self) -> None:
        self.host.run(["ip", "link", "set", "lo", "up"])
        self.host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "name", "lan", "netns", self.outside.path])
        for space, device, last in ((self.host, "wan", 1), (self.outside, "lan", 2)):
            space.run(["ip", "addr", "add", f"192.0.2.{last}/24", "dev", device])
            space.run(["ip", "addr", "add", f"fd99::{last}/64", "dev", device, "nodad"])
            space.run(["ip", "link", "set", device, "up"])
        self.outside.run(["ip", "link", "set", "lo", "up"])

    def close(self) -> None:
        self.firewall.close()

    def call(
        self,
        plugin: str,
        command: str,
        config: Mapping[str, Any],
        netns: str,
        container_id: str = "c1",
        ifname: str = "eth0",
        **environment: str,
    ) -> Answer:
        variables = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(self.bin),
            **environment,
        }
        host = Host(
            self.namespace,
            self.firewall,
            Namespace.open,
            self.settings,
            lambda name: load(name) if name in NAMES else None,
        )
        stdin = json.dumps(config).encode()
        return serve(load(plugin), variables, lambda: stdin, host)

    def ok(self, plugin: str, command: str, config: Mapping[str, Any], netns: str, **options: Any) -> Any:
        """A successful call's result, None when it prints nothing."""
        answer = self.call(plugin, command, config, netns, **options)
        assert answer.status == 0, f"{plugin} {command}: {answer.stdout.decode()} {answer.stderr.decode()}"
        return json.loads(answer.stdout) if answer.stdout else None

    def error(self, plugin: str, command: str, config: Mapping[str, Any], netns: str, **options: Any) -> Any:
        """A failed call's error object."""
        answer = self.call(plugin, command, config, netns, **options)
        assert answer.status == 1, f"{plugin} {command} succeeded: {answer.stdout.decode()}"
        return json.loads(answer.stdout)

    def snapshot(self, *spaces: Any) -> dict[str, Any]:
        """Devices, addresses, routes, rules and files, comparable; the neighbour discovery's timers left out."""
        found: dict[str, Any] = {"files": self.files()}
        for number, space in enumerate((self.host, *spaces)):
            shown = json.loads(space.run(["ip", "-j", "-d", "addr"]).stdout)
            found[f"links {number}"] = {
                each["ifname"]: (
                    sorted(set(each["flags"]) & {"UP", "PROMISC", "ALLMULTI"}),
                    each["mtu"],
                    each.get("address"),
                    each.get("ifalias"),
                    sorted(f"{one['local']}/{one['prefixlen']}" for one in each["addr_info"] if one["scope"] != "link"),
                )
                for each in shown
            }
            routes = space.run(["ip", "route", "show", "table", "all"]).stdout.splitlines()
            found[f"routes {number}"] = sorted(
                each.replace(" linkdown", "") for each in routes if not _comes_by_itself(each)
            )
        rules = self.host.run(["nft", "list", "ruleset"]).stdout
        found["nft"] = re.sub(r"packets \d+ bytes \d+", "packets", rules)
        return found

    def files(self) -> dict[str, bytes]:
        """The files plugins keep, but for those that stay by contract (3.6) and the firewall's lock."""
        return {
            str(path.relative_to(self.directory)): path.read_bytes()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and not path.name.startswith(("last_reserved_ip.", "lock", "firewall-", "iptables-"))
        }


class Chain:
    """A network list: what a runtime does with it (contract 1.15), results handed from plugin to plugin."""

    def __init__(self, machine: RealMachine, plugins: Sequence[Mapping[str, Any]], version: str = "1.1.0") -> None:
        self.machine = machine
        self.plugins = plugins
        self.version = version
        self.results: dict[tuple[str, str], dict[str, Any]] = {}

    def _config(self, plugin: Mapping[str, Any], previous: Any, **extra: Any) -> dict[str, Any]:
        config = {**plugin, "name": "net", "cniVersion": self.version, **extra}
        return config if previous is None else {**config, "prevResult": previous}

    def add(self, netns: str, container_id: str = "c1", ifname: str = "eth0") -> dict[str, Any]:
        previous = None
        for plugin in self.plugins:
            config = self._config(plugin, previous)
            previous = self.machine.ok(plugin["type"], "ADD", config, netns, container_id=container_id, ifname=ifname)
        self.results[container_id, ifname] = cast("dict[str, Any]", previous)
        return self.results[container_id, ifname]

    def delete(self, netns: str, container_id: str = "c1", ifname: str = "eth0", with_result: bool = True) -> None:
        previous = self.results.get((container_id, ifname)) if with_result else None
        for plugin in reversed(self.plugins):
            config = self._config(plugin, previous)
            self.machine.ok(plugin["type"], "DEL", config, netns, container_id=container_id, ifname=ifname)

    def check(self, netns: str, container_id: str = "c1", ifname: str = "eth0") -> list[str]:
        """The errors' texts; none when all is as it was."""
        previous = self.results[container_id, ifname]
        errors = []
        for plugin in self.plugins:
            config = self._config(plugin, previous)
            answer = self.machine.call(plugin["type"], "CHECK", config, netns, container_id=container_id, ifname=ifname)
            if answer.status:
                errors.append(f"{plugin['type']}: {json.loads(answer.stdout)['msg']}")
        return errors

    def collect(self, *valid: tuple[str, str]) -> None:
        listed = [{"containerID": container_id, "ifname": ifname} for container_id, ifname in valid]
        for plugin in self.plugins:
            config = self._config(plugin, None, **{"cni.dev/valid-attachments": listed})
            self.machine.ok(plugin["type"], "GC", config, "", container_id="", ifname="")

    def status(self) -> list[str]:
        """The errors' codes and texts."""
        errors = []
        for plugin in self.plugins:
            answer = self.machine.call(plugin["type"], "STATUS", self._config(plugin, None), "")
            if answer.status:
                body = json.loads(answer.stdout)
                errors.append(f"{plugin['type']}: {body['code']} {body['msg']}")
        return errors


def _comes_by_itself(route: str) -> bool:
    """Routes the kernel adds in its own time: of link-local addresses and multicast, of IPv6 addresses themselves once
    duplicate detection is over (the addresses are compared), and anycast ones where packets are forwarded (which stays
    on, see ops.EnableForwarding)."""
    of_address = route.startswith("local ") and ":" in route
    return of_address or "fe80:" in route or route.startswith(("multicast ff00", "anycast"))


# --- traffic ---------------------------------------------------------------------------------------------------------


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(space: Any, target: str, seconds: float = SECONDS) -> bool:
    """Whether an ICMP echo is answered.  Repeated until the deadline: the first may be lost to address resolution."""
    six = ":" in target
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    request, reply = (128, 129) if six else (8, 0)
    token = os.urandom(8)
    with space.inside():
        raw = socket.socket(family, socket.SOCK_RAW, protocol)
    with raw:
        raw.setblocking(False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            body = struct.pack("!BBHHH", request, 0, 0, 7, 1) + token
            packet = body if six else body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
            try:
                raw.sendto(packet, (target, 0))
            except OSError:
                return False
            wait = min(time.monotonic() + 0.2, deadline)
            while (left := wait - time.monotonic()) > 0:
                raw.settimeout(left)
                try:
                    answer = raw.recv(2048)
                except TimeoutError:
                    break
                payload = answer if six else answer[(answer[0] & 15) * 4 :]
                if payload[0] == reply and payload[8:] == token:
                    return True
    return False


class Greeter:
    """A TCP or UDP server in a namespace that answers every caller with the address it saw."""

    def __init__(self, space: Any, family: int, kind: int, port: int) -> None:
        with space.inside():
            self._socket = socket.socket(family, kind)
        self._stream = kind == socket.SOCK_STREAM
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", port))
        if self._stream:
            self._socket.listen()
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._wake], [], [])
            if self._wake in ready:
                return
            if self._stream:
                connection, peer = self._socket.accept()
                with connection:
                    connection.sendall(peer[0].encode())
            else:
                _, peer = self._socket.recvfrom(64)
                self._socket.sendto(peer[0].encode(), peer)

    def __enter__(self) -> Greeter:
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._woken, b"x")
        self._thread.join()
        os.close(self._wake)
        os.close(self._woken)
        self._socket.close()


def greeting(space: Any, target: str, port: int, kind: int, seconds: float = SECONDS) -> str:
    """What the server at this address and port answers, "" when nobody does."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with space.inside():
        caller = socket.socket(family, kind)
    with caller:
        caller.settimeout(seconds)
        try:
            caller.connect((target, port))
            if kind == socket.SOCK_DGRAM:
                caller.send(b"hello")
            return caller.recv(64).decode()
        except OSError:
            return ""
