"""A network with a real DHCP server (dnsmasq), the daemon under test, and containers on macvlan devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from launchers import PLAIN, ROOT
from plugin_callers import Caller
from reference_plugins import directory as reference_directory

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
