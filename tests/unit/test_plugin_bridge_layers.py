"""bridge: the plans that it makes of its keys and of IPAM's result."""

from __future__ import annotations

from typing import Any

import pytest
from bridge_keys import keys
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.facts import Masquerade, Owner
from pycni.firewall.naming import MASQUERADE, attachment_hash, host_end
from pycni.kernel.model import PortVlan, Route
from pycni.plan import ops
from pycni.spec.address import Address, Prefix
from pycni.spec.result import IpConfig, Result
from pycni_plugins.bridge import layers
from pycni_plugins.bridge.steps import Announce

OWNER = Owner("net", "c1", "eth0")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ()),
        ({"vlanTrunk": []}, ()),
        ({"vlan": 7}, (PortVlan(7, True, True),)),
        ({"vlan": 7, "vlanTrunk": [{"id": 9}]}, (PortVlan(7, True, True), PortVlan(9))),
        ({"vlanTrunk": [{"minID": 2, "maxID": 3}]}, (PortVlan(2), PortVlan(3), PortVlan(1, True, True))),
    ],
)
def test_the_vlans_of_a_port(values: dict[str, Any], expected: tuple[PortVlan, ...]) -> None:
    assert layers.port_vlans(keys(**values)) == expected
    joins = [each for each in layers.links(keys(**values), OWNER) if isinstance(each, ops.JoinVlans)]
    assert joins == ([ops.JoinVlans(expected)] if expected else [])


def ip(address: str, gateway: str = "") -> IpConfig:
    return IpConfig(Prefix.parse(address), Address.parse(gateway) if gateway else None)


def route(destination: str, gateway: str = "") -> Route:
    return Route(Prefix.parse(destination), Address.parse(gateway) if gateway else None)


def test_links() -> None:
    bridge = keys(
        bridge="br0", mtu=1400, hairpinMode=True, portIsolation=True, runtimeConfig={"mac": "0a:00:00:00:00:01"}
    )
    device, pair = layers.links(bridge, OWNER)
    assert device == ops.EnsureBridge("br0", 1400)
    assert pair == ops.CreateVeth(
        "eth0",
        host_end(OWNER),
        f"{attachment_hash(OWNER)}, net: net, if: eth0, id: c1",
        "br0",
        1400,
        bytes.fromhex("0a0000000001"),
        True,
        True,
    )


@given(st.text("abc", min_size=1), st.text("abc", min_size=1), st.text("abc", min_size=1))
def test_the_host_ends_name_depends_on_the_whole_attachment(network: str, container_id: str, ifname: str) -> None:
    name = host_end(Owner(network, container_id, ifname))
    assert name.startswith("veth")
    assert len(name) == 12
    assert int(name[4:], 16) >= 0
    assert name == host_end(Owner(network, container_id, ifname))
    assert name != host_end(Owner(network, container_id + "x", ifname))
    assert name != host_end(Owner(network, container_id, ifname + "x"))


@pytest.mark.parametrize(
    ("values", "given_gateway", "expected"),
    [
        ({}, "", None),
        ({}, "10.1.2.9", "10.1.2.9"),
        ({"isGateway": True}, "", "10.1.2.1"),
        ({"isGateway": True}, "10.1.2.9", "10.1.2.9"),
        ({"isDefaultGateway": True}, "", "10.1.2.1"),
    ],
)
def test_the_gateway(values: dict[str, Any], given_gateway: str, expected: str | None) -> None:
    result = layers.address(keys(**values), Result(ips=(ip("10.1.2.7/24", given_gateway),)))
    (found,) = result.ips
    assert found.interface == layers.CONTAINER_INTERFACE
    assert (str(found.gateway) if found.gateway else None) == expected


