"""Real packets through what each backend installs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import firewall_town
import pytest
from firewall_town import HOST_OUTSIDE, HOST_OUTSIDE_6, OUTSIDE, OUTSIDE_6, Town

from pycni.firewall.facts import Admit, Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Address, Prefix

A, B, C = (Owner("net", name, "eth0") for name in "abc")
A4, A6 = Prefix.parse("10.1.2.2/24"), Prefix.parse("fd00:2::2/64")

pytestmark = pytest.mark.parametrize("backend", [IPTABLES, NFTABLES])


@pytest.fixture
def town() -> Iterator[Town]:
    with firewall_town.built() as town:
        yield town


@pytest.fixture
def firewall(town: Town, tmp_path: Path) -> Iterator[Firewall]:
    with Namespace.open(town.host.path) as namespace:
        firewall = Firewall(namespace, str(tmp_path))
        yield firewall
        firewall.close()


def publish(*mappings: Mapping, masq_all: bool = False, conditions: tuple[str, ...] = ()) -> tuple[Fact, ...]:
    return (
        Publish(A4, mappings, masq_all=masq_all, conditions=conditions),
        Publish(A6, mappings, masq_all=masq_all),
    )


def test_published_port(town: Town, firewall: Firewall, backend: str) -> None:
    town.serve(town.a, 80)
    town.serve(town.a, 53, udp=True)
    assert town.silent(town.outside, HOST_OUTSIDE, 8080)
    firewall.install(A, "portmap", backend, publish(Mapping("tcp", 8080, 80), Mapping("udp", 5353, 53)))
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert town.ask(town.outside, HOST_OUTSIDE, 5353, udp=True) == OUTSIDE
    assert town.ask(town.outside, HOST_OUTSIDE_6, 8080) == OUTSIDE_6
    assert town.ask(town.host, HOST_OUTSIDE, 8080)
    assert town.ask(town.host, "127.0.0.1", 8080) == "10.1.2.1"
    assert town.ask(town.a, "10.1.2.1", 8080) == "10.1.2.1", "hairpin"
    assert town.ask(town.a, "fd00:2::1", 8080) == "fd00:2::1", "hairpin"
    assert town.ask(town.b, "10.1.2.1", 8080) == "10.1.2.1", "neighbour: the answer must come back through the host"
    assert town.ask(town.c, "10.1.3.1", 8080) == "10.1.3.2", "another subnet keeps its address"
    assert town.silent(town.outside, HOST_OUTSIDE, 8081)
    firewall.remove(A, "portmap")
    assert town.silent(town.outside, HOST_OUTSIDE, 8080)
    assert town.silent(town.host, "127.0.0.1", 8080)


def test_port_of_one_host_address(town: Town, firewall: Firewall, backend: str) -> None:
    town.serve(town.a, 80)
    firewall.install(A, "portmap", backend, publish(Mapping("tcp", 8080, 80, Address.parse("10.1.2.1"))))
    assert town.ask(town.c, "10.1.2.1", 8080) == "10.1.3.2"
    assert town.silent(town.outside, HOST_OUTSIDE, 8080)
    assert town.silent(town.outside, HOST_OUTSIDE_6, 8080)


def test_passing_traffic_is_not_caught(town: Town, firewall: Firewall, backend: str) -> None:
    """CVE-2025-67499: the port of somebody else's address is not ours."""
    town.serve(town.outside, 8080)
    firewall.install(B, "masquerade", backend, (Masquerade((Prefix.parse("10.1.2.3/24"),)),))
    firewall.install(A, "portmap", backend, publish(Mapping("tcp", 8080, 80)))
    assert town.ask(town.b, OUTSIDE, 8080) == HOST_OUTSIDE
    assert town.ask(town.host, OUTSIDE, 8080) == HOST_OUTSIDE


def test_masquerade_all(town: Town, firewall: Firewall, backend: str) -> None:
    town.serve(town.a, 80)
    firewall.install(A, "portmap", backend, publish(Mapping("tcp", 8080, 80), masq_all=True))
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == "10.1.2.1"
    assert town.ask(town.outside, HOST_OUTSIDE_6, 8080) == "fd00:2::1"
    assert town.ask(town.host, "127.0.0.1", 8080) == "10.1.2.1"


def test_conditions(town: Town, firewall: Firewall, backend: str) -> None:
    words = ("!", "-s", "10.1.3.0/24") if backend == IPTABLES else ("ip", "saddr", "!=", "10.1.3.0/24")
    facts = (Publish(A4, (Mapping("tcp", 8080, 80), Mapping("tcp", 8081, 80)), conditions=words),)
    town.serve(town.a, 80)
    for _ in range(2):
        firewall.install(A, "portmap", backend, facts)
    assert firewall.missing(A, "portmap", backend, facts) == []
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert town.ask(town.a, "10.1.2.1", 8081) == "10.1.2.1"
    assert town.silent(town.c, "10.1.3.1", 8080)
    firewall.remove(A, "portmap")
    assert town.silent(town.outside, HOST_OUTSIDE, 8080)
    assert firewall.missing(A, "portmap", backend, facts) != []


