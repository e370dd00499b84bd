"""What every implementation of `pycni.kernel.api.NamespaceApi` promises about addresses and routes.

The fake runs these in tests/unit/test_kernel_memory.py, the real kernel in tests/netns/test_kernel_contract.py; each
provides the fixture `make`, a factory of fresh namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EACCES, EEXIST, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, ENODEV

import pytest
from kernel_pair import DEFAULT4, DEFAULT6, GATEWAY, GATEWAY6, SUBNET, SUBNET6, main_routes, pair, prefixes, refusal

from pycni.kernel.api import TYPE_CHECKING
from pycni.kernel.model import Route
from pycni.spec.address import Address, Prefix

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Make = Callable[[], NamespaceApi]


def test_changing_a_device_that_is_not_there(make: Make) -> None:
    namespace = make()
    for call in (
        lambda: namespace.set_link(4711, up=True),
        lambda: namespace.add_address(4711, SUBNET),
        lambda: namespace.configure(4711, (), (Route(DEFAULT4),), up=False),
    ):
        assert refusal(call).errno == ENODEV
    assert "index 4711" in refusal(namespace.set_link, 4711, up=True).msg


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