@pytest.mark.parametrize(
    ("present", "added"),
    [
        ((), ["0.0.0.0/0 10.0.0.1", "::/0 fd00::1"]),
        ((route("0.0.0.0/0", "10.0.0.254"),), ["::/0 fd00::1"]),
        ((route("0.0.0.0/0"),), ["::/0 fd00::1"]),
        ((route("::/0", "fd00::9"), route("9.0.0.0/8")), ["0.0.0.0/0 10.0.0.1"]),
    ],
)
def test_one_default_route_a_family(present: tuple[Route, ...], added: list[str]) -> None:
    allocated = Result(ips=(ip("10.0.0.2/24"), ip("10.0.1.2/24"), ip("fd00::2/64")), routes=present)
    result = layers.address(keys(isDefaultGateway=True), allocated)
    assert result.routes[: len(present)] == present
    assert [f"{each.destination} {each.gateway}" for each in result.routes[len(present) :]] == added
    assert layers.address(keys(isGateway=True), allocated).routes == present


def test_the_containers_plan() -> None:
    result = Result(
        ips=(ip("10.0.0.2/24", "10.0.0.1"), ip("10.0.1.2/24", "10.0.1.1"), ip("fd00::2/64")),
        routes=(route("9.0.0.0/8"), route("8.0.0.0/8", "10.0.0.3"), route("fd01::/64")),
    )
    assert layers.container(keys(), "eth0", result) == [
        ops.Sysctl(ops.CONTAINER, "net/ipv4/conf/eth0/arp_notify", "1"),
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/accept_dad", "0"),
        ops.ConfigureInterface(
            "eth0",
            tuple(each.address for each in result.ips),
            (route("9.0.0.0/8", "10.0.0.1"), route("8.0.0.0/8", "10.0.0.3"), route("fd01::/64")),
        ),
    ]


def test_duplicate_address_detection() -> None:
    plan = layers.container(keys(enabledad=True), "eth0", Result(ips=(ip("fd00::2/64", "fd00::1"),)))
    assert plan[1:3] == [
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/enhanced_dad", "1"),
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/accept_dad", "1"),
    ]
    configure = plan[-1]
    assert isinstance(configure, ops.ConfigureInterface)
    assert configure.await_dad


def test_gateways_ipv4_first() -> None:
    result = Result(ips=(ip("fd00::2/64", "fd00::1"), ip("10.0.0.2/24", "10.0.0.1"), ip("10.0.1.2/16", "10.0.0.9")))
    assert layers.gateways(keys(bridge="br0", forceAddress=True), result) == [
        ops.EnsureAddress("br0", Prefix.parse("10.0.0.1/24"), True),
        ops.EnsureAddress("br0", Prefix.parse("10.0.0.9/16"), True),
        ops.EnableForwarding(4),
        ops.EnsureAddress("br0", Prefix.parse("fd00::1/64"), True),
        ops.EnableForwarding(6),
    ]
    assert layers.gateways(keys(), Result(ips=(ip("10.0.0.2/24"),))) == []


def test_the_gateway_of_a_vlan() -> None:
    found = Result(ips=(ip("10.0.0.2/24", "10.0.0.1"), ip("fd00::2/64", "fd00::1")))
    assert layers.gateways(keys(vlan=7, preserveDefaultVlan=True), found) == [
        ops.EnsureVlanGateway("cni0.7", "cni0", 7, True),
        ops.EnsureAddress("cni0.7", Prefix.parse("10.0.0.1/24"), False),
        ops.EnableForwarding(4),
        ops.EnsureAddress("cni0.7", Prefix.parse("fd00::1/64"), False),
        ops.EnableForwarding(6),
    ]
    assert layers.gateways(keys(vlan=7), Result(ips=(ip("10.0.0.2/24"),))) == []


@pytest.mark.parametrize(
    ("ips", "plan"),
    [((), []), ((ip("10.0.0.2/24"),), [("eth0", False)]), ((ip("10.0.0.2/24"), ip("fd00::2/64")), [("eth0", True)])],
)
def test_addresses_are_announced(ips: tuple[IpConfig, ...], plan: list[tuple[str, bool]]) -> None:
    assert layers.announcement("eth0", Result(ips=ips)) == [Announce(*each) for each in plan]


def test_masquerade() -> None:
    result = Result(ips=(ip("10.0.0.2/24"), ip("fd00::2/64")))
    fact = Masquerade((Prefix.parse("10.0.0.2/24"), Prefix.parse("fd00::2/64")))
    assert layers.masquerade(OWNER, "nftables", result) == [ops.InstallRules(OWNER, MASQUERADE, "nftables", (fact,))]
