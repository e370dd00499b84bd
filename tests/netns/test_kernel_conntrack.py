"""Flushing connection tracking entries that real UDP traffic made; `conntrack` is the oracle."""

from __future__ import annotations

import _socket
from collections.abc import Callable, Iterator

import pytest
from conftest import PrivateNetns

from pycni.kernel.conntrack import delete_listed

RULES = """
table inet tracked {
  chain input { type filter hook input priority 0; ct state new,established accept; }
}
"""

FAMILIES = {4: (_socket.AF_INET, "127.0.0.1"), 6: (_socket.AF_INET6, "::1")}


@pytest.fixture
def tracked(netns: Callable[[], PrivateNetns]) -> Iterator[PrivateNetns]:
    """A namespace that tracks connections, with flows to UDP ports 53, 54 and 55 and TCP port 53 of both families."""
    private = netns()
    private.run(["/usr/sbin/ip", "link", "set", "lo", "up"])
    private.run(["/usr/sbin/nft", "-f", "-"], stdin=RULES)
    sockets = []
    try:
        for family, address in FAMILIES.values():
            for kind, port in ((2, 53), (2, 54), (2, 55), (1, 53)):
                server, client = private.socket(family, kind), private.socket(family, kind)
                sockets += [server, client]
                server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
                server.bind((address, port))
                if kind == _socket.SOCK_STREAM:
                    server.listen()
                client.connect((address, port))
                client.send(b"x")
        yield private
    finally:
        for each in sockets:
            each.close()


def entries(private: PrivateNetns, family: int) -> set[tuple[str, int]]:
    """(protocol, original destination port) of each entry."""
    listing = private.run(["/usr/sbin/conntrack", "-L", "-f", f"ipv{family}"]).stdout
    return {(line.split()[0], int(line.partition("dport=")[2].split()[0])) for line in listing.splitlines()}


ALL = {("udp", 53), ("udp", 54), ("udp", 55), ("tcp", 53)}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("ports", [(53,), (54, 55), (53, 54, 55, 56)])
@pytest.mark.parametrize("selecting", [True, False])
def test_udp_flows_to_the_ports_go_and_others_stay(
    tracked: PrivateNetns, family: int, ports: tuple[int, ...], selecting: bool
) -> None:
    """Both where the kernel selects while deleting and where it cannot."""
    assert entries(tracked, 4) == entries(tracked, 6) == ALL
    namespace = tracked.namespace()
    for _ in range(2):
        if selecting:
            namespace.flush_udp_conntrack(family, ports)
        else:
            delete_listed(namespace.netfilter(), family, ports)
        assert entries(tracked, family) == ALL - {("udp", port) for port in ports}
        assert entries(tracked, 10 - family) == ALL


def test_no_ports_flush_nothing(tracked: PrivateNetns) -> None:
    tracked.namespace().flush_udp_conntrack(4, ())
    assert entries(tracked, 4) == ALL
