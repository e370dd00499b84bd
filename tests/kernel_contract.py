"""What every implementation of `pycni.kernel.api.NamespaceApi` promises.

The fake runs these in tests/unit/test_kernel_memory.py, the real kernel in tests/netns/test_kernel_contract.py; each
provides the fixture `make`, a factory of fresh namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EEXIST,
    EHOSTUNREACH,
    EINVAL,
    ENETDOWN,
    ENETUNREACH,
    ENODEV,
    EOPNOTSUPP,
    ERANGE,
)

import pytest
from soon import eventually

from pycni.kernel.api import TYPE_CHECKING
from pycni.kernel.model import IFF_ALLMULTI, IFF_PROMISC, OPER_UP, Link, Route
from pycni.kernel.namespace import TRASH_GROUP
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import KernelError

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Make = Callable[[], NamespaceApi]

MAC = bytes.fromhex("0a5800000001")
DEFAULT4 = Prefix.parse("0.0.0.0/0")
DEFAULT6 = Prefix.parse("::/0")
SUBNET = Prefix.parse("10.1.2.3/24")
SUBNET6 = Prefix.parse("fd00:1::3/64")
GATEWAY = Address.parse("10.1.2.1")
GATEWAY6 = Address.parse("fd00:1::1")


def refusal(call: Callable[..., object], *values: object, **named: object) -> KernelError:
    with pytest.raises(KernelError) as caught:
        call(*values, **named)
    return caught.value


def pair(make: Make) -> tuple[NamespaceApi, NamespaceApi, Link, Link]:
    """Host, container, and a veth pair between them whose host end is a port of a bridge."""
    host, container = make(), make()
    bridge = host.create_bridge("br0")
    host.set_link(bridge.index, up=True)
    ends = host.create_veth("veth0", "eth0", container, mac=MAC, master=bridge.index)
    return host, container, *ends


def main_routes(namespace: NamespaceApi, family: int) -> set[tuple[str, str | None]]:
    """(destination, gateway) in the main table, without autoconfigured IPv6 routes."""
    return {
        (str(route.destination), None if route.gateway is None else str(route.gateway))
        for route in namespace.routes(family)
        if not route.destination.address.is_link_local
    }


def prefixes(namespace: NamespaceApi, index: int) -> list[str]:
    return [str(each.prefix) for each in namespace.addresses(index) if not each.prefix.address.is_link_local]


def test_a_fresh_namespace_holds_lo_down(make: Make) -> None:
    namespace = make()
    (link,) = namespace.links()
    assert (link.name, link.index, link.is_up, link.mac) == ("lo", 1, False, bytes(6))
    assert namespace.link("lo") == link == namespace.link_by_index(1)
    assert namespace.addresses(1) == []
    assert namespace.routes(4) == namespace.routes(6) == []
    assert namespace.routes(4, None) == []


def test_namespaces_differ_in_identity(make: Make) -> None:
    first, second = make(), make()
    assert first.identity == first.identity != second.identity


@pytest.mark.parametrize("name", ["nosuch0", "", "a-name-longer-than-fifteen-bytes", "ü" * 9])
def test_an_unknown_device_is_none(make: Make, name: str) -> None:
    assert make().link(name) is None


@pytest.mark.parametrize("index", [0, -1, 4711])
def test_an_unknown_index_is_none(make: Make, index: int) -> None:
    assert make().link_by_index(index) is None


def test_a_new_bridge_is_down_and_exclusive(make: Make) -> None:
    host = make()
    link = host.create_bridge("br0")
    assert (link.name, link.kind, link.is_up, link.mtu, link.master) == ("br0", "bridge", False, 1500, 0)
    assert len(link.mac) == 6
    error = refusal(host.create_bridge, "br0")
    assert error.errno == EEXIST
    assert error.msg == 'failed to create bridge "br0": file exists'
    assert host.create_bridge("br1", mtu=1400).mtu == 1400


@pytest.mark.parametrize(("name", "number"), [("a/b", EINVAL), ("..", EINVAL), ("a b", EINVAL), ("x" * 16, ERANGE)])
def test_names_the_kernel_refuses(make: Make, name: str, number: int) -> None:
    host = make()
    assert refusal(host.create_bridge, name).errno == number
    assert [link.name for link in host.links()] == ["lo"]


def test_a_veth_pair_joins_two_namespaces(make: Make) -> None:
    host, container, near, far = pair(make)
    bridge = host.link("br0")
    assert bridge is not None
    assert (near.name, near.kind, near.is_up, near.master) == ("veth0", "veth", True, bridge.index)
    assert (far.name, far.kind, far.is_up, far.mac, far.mtu) == ("eth0", "veth", False, MAC, 1500)
    assert (near.link, far.link) == (far.index, near.index)
    assert near.link_netns is not None
    seen = host.link_by_index(near.index)
    assert seen is not None
    assert (seen.name, seen.mac, seen.master, seen.is_up) == (near.name, near.mac, bridge.index, True)
    assert container.link("eth0") == far


def test_a_pair_within_one_namespace(make: Make) -> None:
    host = make()
    near, far = host.create_veth("a", "b", host, mtu=1280)
    assert (near.link, far.link, near.mtu, far.mtu) == (far.index, near.index, 1280, 1280)
    assert near.link_netns is None
    assert host.retire(host, far)


@pytest.mark.parametrize("names", [("veth0", "eth1"), ("veth1", "eth0")])
def test_a_taken_name_makes_no_pair(make: Make, names: tuple[str, str]) -> None:
    host, container, _, _ = pair(make)
    error = refusal(host.create_veth, *names, container)
    assert (error.errno, error.msg) == (EEXIST, "file exists")
    assert [link.name for link in container.links()] == ["lo", "eth0"]
    assert [link.name for link in host.links()] == ["lo", "br0", "veth0"]


def test_a_veth_mtu_the_kernel_refuses(make: Make) -> None:
    host = make()
    assert refusal(host.create_veth, "a", "b", host, mtu=67).errno == EINVAL
    assert host.link("a") is host.link("b") is None


def test_both_ends_up_means_carrier(make: Make) -> None:
    host, container, near, far = pair(make)
    container.set_link(far.index, up=True)

    def works() -> bool:
        links = (host.link_by_index(near.index), container.link_by_index(far.index), host.link("br0"))
        return all(link is not None and link.operstate == OPER_UP for link in links)

    assert eventually(works)
    container.set_link(far.index, up=False)
    assert eventually(lambda: (link := host.link("veth0")) is not None and link.operstate != OPER_UP)


def test_set_link_changes_what_is_given(make: Make) -> None:
    _, container, _, far = pair(make)
    container.set_link(far.index, mtu=1300, txqlen=17, promiscuous=True, allmulti=True, alias="web", group=7)
    link = container.link("eth0")
    assert link is not None
    assert (link.mtu, link.txqlen, link.alias, link.group, link.is_up) == (1300, 17, "web", 7, False)
    assert link.flags & IFF_PROMISC and link.flags & IFF_ALLMULTI and link.promiscuity == 1
    container.set_link(far.index, promiscuous=False, allmulti=False, name="net1", mac=bytes.fromhex("0a5800000002"))
    link = container.link("net1")
    assert link is not None and container.link("eth0") is None
    assert not link.flags & (IFF_PROMISC | IFF_ALLMULTI)
    assert (link.mac.hex(), link.mtu, link.txqlen, link.promiscuity) == ("0a5800000002", 1300, 17, 0)


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"mtu": 1}, EINVAL),
        ({"mtu": 70000}, EINVAL),
        ({"mac": bytes.fromhex("010203040506")}, EADDRNOTAVAIL),
        ({"mac": bytes(6)}, EADDRNOTAVAIL),
        ({"mac": bytes(5)}, EINVAL),
        ({"name": "lo"}, EEXIST),
        ({"name": "a/b"}, EINVAL),
        ({"master": 4711}, EINVAL),
        ({"master": 1}, EOPNOTSUPP),
    ],
)
def test_changes_the_kernel_refuses(make: Make, change: dict[str, object], number: int) -> None:
    _, container, _, far = pair(make)
    error = refusal(container.set_link, far.index, **change)
    assert error.errno == number
    assert error.msg.startswith("failed to change device eth0: ")
    assert container.link_by_index(far.index) == far


def test_changing_a_device_that_is_not_there(make: Make) -> None:
    namespace = make()
    for call in (
        lambda: namespace.set_link(4711, up=True),
        lambda: namespace.add_address(4711, SUBNET),
        lambda: namespace.configure(4711, (), (Route(DEFAULT4),), up=False),
    ):
        assert refusal(call).errno == ENODEV
    assert "index 4711" in refusal(namespace.set_link, 4711, up=True).msg


def test_port_flags_need_a_port(make: Make) -> None:
    host, container, near, far = pair(make)
    host.set_port(near.index, hairpin=True, isolated=True)
    assert refusal(container.set_port, far.index, hairpin=True, isolated=False).errno == EOPNOTSUPP


def test_a_bridge_follows_its_ports_until_it_is_pinned(make: Make) -> None:
    host, container = make(), make()
    bridge = host.create_bridge("br0")
    low, _ = host.create_veth("a", "a", container, master=bridge.index, mtu=1400)
    followed = host.link("br0")
    assert followed is not None
    assert (followed.mac, followed.mtu) == (low.mac, 1400)
    host.set_link(bridge.index, mac=MAC)
    host.delete_link(low.index)
    pinned = host.link("br0")
    assert pinned is not None
    assert (pinned.mac, pinned.mtu) == (MAC, 1500)


def test_a_bridge_forgets_a_port_that_left(make: Make) -> None:
    host, container = make(), make()
    bridge = host.create_bridge("br0")
    near, _ = host.create_veth("a", "a", container, master=bridge.index, mtu=1400)
    host.set_link(near.index, master=0)
    left, port = host.link("br0"), host.link("a")
    assert left is not None and (left.mac, left.mtu) == (bytes(6), 1500)
    assert port is not None and (port.master, port.mtu) == (0, 1400)


def test_addresses_come_in_order_and_go(make: Make) -> None:
    _, container, _, far = pair(make)
    second = Prefix.parse("10.7.0.1/32")
    container.configure(far.index, (SUBNET, SUBNET6, second), ())
    assert prefixes(container, far.index) == [str(SUBNET), str(second), str(SUBNET6)]
    assert main_routes(container, 4) == {("10.1.2.0/24", None)}
    assert main_routes(container, 6) == {("fd00:1::/64", None)}
    for prefix in (SUBNET, SUBNET6):
        container.remove_address(far.index, prefix)
        container.remove_address(far.index, prefix)
    assert prefixes(container, far.index) == [str(second)]
    assert main_routes(container, 4) == main_routes(container, 6) == set()
    assert container.addresses(4711) == []
    container.remove_address(4711, SUBNET)


@pytest.mark.parametrize("prefix", [SUBNET, SUBNET6])
def test_an_address_is_added_once(make: Make, prefix: Prefix) -> None:
    _, container, _, far = pair(make)
    container.add_address(far.index, prefix)
    error = refusal(container.add_address, far.index, prefix)
    assert error.errno == EEXIST
    assert error.msg == f'failed to add IP addr {prefix} to "eth0": file exists'
    link = container.link("eth0")
    assert link is not None and not link.is_up


def test_ipv6_switched_off_refuses_addresses(make: Make) -> None:
    _, container, _, far = pair(make)
    container.write_sysctl("net/ipv6/conf/eth0/disable_ipv6", "1")
    assert refusal(container.add_address, far.index, SUBNET6).errno == EACCES
    container.write_sysctl("net/ipv6/conf/eth0/disable_ipv6", "0")
    container.add_address(far.index, SUBNET6)


def test_configure_adds_addresses_and_routes(make: Make) -> None:
    _, container, _, far = pair(make)
    routes = (
        Route(DEFAULT4, GATEWAY),
        Route(Prefix.parse("192.168.7.9/16"), GATEWAY, priority=50, mtu=1300, advmss=1200),
        Route(Prefix.parse("172.16.0.0/12"), None, scope=253),
        Route(DEFAULT6, GATEWAY6),
    )
    container.configure(far.index, (SUBNET, SUBNET6), routes)
    link = container.link("eth0")
    assert link is not None and link.is_up
    assert main_routes(container, 4) == {
        ("0.0.0.0/0", "10.1.2.1"),
        ("192.168.0.0/16", "10.1.2.1"),
        ("172.16.0.0/12", None),
        ("10.1.2.0/24", None),
    }
    assert main_routes(container, 6) == {("::/0", "fd00:1::1"), ("fd00:1::/64", None)}
    by_destination = {str(route.destination): route for route in container.routes(4)}
    wide = by_destination["192.168.0.0/16"]
    assert (wide.priority, wide.mtu, wide.advmss, wide.device, wide.table) == (50, 1300, 1200, far.index, 254)
    assert (by_destination["172.16.0.0/12"].scope, wide.scope, wide.protocol) == (253, 0, 3)
    connected = by_destination["10.1.2.0/24"]
    assert (connected.scope, connected.protocol, connected.source) == (253, 2, SUBNET.address)


@pytest.mark.parametrize(
    ("prefix", "default", "gateways"),
    [(SUBNET, DEFAULT4, ("10.1.2.1", "10.1.2.2")), (SUBNET6, DEFAULT6, ("fd00:1::1", "fd00:1::2"))],
)
def test_next_hops_add_up_and_duplicates_do_not(
    make: Make, prefix: Prefix, default: Prefix, gateways: tuple[str, ...]
) -> None:
    _, container, _, far = pair(make)
    routes = [Route(default, Address.parse(gateway)) for gateway in gateways]
    container.configure(far.index, (prefix,), routes)
    assert {(str(default), gateway) for gateway in gateways} <= main_routes(container, default.family)
    error = refusal(container.configure, far.index, (), routes[:1])
    assert error.errno == EEXIST
    assert error.msg == (
        f"failed to add route '{default} via {gateways[0]} dev eth0 metric 0 (Scope: universe, Table: 0)': file exists"
    )


def test_the_first_failure_is_named_and_the_rest_is_tried(make: Make) -> None:
    _, container, _, far = pair(make)
    lost = Route(Prefix.parse("192.168.0.0/16"), Address.parse("10.99.0.1"), priority=5, scope=0, table=100)
    error = refusal(container.configure, far.index, (SUBNET,), (lost, Route(DEFAULT4, GATEWAY)))
    assert error.errno == ENETUNREACH
    assert error.msg == (
        "failed to add route '192.168.0.0/16 via 10.99.0.1 dev eth0 metric 5 (Scope: universe, Table: 100)': "
        "network is unreachable"
    )
    assert ("0.0.0.0/0", "10.1.2.1") in main_routes(container, 4)
    error = refusal(container.configure, far.index, (SUBNET, Prefix.parse("10.8.0.1/24")), ())
    assert error.msg == 'failed to add IP addr 10.1.2.3/24 to "eth0": file exists'
    assert "10.8.0.1/24" in prefixes(container, far.index)


def test_routes_the_kernel_refuses(make: Make) -> None:
    _, container, _, far = pair(make)
    through_down = (Route(DEFAULT4, GATEWAY),)
    assert refusal(container.configure, far.index, (SUBNET,), through_down, up=False).errno == ENETUNREACH
    assert refusal(container.configure, far.index, (), (Route(DEFAULT4),), up=False).errno == ENETDOWN
    container.set_link(far.index, up=True)
    lost6 = Route(DEFAULT6, Address.parse("fd99::1"))
    assert refusal(container.configure, far.index, (SUBNET6,), (lost6,)).errno == EHOSTUNREACH
    assert refusal(container.configure, far.index, (), (Route(DEFAULT6, SUBNET6.address),)).errno == EINVAL
    mixed = refusal(container.configure, far.index, (Prefix.parse("10.8.0.1/24"),), (Route(DEFAULT4, GATEWAY6),))
    assert mixed.errno == EINVAL
    assert mixed.msg.endswith(": gateway, source, and destination ip are not the same IP family")
    assert "10.8.0.1/24" not in prefixes(container, far.index)


@pytest.mark.parametrize("table", [100, 255, 256, 70000])
def test_other_tables(make: Make, table: int) -> None:
    _, container, _, far = pair(make)
    container.configure(far.index, (SUBNET,), (Route(DEFAULT4, GATEWAY, table=table),))
    assert main_routes(container, 4) == {("10.1.2.0/24", None)}
    found = [route for route in container.routes(4, table) if route.gateway is not None]
    assert [(route.destination, route.gateway, route.table) for route in found] == [(DEFAULT4, GATEWAY, table)]
    assert {254, table} <= {route.table for route in container.routes(4, None)}
    assert container.routes(4, 4242) == container.routes(6, 4242) == []


def test_route_to_takes_the_longest_prefix(make: Make) -> None:
    _, container, _, far = pair(make)
    assert container.route_to(GATEWAY) is None
    assert container.route_to(GATEWAY6) is None
    near = Route(Prefix.parse("192.168.0.0/16"), Address.parse("10.1.2.9"))
    container.configure(far.index, (SUBNET,), (Route(DEFAULT4, GATEWAY), near))

    def way(address: str) -> tuple[Address | None, int, Address | None]:
        route = container.route_to(Address.parse(address))
        assert route is not None and str(route.destination) == f"{address}/32"
        return route.gateway, route.device, route.source

    assert way("8.8.8.8") == (GATEWAY, far.index, SUBNET.address)
    assert way("192.168.3.3") == (Address.parse("10.1.2.9"), far.index, SUBNET.address)
    assert way("10.1.2.77") == (None, far.index, SUBNET.address)
    assert way("10.1.2.3") == (None, 1, SUBNET.address)


def test_down_takes_routes_and_ipv6_addresses_along(make: Make) -> None:
    _, container, _, far = pair(make)
    container.configure(far.index, (SUBNET, SUBNET6), (Route(DEFAULT4, GATEWAY), Route(DEFAULT6, GATEWAY6)))
    container.set_link(far.index, up=False)
    assert main_routes(container, 4) == main_routes(container, 6) == set()
    assert prefixes(container, far.index) == [str(SUBNET)]
    container.set_link(far.index, up=True)
    assert main_routes(container, 4) == {("10.1.2.0/24", None)}
    container.write_sysctl("net/ipv6/conf/eth0/keep_addr_on_down", "1")
    container.add_address(far.index, SUBNET6)
    container.set_link(far.index, up=False)
    assert prefixes(container, far.index) == [str(SUBNET), str(SUBNET6)]


def test_deleting_one_end_deletes_the_other(make: Make) -> None:
    host, container, near, far = pair(make)
    container.configure(far.index, (SUBNET,), (Route(DEFAULT4, GATEWAY),))
    container.delete_link(far.index)
    assert container.link("eth0") is None
    assert host.link("veth0") is None
    assert container.routes(4, None) == []
    container.delete_link(far.index)
    host.delete_link(near.index)
    assert refusal(host.delete_link, 1).errno == EOPNOTSUPP


def test_deleting_a_bridge_frees_its_ports(make: Make) -> None:
    host, _, near, _ = pair(make)
    host.delete_link(near.master)
    left = host.link("veth0")
    assert left is not None and left.master == 0


def test_a_retired_pair_is_out_of_use_at_once(make: Make) -> None:
    host, container, near, far = pair(make)
    container.configure(far.index, (SUBNET,), (Route(DEFAULT4, GATEWAY),))
    assert host.retire(container, far)
    assert container.link("eth0") is None
    assert main_routes(container, 4) == set()
    old = container.link_by_index(far.index)
    trash = host.link("veth0")
    assert old is not None and not old.is_up and old.name.startswith("pyn")
    assert trash is not None
    assert (trash.is_up, trash.group) == (False, TRASH_GROUP)
    _, again = host.create_veth("veth1", "eth0", container, master=near.master)
    container.configure(again.index, (SUBNET,), (Route(DEFAULT4, GATEWAY),))
    host.delete_group(TRASH_GROUP)
    assert [link.name for link in host.links()] == ["lo", "br0", "veth1"]
    assert [link.name for link in container.links()] == ["lo", "eth0"]
    assert ("0.0.0.0/0", "10.1.2.1") in main_routes(container, 4)
    host.delete_group(TRASH_GROUP)


def test_retire_leaves_a_strangers_pair_alone(make: Make) -> None:
    host, _, near, far = pair(make)
    stranger, other_host = make(), make()
    other_host.create_bridge("br0")
    _, foreign = other_host.create_veth("veth0", "eth0", stranger)
    assert (foreign.index, foreign.link) == (far.index, near.index)
    assert not host.retire(stranger, foreign)
    assert host.link_by_index(near.index) is not None
    kept = stranger.link("eth0")
    assert kept is not None and kept.index == foreign.index
    assert not host.retire(host, Link(1, "lo"))


def test_discarding_the_name_of_a_device_that_is_gone(make: Make) -> None:
    make().discard_name(4711)


def test_sysctls_have_a_fresh_namespaces_values(make: Make) -> None:
    _, container, _, _ = pair(make)
    assert container.read_sysctl("net/ipv4/ip_forward") == "0"
    assert container.read_sysctl("net/ipv6/conf/eth0/disable_ipv6") == "0"
    assert container.read_sysctl("net/ipv6/conf/eth0/accept_ra") == "1"
    assert container.read_sysctl("net/ipv4/conf/eth0/arp_notify") == "0"
    assert container.read_sysctl("net/ipv6/conf/all/forwarding") == "0"


def test_sysctls_follow_their_device(make: Make) -> None:
    _, container, _, far = pair(make)
    container.write_sysctl("net/ipv4/conf/eth0/arp_notify", "1")
    container.set_link(far.index, name="net1")
    assert container.read_sysctl("net/ipv4/conf/net1/arp_notify") == "1"
    for call in (container.read_sysctl, lambda path: container.write_sysctl(path, "1")):
        with pytest.raises(FileNotFoundError):
            call("net/ipv4/conf/eth0/arp_notify")
    with pytest.raises(OSError) as caught:
        container.write_sysctl("net/ipv4/conf/net1/arp_notify", "yes")
    assert caught.value.errno == EINVAL
    with pytest.raises(PermissionError):
        container.read_sysctl("net/../../version")


def test_forwarding_reaches_every_device(make: Make) -> None:
    host, container, _, _ = pair(make)
    container.write_sysctl("net/ipv4/ip_forward", "1")
    assert container.read_sysctl("net/ipv4/conf/eth0/forwarding") == "1"
    assert host.read_sysctl("net/ipv4/ip_forward") == "0"


def test_flushing_no_flows(make: Make) -> None:
    namespace = make()
    namespace.flush_udp_conntrack(4, (53, 54))
    namespace.flush_udp_conntrack(6, ())


def test_entered_and_close_can_be_used_twice(make: Make) -> None:
    namespace = make()
    for _ in range(2):
        with namespace.entered():
            pass
    with namespace:
        assert namespace.link("lo") is not None
    namespace.close()
