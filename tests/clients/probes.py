"""Real traffic, seen from anywhere a command can be run: the host, its neighbour, a container."""

import ipaddress
from typing import Protocol

from .host import CommandFailed, Host
from .polling import wait_until

__all__ = ["Runs", "addresses", "echoes", "fetch", "gateway", "mac", "pings", "refused", "serve_command", "udp_echo"]


class Runs(Protocol):
    """Runs a command somewhere and returns its standard output."""

    def __call__(self, *argv: str) -> str:
        """Raise CommandFailed unless the command ends with status 0."""


def serve_command(text: str) -> tuple[str, ...]:
    """The command of a container that serves text by HTTP on port 80, and ends at once when asked to."""
    return ("sh", "-c", f"trap 'exit 0' TERM; echo {text} >/www/index.html; httpd -f -h /www & wait")


def _once(run: Runs, url: str, limit: int) -> str | None:
    # busybox's wget -T crashes in this build, so its time is limited from outside.
    try:
        return run("busybox", "timeout", "-s", "KILL", str(limit), "busybox", "wget", "-qO-", url).strip()
    except CommandFailed:
        return None


def fetch(run: Runs, address: str, port: int = 80) -> str:
    """Get http://address:port/ as soon as it answers."""
    host = f"[{address}]" if ":" in address else address
    return wait_until(lambda: _once(run, f"http://{host}:{port}/", 2), f"an answer from {address} port {port}")


def refused(run: Runs, address: str, port: int = 80) -> bool:
    """Tell that one try within a second gets nothing; first see that the server answers someone else."""
    host = f"[{address}]" if ":" in address else address
    return _once(run, f"http://{host}:{port}/", 1) is None


def pings(run: Runs, address: str) -> bool:
    """Tell whether an address answers one ping within a second."""
    try:
        run("busybox", "ping6" if ":" in address else "ping", "-c1", "-W1", address)
    except CommandFailed:
        return False
    return True


Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def addresses(run: Runs, device: str = "eth0", family: int = 4) -> list[Interface]:
    """The global addresses of a device, as busybox's ip shows them in a container."""
    lines = [line.split() for line in run("ip", f"-{family}", "address", "show", "dev", device).splitlines()]
    return [ipaddress.ip_interface(words[1]) for words in lines if words[0].startswith("inet") and "global" in words]


def mac(run: Runs, device: str = "eth0") -> str:
    """The hardware address of a device."""
    words = run("ip", "link", "show", "dev", device).split()
    return words[words.index("link/ether") + 1]


def gateway(run: Runs) -> str | None:
    """The gateway of the default IPv4 route, if there is one."""
    for line in run("ip", "-4", "route").splitlines():
        words = line.split()
        if words[0] == "default":
            return words[words.index("via") + 1]
    return None


# busybox has no UDP server, so a container's is this, run in the container's network namespace.
UDP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", {port}))
while True:
    data, client = server.recvfrom(2048)
    server.sendto({text!r}.encode() + b" " + data, client)
"""

UDP_CLIENT = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(1)
client.connect(({address!r}, {port}))
client.send(b"ping")
sys.stdout.write(client.recv(2048).decode())
"""

PYTHON = ("/usr/bin/python3", "-I", "-S", "-c")


class udp_echo:  # noqa: N801 - used like a function, in a with statement
    """A UDP server in the network namespace of a process of the host, for the length of a with statement."""

    def __init__(self, host: Host, pid: int, port: int, text: str) -> None:
        source = UDP_SERVER.format(port=port, text=text)
        self.argv = ("nsenter", f"--target={pid}", "--net", "--", *PYTHON, source)
        self.host, self.name = host, f"udp-{pid}-{port}"

    def __enter__(self) -> None:
        self.service = self.host.service(self.name, *self.argv)

    def __exit__(self, *_: object) -> None:
        self.service.stop()


def echoes(run: Runs, address: str, port: int) -> str:
    """Send a datagram until it is answered, and return the answer."""

    def look() -> str | None:
        try:
            return run(*PYTHON, UDP_CLIENT.format(address=address, port=port))
        except CommandFailed:
            return None

    return wait_until(look, f"a UDP answer from {address} port {port}")