def test_masquerade(town: Town, firewall: Firewall, backend: str) -> None:
    town.serve(town.outside, 80)
    town.serve(town.c, 80)
    assert town.silent(town.a, OUTSIDE, 80)
    firewall.install(A, "masquerade", backend, (Masquerade((A4, A6)),))
    assert town.ask(town.a, OUTSIDE, 80) == HOST_OUTSIDE
    assert town.ask(town.a, OUTSIDE_6, 80) == HOST_OUTSIDE_6
    assert town.ask(town.a, "10.1.3.2", 80) == "10.1.3.1", "everything outside the own subnet"
    assert town.silent(town.b, OUTSIDE, 80)
    firewall.remove(A, "masquerade")
    assert town.silent(town.a, OUTSIDE, 80)


def test_isolation_between_bridges(town: Town, firewall: Firewall, backend: str) -> None:
    for space in (town.b, town.c, town.outside):
        town.serve(space, 80)
    firewall.install(A, "masquerade", backend, (Masquerade((A4,)),))
    assert town.ask(town.a, "10.1.3.2", 80)
    for owner, bridge in ((A, "br0"), (B, "br0"), (C, "br1")):
        firewall.install(
            owner, "firewall", backend, (Isolate(bridge, "same-bridge", 4), Isolate(bridge, "same-bridge", 6))
        )
    assert town.silent(town.a, "10.1.3.2", 80)
    assert town.silent(town.a, "fd00:3::2", 80)
    assert town.silent(town.c, "10.1.2.3", 80)
    assert town.ask(town.a, "10.1.2.3", 80) == "10.1.2.2"
    assert town.ask(town.a, OUTSIDE, 80) == HOST_OUTSIDE
    firewall.remove(A, "firewall")
    assert town.silent(town.b, "10.1.3.2", 80), "b still isolates the bridge"
    firewall.remove(B, "firewall")
    assert town.ask(town.b, "10.1.3.2", 80) == "10.1.2.3"


def test_isolation_between_ports(town: Town, firewall: Firewall, backend: str) -> None:
    """What is routed back into its own bridge is dropped (switched frames only where they traverse the firewall)."""
    town.host.sh("ip addr add 10.1.9.1/24 dev br0")
    town.b.sh("ip addr add 10.1.9.3/24 dev eth0; ip route change default via 10.1.9.1")
    town.serve(town.b, 80)
    firewall.install(A, "firewall", backend, (Isolate("br0", "same-bridge", 4),))
    assert town.ask(town.a, "10.1.9.3", 80) == "10.1.2.2"
    firewall.install(B, "firewall", backend, (Isolate("br0", "isolated", 4),))
    assert town.silent(town.a, "10.1.9.3", 80)
    firewall.remove(B, "firewall")
    assert town.ask(town.a, "10.1.9.3", 80) == "10.1.2.2"


def test_accepted_where_the_policy_is_drop(town: Town, firewall: Firewall, backend: str) -> None:
    """docker's and ufw's FORWARD policy; an accept in another table cannot override it."""
    town.host.sh("iptables -P FORWARD DROP; ip6tables -P FORWARD DROP")
    town.serve(town.outside, 80)
    for owner, addresses in ((A, (A4, A6)), (B, (Prefix.parse("10.1.2.3/24"),))):
        firewall.install(owner, "masquerade", backend, (Masquerade(addresses),))
    assert town.silent(town.a, OUTSIDE, 80)
    firewall.install(A, "firewall", backend, (Admit((A4.address, A6.address)),))
    assert town.ask(town.a, OUTSIDE, 80) == HOST_OUTSIDE
    assert town.ask(town.a, OUTSIDE_6, 80) == HOST_OUTSIDE_6
    assert town.silent(town.b, OUTSIDE, 80), "not admitted"
    before = town.host.saved()
    firewall.install(A, "firewall", backend, (Admit((A4.address, A6.address)),))
    assert town.host.saved() == before
    firewall.remove(A, "firewall")
    assert town.silent(town.a, OUTSIDE, 80)


def test_the_operator_comes_first(town: Town, firewall: Firewall, backend: str) -> None:
    """The admin chain, and our table's p_operator, see a packet before it is accepted."""
    town.serve(town.outside, 80)
    firewall.install(A, "masquerade", backend, (Masquerade((A4,)),))
    firewall.install(A, "firewall", backend, (Admit((A4.address,)),))
    assert town.ask(town.a, OUTSIDE, 80) == HOST_OUTSIDE
    if backend == IPTABLES:
        town.host.sh("iptables -A CNI-ADMIN -s 10.1.2.2 -j DROP")
    else:
        town.host.sh("nft add rule inet pynet p_operator ip saddr 10.1.2.2 drop")
    assert town.silent(town.a, OUTSIDE, 80)
