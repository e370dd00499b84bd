"""Published ports in the firewall's small town: its host runs `Ports`, its namespaces stand for containers.

a (10.1.2.2) and b (10.1.2.3) are on br0, c (10.1.3.2) on br1; outside is a neighbour of the host.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import firewall_town
from firewall_spaces import Space
from firewall_town import Town

from netd.ports.gateways import Gateway, Gateways
from netd.ports.publish import Ports
from netd.runtime.model import Container, ContainerConfig, HostConfig, PortBinding
from netd.runtime.places import RuntimePlaces
from pycni.kernel.netns import Inside
from pycni.spec.address import Prefix

DEADLINE = 10.0

_SETTLED = """
ip -6 -o addr show tentative | while read _ device _ address _; do
    ip addr del $address dev $device
    ip addr add $address dev $device nodad
done
"""
"""Link-local addresses are usable at once, and not after a second or two."""

ADDRESSES = {
    "a": ("10.1.2.2/24", "fd00:2::2/64"),
    "b": ("10.1.2.3/24", "fd00:2::3/64"),
    "c": ("10.1.3.2/24", "fd00:3::2/64"),
}


class PortsTown:
    def __init__(self, town: Town, run: Path, backend: str) -> None:
        self.town = town
        self.run = run
        self.backend = backend
        self.warnings: list[str] = []
        self._opened: list[Ports] = []
        self.ports = self.new_ports()

    def new_ports(self, idle_seconds: float = 90.0) -> Ports:
        """Another process's view, with nothing known yet."""
        with Inside(self.town.host.fd):
            self._opened.append(Ports(RuntimePlaces(run=str(self.run)), self.warnings.append, idle_seconds))
        return self._opened[-1]

    def gateways(self, name: str, families: tuple[int, ...] = (4, 6), network: str = "net", **more: object) -> Gateways:
        four, six = (
            Gateway(network, "eth0", Prefix.parse(text), self.backend) if family in families else None
            for family, text in zip((4, 6), ADDRESSES[name], strict=True)
        )
        return Gateways(four, six, **more)  # type: ignore[arg-type]

    def close(self) -> None:
        for each in self._opened:
            each.close()


def container(name: str, **bindings: str | tuple[str, ...]) -> Container:
    """`container("a", tcp80="8080")`: container port 80/tcp on host port 8080; a value may have an address before it,
    as in "127.0.0.1 8080", and there may be several."""
    wanted = {}
    for port, texts in bindings.items():
        number, protocol = port[-len(port.lstrip("abcdefghijklmnopqrstuvwxyz")) :], port.rstrip("0123456789")
        wanted[f"{number}/{protocol}"] = [binding(text) for text in ((texts,) if isinstance(texts, str) else texts)]
    return Container(
        id=(name * 64)[:64],
        name=name,
        created="2026-01-01T00:00:00Z",
        config=ContainerConfig(),
        host_config=HostConfig(port_bindings=dict(wanted)),
    )


def binding(text: str) -> PortBinding:
    address, _, port = text.rpartition(" ")
    return PortBinding(address, port)


@contextlib.contextmanager
def built(run: Path, backend: str) -> Iterator[PortsTown]:
    with firewall_town.built() as town:
        for space in (town.host, town.a, town.b, town.c, town.outside):
            space.sh(_SETTLED)
        # the town's own, to be found out whether publishing does it
        town.host.sh("echo 0 > /proc/sys/net/ipv4/conf/br0/route_localnet")
        ports_town = PortsTown(town, run, backend)
        try:
            yield ports_town
        finally:
            ports_town.close()


def connect(space: Space, address: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A connected socket there, with a time-out."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with space.entered():
        client = socket.socket(family, kind)
    client.settimeout(DEADLINE)
    try:
        client.connect((address, port))
    except OSError:
        client.close()
        raise
    return client


def until(true: Callable[[], bool], what: str) -> None:
    """Waits for a condition that nothing announces."""
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline, what
