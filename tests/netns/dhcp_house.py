"""A network with a real DHCP server (dnsmasq), the daemon under test, and containers on macvlan devices."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from launchers import PLAIN, ROOT
from plugin_callers import Caller
from reference_plugins import directory as reference_directory

from netd.dhcp import messages4

SECONDS = 10.0
"""How long anything that is expected may take."""

RANGE = ("--dhcp-range=192.0.2.10,192.0.2.99,2m", "--dhcp-authoritative")
RANGE6 = ("--dhcp-range=fd99::100,fd99::1ff,64,2m", "--enable-ra", "--ra-param=lan,5,600")
QUICK = ("--dhcp-option-force=58,1", "--dhcp-option-force=59,3")
"""Renewal after a second; dnsmasq gives no leases shorter than two minutes."""


def await_true(what: str, true: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Server:
    """dnsmasq on `lan`, 192.0.2.2 and fd99::2.  What it does is in `log`, what it gave in `leases`."""

    def __init__(self, space: Any, directory: Path, options: Sequence[str] = RANGE) -> None:
        self.space = space
        self.directory = directory / "server"
        self.directory.mkdir(exist_ok=True)
        self._process: subprocess.Popen[str] | None = None
        self.start(options)

    def start(self, options: Sequence[str] = RANGE) -> None:
        pid = self.directory / "pid"
        pid.unlink(missing_ok=True)
        words = [
            *("/usr/sbin/dnsmasq", "--conf-file=/dev/null", "--keep-in-foreground", "--port=0", "--no-ping"),
            *("--interface=lan", "--bind-interfaces", "--user=root", "--group=root", "--log-dhcp"),
            *(f"--dhcp-leasefile={self.directory}/leases", f"--log-facility={self.directory}/log"),
            *(f"--pid-file={pid}", *options),
        ]
        self._process = self.space.start(words, stdin=subprocess.DEVNULL)
        await_true("dnsmasq runs", lambda: pid.exists() or self._ended())

    def _ended(self) -> bool:
        assert self._process is not None and self._process.poll() is None, "dnsmasq ended"
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(SECONDS)
            self._process = None

    def leases(self) -> dict[str, str]:
        """Client ids (as hexadecimal digits) by address."""
        path = self.directory / "leases"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = [line.split() for line in lines if not line.startswith("duid")]
        return {row[2]: row[4].replace(":", "") for row in rows}

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""


class Brief:
    """A server whose leases last `seconds`, by our own codec; it gives 192.0.2.77 and then 192.0.2.78 and so on."""

    def __init__(self, space: Any, seconds: int) -> None:
        self._socket = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, 25, b"lan")
        self._socket.bind(("", 67))
        self._socket.settimeout(0.05)
        self._seconds = seconds
        self.heard: list[int] = []
        self.last = 77
        self.silent = self._stopped = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopped:
            try:
                data, _ = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            message = messages4.decode(data)
            self.heard.append(message.type)
            kind = {messages4.DISCOVER: messages4.OFFER, messages4.REQUEST: messages4.ACK}.get(message.type)
            if kind is not None and not self.silent:
                options = {messages4.TYPE: bytes((kind,)), messages4.SERVER: bytes((192, 0, 2, 2))}
                options[messages4.SUBNET_MASK] = b"\xff\xff\xff\0"
                options[messages4.LEASE_TIME] = self._seconds.to_bytes(4, "big")
                yours = message.client if any(message.client) else bytes((192, 0, 2, self.last))
                answer = message.replace(from_server=True, options=options, yours=yours)
                self._socket.sendto(messages4.encode(answer), ("255.255.255.255", 68))

    def close(self) -> None:
        self._stopped = True
        self._thread.join()
        self._socket.close()


class Daemon:
    """Ours (`way` "ours") or the reference's, listening when constructed."""

    def __init__(
        self,
        directory: Path,
        way: str = "ours",
        options: Sequence[str] = (),
        words: Sequence[str] = (),
        prefix: str = "",
    ) -> None:
        """`words` replace the program and its first arguments; `prefix` is what it puts before its socket's path."""
        self.directory = directory / f"daemon-{way}"
        self.directory.mkdir(exist_ok=True)
        path = "/dhcp.sock" if prefix else str(self.directory / "dhcp.sock")
        self._options = ("-socketpath", path, *options)
        self.socket = prefix + path
        if way == "ours":
            self._words = [PLAIN, "-I", "-S", str(ROOT / "netd/dhcp/program.py"), "-run-dir", str(self.directory)]
        else:
            self._words = [str(reference_directory() / "dhcp"), "daemon"]
        self._words = list(words) or self._words
        self.start()

    def start(self) -> None:
        before = self.log()
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([*self._words, *self._options], stdin=subprocess.DEVNULL, stderr=log)
        await_true(f"the daemon listens: {self.log()[len(before) :]}", self._listens)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log()
        return f" {self.socket}\n" in Path("/proc/net/unix").read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""

    def kept(self) -> int:
        """How many attachments are on disk."""
        return len(os.listdir(self.directory / "dhcp"))

    def status(self, key: str) -> int:
        """A number of /proc/PID/status."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


class Shore:
    """`caller` executes the plugins; its host's `wan` is a wire to `outside`, where the server is."""

    def __init__(self, caller: Caller, directory: Path, options: Sequence[str] = RANGE) -> None:
        self.caller = caller
        self.host, self.outside = caller.host, caller.make()
        self.host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "lan", "netns", self.outside.path])
        for space, device in ((self.host, "wan"), (self.outside, "lan"), (self.outside, "lo")):
            space.run(["ip", "link", "set", device, "up"])
        self.outside.run(["ip", "addr", "add", "192.0.2.2/24", "dev", "lan"])
        self.outside.run(["ip", "addr", "add", "fd99::2/64", "dev", "lan", "nodad"])
        self.directory = directory
        self.server = Server(self.outside, directory, options)

    def close(self) -> None:
        self.server.stop()
        self.caller.close()

    def config(self, daemon: Daemon, **ipam: Any) -> dict[str, Any]:
        wanted = {"type": "dhcp", "daemonSocketPath": daemon.socket, **ipam}
        return {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "wan", "ipam": wanted}

    def container(self) -> Any:
        space = self.caller.make()
        # duplicate address detection takes two seconds
        space.namespace().write_sysctl("net/ipv6/conf/default/accept_dad", "0")
        return space

    def add(self, config: Mapping[str, Any], container_id: str = "c1") -> tuple[Any, dict[str, Any]]:
        """A new container and its result."""
        space = self.container()
        result = self.caller.ok("macvlan", "ADD", config, space.path, container_id=container_id)
        return space, result

    def delete(self, config: Mapping[str, Any], space: Any, container_id: str = "c1") -> None:
        self.caller.ok("macvlan", "DEL", config, space.path, container_id=container_id)


def addresses(space: Any, device: str = "eth0") -> list[str]:
    """Global addresses with their prefix lengths."""
    shown = json.loads(space.run(["ip", "-j", "addr", "show", "dev", device]).stdout)
    return [f"{each['local']}/{each['prefixlen']}" for each in shown[0]["addr_info"] if each["scope"] == "global"]


def identifier(container_id: str, network: str = "net", ifname: str = "eth0") -> str:
    """What dnsmasq's file has for a container's DHCPv4 lease."""
    return (b"\0" + f"{container_id}/{network}/{ifname}".encode()).hex()


@pytest.fixture
def shore_of(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Callable[..., Shore]]:
    """Makes a shore for a way of execution and options of the server."""
    made: list[Shore] = []

    def make(way: str = "in-process", options: tuple[str, ...] = RANGE) -> Shore:
        made.append(Shore(Caller(way, netns, tmp_path), tmp_path, options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def daemon_of(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def make(way: str = "ours", *options: str, words: tuple[str, ...] = (), prefix: str = "") -> Daemon:
        made.append(Daemon(tmp_path, way, options, words, prefix))
        return made[-1]

    yield make
    for each in made:
        each.kill()
