"""What nobody published stays out of reach (contract docker 3.4: S1 to S3, S17), whichever backend leads ports."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from pathlib import Path

import ports_town
import pytest
from firewall_spaces import Space
from firewall_town import BLOCKED, HOST_OUTSIDE, HOST_OUTSIDE_6, OUTSIDE, OUTSIDE_6, Town
from ports_town import DEADLINE, PortsTown, container

from netd.ports import guard
from netd.ports.gateways import Endpoint
from pycni.firewall.facts import Admit, Owner
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Address
from pycni.spec.errors import FirewallError

A4, A6 = Address.parse("10.1.2.2"), Address.parse("fd00:2::2")


@pytest.fixture(params=[IPTABLES, NFTABLES])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortsTown]:
    with ports_town.built(tmp_path, request.param) as there:
        there.town.outside.sh("ip route add 10.1.0.0/16 via 192.0.2.1; ip -6 route add fd00::/16 via 2001:db8::1")
        yield there


ECHO = bytes.fromhex("0800f7fd00010001")
"""ICMP's echo request of identifier and sequence 1 (RFC 792), with its checksum."""


def pings(space: Space, address: str) -> bool:
    with space.entered():
        client = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with client:
        client.connect((address, 0))
        client.settimeout(BLOCKED)
        client.send(ECHO)
        try:
            return client.recv(100)[20] == 0
        except TimeoutError:
            return False


def reached(town: Town, port: int) -> set[str]:
    """Who reaches the container's own addresses."""
    return {
        f"{name} {address}"
        for name in ("outside", "host", "b", "c")
        for address in (str(A4), str(A6))
        if not town.silent(getattr(town, name), address, port)
    }


