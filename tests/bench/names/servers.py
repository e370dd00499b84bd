"""The contestants: each serves the same names on one loopback device, in a network namespace of the benchmark's own.

`pynetd dns` opens its socket there from outside, as it does for a container; the others are started inside.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pycni.firewall.facts import Owner
from pycni.kernel.namespace import Namespace
from pycni.names import PORT, RESOLVER, Attachment, Attachments, sandbox_of
from pycni.spec.address import Address

from ..chain.peers import ROOT, where
from ..chain.private_host import BenchError

__all__ = ["ECHO", "NAMES", "Inside", "Server", "answers_rightly", "contestants", "name", "second_container", "source"]

NAMES = 1000
LISTEN, CLIENT = "10.77.0.1", "10.77.1.1"
"""aardvark answers only who is a container of the network: the asker has the first one's address."""
ECHO = "echo (the floor)"
_DOMAIN_PORTS = {"dnsmasq": 5301, "aardvark": 5302, "aardvark-debian": 5303, "echo": 5304}
_READY = 10.0


def name(number: int) -> str:
    return f"c{number:04d}"


def address(number: int) -> str:
    return f"10.77.{1 + number // 250}.{1 + number % 250}"


@dataclass
class Server:
    """A running contestant; `pid` is the process whose processor time and memory count."""

    label: str
    address: str
    port: int
    pid: int
    stop: Callable[[], None]

    def cpu_seconds(self) -> float:
        """What its threads have used so far."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def resident_mb(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise BenchError(f"{self.label} has ended")


class Inside:
    """The namespace: a process that holds it, and a way to run others there."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            raise BenchError("no network namespace: is this root?")
        for each in (LISTEN, CLIENT):
            self.run(["ip", "address", "add", f"{each}/16", "dev", "lo"])

    @property
    def path(self) -> str:
        return f"/proc/{self._holder.pid}/ns/net"

    def words(self, argv: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(self, argv: Sequence[str], seconds: float = 120) -> str:
        """A program's output; BenchError unless it ends well."""
        done = subprocess.run(self.words(argv), capture_output=True, text=True, check=False, timeout=seconds)
        if done.returncode:
            raise BenchError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


def _await(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY
    while not holds():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} did not serve within {_READY:.0f} s")
        os.sched_yield()


def _ended_by(process: subprocess.Popen[bytes]) -> Callable[[], None]:
    def stop() -> None:
        process.terminate()
        process.wait(20)

    return stop


def _listens(space: Inside, port: int) -> bool:
    return bool(space.run(["ss", "-Hlun", f"sport = :{port}"]).strip())


def ours(space: Inside, scratch: Path) -> Server:
    """`pynetd dns` with one real attachment and 999 of which only the names are known here."""
    run_dir = scratch / "ours"
    resolv_conf = scratch / "resolv.conf"
    resolv_conf.write_text("")
    store = Attachments(str(run_dir))
    with Namespace.open(space.path) as namespace:
        sandbox = sandbox_of(namespace)
    for number in range(NAMES):
        here = number == 0
        store.put(
            Attachment(
                Owner("bench", f"id{number}", "eth0"),
                sandbox if here else f"nbe{number:x}",
                space.path if here else "",
                PORT if here else 0,
                (name(number),),
                (Address.parse(address(number)),),
            )
        )
    process = subprocess.Popen(
        ["/usr/bin/python3", "-m", "netd.daemon", "dns", f"--run-dir={run_dir}", f"--resolv-conf={resolv_conf}"],
        cwd=ROOT,
    )
    _await("pynetd dns", lambda: _listens(space, PORT))
    return Server("pynetd dns", RESOLVER, PORT, process.pid, _ended_by(process))


def second_container(space: Inside, scratch: Path) -> None:
    """Another attachment of our server, in another namespace; returns when its resolver is there."""
    with Namespace.open(space.path) as namespace:
        sandbox = sandbox_of(namespace)
    other = Attachment(
        Owner("bench", "busy", "eth0"), sandbox, space.path, PORT, ("busy",), (Address.parse("10.77.9.9"),)
    )
    Attachments(str(scratch / "ours")).put(other)
    _await("pynetd dns", lambda: _listens(space, PORT))


def dnsmasq(space: Inside, scratch: Path) -> Server:
    """Debian's, in the foreground, with its usual cache and the names from a hosts file."""
    hosts = scratch / "hosts"
    hosts.write_text("".join(f"{address(number)} {name(number)}\n" for number in range(NAMES)))
    port = _DOMAIN_PORTS["dnsmasq"]
    options = [
        "--keep-in-foreground",
        "--no-resolv",
        "--no-hosts",
        f"--addn-hosts={hosts}",
        "--user=root",
        "--pid-file=",
        "--log-facility=-",
    ]
    options += [f"--listen-address={LISTEN}", "--bind-interfaces", f"--port={port}", "--local-ttl=5", "--conf-file="]
    process = subprocess.Popen(space.words(["dnsmasq", *options]))
    _await("dnsmasq", lambda: _listens(space, port))
    version = subprocess.run(["dnsmasq", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return Server(f"dnsmasq {version}", LISTEN, port, process.pid, _ended_by(process))


def _aardvark(space: Inside, scratch: Path, program: str, key: str) -> Server:
    """Started as netavark does; it forks and says its pid in a file."""
    config, port = scratch / key, _DOMAIN_PORTS[key]
    config.mkdir()
    lines = [LISTEN] + [f"{number:064x} {address(number)}  {name(number)}" for number in range(NAMES)]
    (config / "bench").write_text("\n".join(lines) + "\n")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    starter = subprocess.Popen(space.words([program, "-c", str(config), "-p", str(port), "run"]))
    pid_file = config / "aardvark.pid"
    _await(f"aardvark-dns {said}", lambda: pid_file.exists() and pid_file.read_text().strip().isdigit())
    _await(f"aardvark-dns {said}", lambda: _listens(space, port))
    pid = int(pid_file.read_text())

    def stop() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        starter.wait(20)

    return Server(f"aardvark-dns {said}", LISTEN, port, pid, stop)


def echo(space: Inside, _scratch: Path) -> Server:
    """A loop that sends each datagram back: what the machine itself costs."""
    port = _DOMAIN_PORTS["echo"]
    program = (
        "import _socket,sys\n"
        "s=_socket.socket(2,2);s.bind((sys.argv[1],int(sys.argv[2])))\n"
        "while 1:\n m,p=s.recvfrom(4096);s.sendto(m[:2]+b'\\x84\\0'+m[4:],p)\n"
    )
    process = subprocess.Popen(space.words(["/usr/bin/python3", "-I", "-S", "-c", program, LISTEN, str(port)]))
    _await("echo", lambda: _listens(space, port))
    return Server(ECHO, LISTEN, port, process.pid, _ended_by(process))


def contestants() -> tuple[list[Callable[[Inside, Path], Server]], list[str]]:
    """Who takes part, ours first, the floor last; and notes on who was left out and why."""
    found: list[Callable[[Inside, Path], Server]] = [ours]
    notes = []
    if shutil.which("dnsmasq"):
        found.append(dnsmasq)
    else:
        notes.append("dnsmasq is not installed: left out.")
    try:
        peer = str(where("peers", "aardvark-dns"))
        found.append(lambda space, scratch: _aardvark(space, scratch, peer, "aardvark"))
    except BenchError as error:
        notes.append(f"aardvark-dns 2.1.0 was left out: {error}")
    debian = "/usr/lib/podman/aardvark-dns"
    if os.access(debian, os.X_OK):
        found.append(lambda space, scratch: _aardvark(space, scratch, debian, "aardvark-debian"))
    else:
        notes.append("Debian's aardvark-dns is not installed: left out.")
    return [*found, echo], notes


def answers_rightly(space: Inside, server: Server) -> None:
    """BenchError unless it knows the last name; the floor knows none."""
    if server.label == ECHO:
        return
    program = (
        "import sys,dns.message,dns.query\n"
        "m=dns.message.make_query(sys.argv[1],'A')\n"
        "r=dns.query.udp(m,sys.argv[2],port=int(sys.argv[3]),timeout=5,source=sys.argv[4] or None)\n"
        "print(*[i for s in r.answer for i in s])\n"
    )
    last = NAMES - 1
    argv = [sys.executable, "-c", program, name(last), server.address, str(server.port), source(server) or ""]
    told = space.run(argv).strip()
    if told != address(last):
        raise BenchError(f"{server.label} says that {name(last)} is {told or 'nowhere'}")


def source(server: Server) -> str | None:
    """The address to ask from; None: the kernel's choice."""
    return CLIENT if server.address == LISTEN else None