def test_from_elsewhere_only_published_ports_are_reached(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    town.serve(town.a, 81)
    a = container("a", tcp80="8080")
    everybody = {f"{name} {address}" for name in ("outside", "host", "b", "c") for address in (str(A4), str(A6))}
    assert reached(town, 81) == everybody, "the town routes between its networks"
    there.ports.shield(a, [Endpoint(A4, "br0"), Endpoint(A6, "br0")])
    there.ports.publish(a, there.gateways("a"))
    inside = {each for each in everybody if each.startswith(("host", "b"))}
    assert reached(town, 81) == inside
    assert reached(town, 80) == inside, "published ports too are reached through the host only"
    assert not pings(town.outside, str(A4))
    assert pings(town.b, str(A4))
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert town.ask(town.c, HOST_OUTSIDE, 8080) == "10.1.3.2"
    town.serve(town.outside, 9)
    assert town.ask(town.a, OUTSIDE, 9) == "10.1.2.2", "the way out is open, and so is the way back"
    there.ports.unpublish(a)
    assert reached(town, 81) == everybody


def test_a_shield_follows_the_containers_addresses(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 81)
    town.serve(town.b, 81)
    a, b = container("a"), container("b")
    there.ports.shield(a, [Endpoint(A4, "br0")])
    assert town.silent(town.outside, str(A4), 81)
    there.ports.shield(a, [Endpoint(A4, "br0"), Endpoint(A6, "br0")])
    assert town.silent(town.outside, str(A6), 81)
    there.ports.shield(a, [Endpoint(A6, "br0")])
    assert not town.silent(town.outside, str(A4), 81)
    # an address that is given to somebody else changes hands
    there.ports.shield(b, [Endpoint(A6, "br1")])
    there.ports.unpublish(a)
    assert not town.silent(town.c, str(A6), 81)
    assert town.silent(town.outside, str(A6), 81)
    # as another process sees it
    there.new_ports().unpublish(b)
    assert not town.silent(town.outside, str(A6), 81)


def test_a_shield_comes_back_after_a_flush(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 81)
    there.ports.shield(container("a"), [Endpoint(A4, "br0")])
    town.host.sh("nft flush ruleset")
    assert not town.silent(town.outside, str(A4), 81)
    assert there.ports.repair().problems == ()
    assert town.silent(town.outside, str(A4), 81)
    town.host.sh("nft delete table inet pynet_guard")
    there.ports.shield(container("b"), [Endpoint(A6, "br0")])
    assert town.silent(town.outside, str(A6), 81), "the next one finds the table gone"
    there.ports.unpublish(container("b"))
    town.host.sh("nft delete table inet pynet_guard")
    there.ports.unpublish(container("a"))


def test_the_table_of_another_version_is_replaced_and_goes_on_shielding(there: PortsTown) -> None:
    """Its chains may be at other places, which the kernel does not change."""
    town = there.town
    town.serve(town.a, 81)
    there.ports.shield(container("a"), [Endpoint(A4, "br0")])
    town.host.sh(
        f"nft delete chain inet pynet_guard {guard.MARKER}; nft delete chain inet pynet_guard g_forward;"
        "nft add chain inet pynet_guard g_forward '{ type filter hook forward priority 7; }'"
    )
    there.new_ports().shield(container("b"), [Endpoint(A6, "br1")])
    assert town.silent(town.outside, str(A4), 81)
    assert town.silent(town.outside, str(A6), 81)
    assert "priority 7" not in town.host.sh("nft list table inet pynet_guard")


def test_published_ports_pass_where_iptables_drops_what_is_forwarded(there: PortsTown) -> None:
    """Docker and ufw set this policy; what is not published stays out."""
    town = there.town
    town.serve(town.a, 80)
    town.serve(town.a, 81)
    town.host.sh("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP")
    with Namespace.open(town.host.path) as namespace:
        firewall = Firewall(namespace, str(there.run))
        firewall.install(Owner("net", "a" * 64, "eth0"), "firewall", there.backend, [Admit((A4, A6))])
        firewall.close()
    a = container("a", tcp80="8080")
    there.ports.shield(a, [Endpoint(A4, "br0"), Endpoint(A6, "br0")])
    there.ports.publish(a, there.gateways("a"))
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert town.ask(town.outside, HOST_OUTSIDE_6, 8080) == OUTSIDE_6
    assert town.ask(town.c, HOST_OUTSIDE, 8080) == "10.1.3.2"
    assert town.silent(town.outside, str(A4), 81)
    if there.backend == NFTABLES:
        town.host.sh(f"nft add rule inet pynet p_operator ip saddr {OUTSIDE} drop")
        assert town.silent(town.outside, HOST_OUTSIDE, 8080), "the operator has the first word"
        assert town.ask(town.c, HOST_OUTSIDE, 8080) == "10.1.3.2"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_loopback_ports_are_the_hosts_own(there: PortsTown, kind: socket.SocketKind) -> None:
    """S3: a neighbour on the wire sends to 127.0.0.2, and the host would even route it."""
    town = there.town
    udp = kind == socket.SOCK_DGRAM
    neighbour(town, town.outside, "eth0", HOST_OUTSIDE, "up0")
    a = container("a", **{"udp80" if udp else "tcp80": "127.0.0.2 8081"})
    with town.host.entered():
        of_the_host = socket.socket(socket.AF_INET, kind)
    with town.a.entered():
        of_the_container = socket.socket(socket.AF_INET, kind)
    with of_the_host, of_the_container:
        of_the_host.bind(("127.0.0.2", 8082))
        of_the_container.bind(("", 80))
        assert arrives(town.outside, 8082, of_the_host, DEADLINE), "without the guard it is reached"
        there.ports.publish(a, there.gateways("a"))
        assert arrives(town.host, 8081, of_the_container, DEADLINE)
        assert not arrives(town.outside, 8081, of_the_container, BLOCKED)
        assert not arrives(town.outside, 8082, of_the_host, BLOCKED)


def test_the_hosts_loopback_services_stay_private(there: PortsTown) -> None:
    """S17: the container of a published port, whose bridge has route_localnet, sends to the host's 127.0.0.1."""
    town = there.town
    town.serve(town.host, 9)
    there.ports.publish(container("a", tcp80="8080"), there.gateways("a"))
    assert town.host.sh("cat /proc/sys/net/ipv4/conf/br0/route_localnet") == "1\n"
    neighbour(town, town.a, "eth0", "10.1.2.1", "br0")
    assert not town.ask(town.a, "127.0.0.2", 9, wait=BLOCKED)
    town.host.sh("nft delete table inet pynet_guard")
    assert town.ask(town.a, "127.0.0.2", 9), "it is the guard that keeps it out"


def arrives(client_space: Space, port: int, server: socket.socket, wait: float) -> bool:
    """Whether something sent there to 127.0.0.2 reaches the server; what has is taken."""
    server.setblocking(False)
    if server.type == socket.SOCK_STREAM:
        server.listen()
    with client_space.entered():
        client = socket.socket(socket.AF_INET, server.type)
    with client:
        client.setblocking(False)
        if client.connect_ex(("127.0.0.2", port)) == 0:
            client.send(b"?")
        if not select.select([server], [], [], wait)[0]:
            return False
        if server.type == socket.SOCK_STREAM:
            server.accept()[0].close()
        else:
            server.recv(1)
        return True


def neighbour(town: Town, space: Space, device: str, gateway: str, facing: str) -> None:
    """Has everything for 127.0.0.0/8 sent there to the host, which would take it."""
    space.sh(
        f"""
        ip addr del 127.0.0.1/8 dev lo
        ip link set lo down
        echo 1 > /proc/sys/net/ipv4/conf/{device}/route_localnet
        ip route add 127.0.0.0/8 via {gateway} dev {device}
        """
    )
    town.host.sh(f"echo 1 > /proc/sys/net/ipv4/conf/{facing}/route_localnet")


def test_without_nf_tables_nothing_is_published(there: PortsTown, monkeypatch: pytest.MonkeyPatch) -> None:
    """S26: not to guard is not to publish."""
    monkeypatch.setattr("netd.ports.guard.program_path.find", lambda _name: "")
    with pytest.raises(FirewallError, match="guarding published ports: nft is not installed"):
        there.ports.shield(container("a"), [Endpoint(A4, "br0")])
