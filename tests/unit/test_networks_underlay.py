"""Networks on top of one of the host's devices, and routed ones: from flags to the list."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.networks.conflist import Network, read
from netd.networks.errors import InvalidRequest, SubnetTaken
from netd.networks.facts import HostFacts
from netd.networks.plan import plan
from netd.networks.request import parse_request
from netd.networks.subnets import Occupied
from pycni.spec.address import Address, Prefix

NOW = "2026-01-02T03:04:05Z"
OWN = Prefix.parse("192.168.1.10/24")
HOST = HostFacts(
    occupied=(Occupied(OWN, "address 192.168.1.10/24 on eth0", "eth0"), Occupied(OWN.network, "route", "eth0")),
    links=(("eth0", ""), ("eth1", ""), ("lo", "")),
    addresses=(("eth0", OWN),),
    defaults=(("eth0", Address.parse("192.168.1.1")),),
)


def planned(driver: str, host: HostFacts = HOST, **flags: Any) -> Any:
    return plan(parse_request("lan", driver=driver, **flags), (), host, created=NOW)


def first(driver: str, host: HostFacts = HOST, **flags: Any) -> Any:
    return planned(driver, host, **flags)["plugins"][0]


def network(value: Any) -> Network:
    return read(value, "/net.d/lan.conflist")


def test_macvlan_follows_the_default_route_and_names_the_router() -> None:
    plugin = first("macvlan", subnets=["192.168.1.0/24"], ip_ranges=["192.168.1.192/27"])
    assert plugin == {
        "type": "macvlan",
        "master": "eth0",
        "mode": "bridge",
        "ipam": {
            "type": "host-local",
            "ranges": [
                [
                    {
                        "subnet": "192.168.1.0/24",
                        "gateway": "192.168.1.1",
                        "rangeStart": "192.168.1.192",
                        "rangeEnd": "192.168.1.223",
                        "ipRange": "192.168.1.192/27",
                    }
                ]
            ],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
        "capabilities": {"ips": True},
    }


def test_the_list_of_each_driver() -> None:
    assert [each["type"] for each in planned("macvlan", dns=True)["plugins"]] == ["macvlan", "tuning", "dnsname"]
    assert [each["type"] for each in planned("ptp")["plugins"]] == ["ptp", "portmap", "firewall", "tuning"]
    assert first("ptp", options=["mtu=1400"])["mtu"] == 1400
    assert first("ptp")["ipMasq"] is True and "ipMasq" not in first("ptp", options=["ip-masq=false"])
    assert first("ptp", firewall="nftables")["ipMasqBackend"] == "nftables"
    assert first("vlan", options=["vlan=42"])["vlanId"] == 42
    assert "mode" not in first("ipvlan") and first("ipvlan", options=["ipvlan_mode=l3"])["mode"] == "l3"
    assert first("macvlan", options=["macvlan_mode=vepa", "parent=eth1"])["mode"] == "vepa"


def test_what_is_read_back() -> None:
    found = network(planned("macvlan", subnets=["192.168.1.0/24"], options=["mode=private"]))
    assert (found.driver, found.parent, found.mode, found.internal) == ("macvlan", "eth0", "private", False)
    assert [str(each.prefix) for each in found.subnets] == ["192.168.1.0/24"]
    assert network(planned("vlan", options=["vlan=42"])).vlan == 42


def test_the_host_s_own_address_is_not_given_out() -> None:
    ranges = first("macvlan", subnets=["192.168.1.0/24"])["ipam"]["ranges"]
    assert [(each["rangeStart"], each["rangeEnd"]) for each in ranges[0]] == [
        ("192.168.1.1", "192.168.1.9"),
        ("192.168.1.11", "192.168.1.254"),
    ]


@given(own=st.integers(1, 254), low=st.integers(0, 7))
def test_ranges_hold_every_free_address_and_no_other(own: int, low: int) -> None:
    host = HOST.replace(
        addresses=(("eth0", Prefix.parse(f"192.168.1.{own}/24")),), defaults=(("eth0", Address.parse("192.168.1.254")),)
    )
    wanted = {"subnets": ["192.168.1.0/24"], "ip_ranges": [f"192.168.1.{low * 32}/27"], "gateways": ["192.168.1.254"]}
    ranges = first("macvlan", host, **wanted)["ipam"]["ranges"][0]
    given_out = {
        number
        for each in ranges
        for number in range(
            int(ipaddress.ip_address(each["rangeStart"])), int(ipaddress.ip_address(each["rangeEnd"])) + 1
        )
    }
    base = int(ipaddress.ip_address("192.168.1.0"))
    usable = {base + number for number in range(max(1, low * 32), min(255, low * 32 + 32))}
    # host-local itself keeps the gateway back
    assert given_out | {base + 254} == (usable - {base + own}) | {base + 254}


def test_name_servers_beside_the_host_are_neighbours() -> None:
    server = Occupied(Prefix.parse("192.168.1.3/32"), "name server 192.168.1.3 in /etc/resolv.conf")
    host = HOST.replace(occupied=(*HOST.occupied, server))
    ranges = first("macvlan", host, subnets=["192.168.1.0/28"])["ipam"]["ranges"]
    assert [(each["rangeStart"], each["rangeEnd"]) for each in ranges[0]] == [
        ("192.168.1.1", "192.168.1.2"),
        ("192.168.1.4", "192.168.1.9"),
        ("192.168.1.11", "192.168.1.14"),
    ]
    with pytest.raises(SubnetTaken, match=r"name server 192\.168\.1\.3"):
        planned("macvlan", host, subnets=["192.168.1.0/28"], options=["parent=eth1"])


def test_dhcp_chooses_no_subnet() -> None:
    plugin = first("macvlan", ipam="dhcp")
    assert plugin["ipam"] == {"type": "dhcp"}
    assert network(planned("macvlan", ipam="dhcp")).subnets == ()


def test_host_access() -> None:
    plugin = first("macvlan", host_access=True, subnets=["192.168.1.0/24"], ip_ranges=["192.168.1.192/27"])
    assert plugin["hostAccess"] == {
        "device": "pn-lan",
        "addresses": ["192.168.1.223/32"],
        "routes": ["192.168.1.192/27"],
    }
    (entry,) = plugin["ipam"]["ranges"][0]
    assert (entry["rangeStart"], entry["rangeEnd"]) == ("192.168.1.192", "192.168.1.222")
    found = network(planned("macvlan", host_access=True, subnets=["10.9.0.0/24"]))
    assert found.host_access == "pn-lan"
    assert first("macvlan", host_access=True, subnets=["10.9.0.0/24"])["hostAccess"]["routes"] == ["10.9.0.0/24"]


def test_host_access_of_both_families() -> None:
    plugin = first("macvlan", host_access=True, subnets=["10.9.0.0/24", "fd00:9::/64"])
    assert plugin["hostAccess"]["addresses"] == ["10.9.0.254/32", "fd00:9::ffff:ffff:ffff:ffff/128"]


@pytest.mark.parametrize(
    ("driver", "flags", "message"),
    [
        ("macvlan", {"bridge": "br0"}, "--bridge: only networks of driver .* not macvlan"),
        ("macvlan", {"internal": True}, "--internal: only networks of driver .* not macvlan"),
        ("ipvlan", {"isolation": "isolated"}, "--isolation: only networks of driver .* not ipvlan"),
        (
            "vlan",
            {"firewall": "iptables", "options": ["vlan=1"]},
            "--firewall: only networks of driver .* not vlan",
        ),
        ("ipvlan", {"host_access": True}, "--host-access: only networks of driver .* not ipvlan"),
        ("ptp", {"ipam": "dhcp"}, "--ipam-driver dhcp: only networks of driver .* not ptp"),
        ("macvlan", {"ipam": "static"}, "--ipam-driver 'static': must be one of host-local, dhcp"),
        ("macvlan", {"ipam": "dhcp", "subnets": ["10.9.0.0/24"]}, "--subnet: with --ipam-driver dhcp"),
        ("macvlan", {"ipam": "dhcp", "host_access": True}, "--host-access: with --ipam-driver dhcp"),
        ("macvlan", {"options": ["mode=l2"]}, "option mode: 'l2' must be one of private, vepa, bridge, passthru"),
        ("macvlan", {"options": ["mode=vepa"], "host_access": True}, "--host-access: in mode vepa"),
        ("macvlan", {"options": ["ipvlan_mode=l2"]}, "option 'ipvlan_mode' is unknown; known are .*macvlan_mode"),
        ("macvlan", {"options": ["icc=false"]}, "option 'icc' is unknown"),
        ("vlan", {}, "option vlan: a vlan network needs its number"),
        ("vlan", {"options": ["vlan=0"]}, "option vlan: '0' is not a number from 1 to 4094"),
        ("macvlan", {"options": ["parent=eth9"]}, "option parent: 'eth9': there is no such device"),
        ("macvlan", {"options": ["parent=lo"]}, "option parent: 'lo': leads nowhere"),
        ("macvlan", {"options": ["parent=a/b"]}, "option parent 'a/b'"),
        ("macvlan", {"host_access": True, "subnets": ["192.168.1.0/24"]}, "--host-access: needs an --ip-range"),
        (
            "macvlan",
            {"host_access": True, "subnets": ["10.9.0.0/24"], "ip_ranges": ["10.9.0.8/32"]},
            "--host-access: 10.9.0.8/32 has no address left",
        ),
    ],
)
def test_mistakes_name_the_flag(driver: str, flags: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        planned(driver, **flags)


def test_a_host_without_default_route() -> None:
    with pytest.raises(InvalidRequest, match="this host has no default route to follow; name a device"):
        planned("macvlan", HOST.replace(defaults=()))


def test_the_parent_s_subnet_is_the_network_s_and_nobody_else_s() -> None:
    assert first("ipvlan", subnets=["192.168.1.0/24"])["ipam"]["ranges"][0][0]["gateway"] == "192.168.1.1"
    with pytest.raises(SubnetTaken, match=r"192\.168\.1\.0/24"):
        planned("macvlan", subnets=["192.168.1.0/24"], options=["parent=eth1"])
    with pytest.raises(SubnetTaken, match=r"192\.168\.1\.0/24"):
        planned("ptp", subnets=["192.168.1.0/24"])


def beside(driver: str, *others: Network, **flags: Any) -> Any:
    """A second network."""
    return plan(parse_request("lab", driver=driver, **flags), others, HOST, created=NOW)


LAN = "192.168.1.0/24"


def test_two_networks_of_one_wire_never_give_out_the_same_address() -> None:
    whole = network(planned("macvlan", subnets=[LAN]))
    low = network(planned("macvlan", subnets=[LAN], ip_ranges=["192.168.1.64/27"], host_access=True))
    for other in (whole, low):
        with pytest.raises(SubnetTaken, match=r"192\.168\.1\.0/24 of network lan \(/net\.d/lan\.conflist\)"):
            beside("macvlan", other, subnets=[LAN])
    for ip_range in ("192.168.1.64/26", "192.168.1.80/28"):
        with pytest.raises(SubnetTaken, match="network lan"):
            beside("macvlan", low, subnets=[LAN], ip_ranges=[ip_range])
    with pytest.raises(SubnetTaken, match="network lan"):
        beside("vlan", whole, subnets=[LAN], options=["vlan=5"])


def test_two_networks_of_one_wire_may_share_its_subnet() -> None:
    low = network(planned("macvlan", subnets=[LAN], ip_ranges=["192.168.1.64/27"], host_access=True))
    value = beside("macvlan", low, subnets=[LAN], ip_ranges=["192.168.1.96/27"])
    (entry,) = value["plugins"][0]["ipam"]["ranges"][0]
    assert (entry["rangeStart"], entry["rangeEnd"]) == ("192.168.1.96", "192.168.1.127")
    by_hand = low.replace(subnets=(low.subnets[0].replace(ip_range=None),))
    assert by_hand.subnets[0].start is not None
    assert beside("macvlan", by_hand, subnets=[LAN], ip_ranges=["192.168.1.96/27"]) == value
    with pytest.raises(SubnetTaken, match="network lan"):
        beside("macvlan", low.replace(parent="eth1"), subnets=[LAN], ip_ranges=["192.168.1.96/27"])


def test_the_way_to_another_network_s_containers_is_no_obstacle() -> None:
    low = network(planned("macvlan", subnets=[LAN], ip_ranges=["192.168.1.64/27"], host_access=True))
    shim = (Prefix.parse("192.168.1.95/32"), Prefix.parse("192.168.1.64/27"))
    host = HOST.replace(occupied=(*HOST.occupied, *(Occupied(each, f"route {each}", "pn-lan") for each in shim)))

    def second(ip_range: str) -> Any:
        request = parse_request("lab", driver="macvlan", subnets=[LAN], ip_ranges=[ip_range], host_access=True)
        return plan(request, (low,), host, created=NOW)["plugins"][0]["hostAccess"]

    assert second("192.168.1.96/27")["routes"] == ["192.168.1.96/27"]
    with pytest.raises(SubnetTaken, match=r"192\.168\.1\.64/27|192\.168\.1\.95/32"):
        second("192.168.1.64/26")


def test_neighbours_never_have_the_same_automatic_subnet() -> None:
    both = {"subnets": [LAN], "ipv6": True}
    low = network(planned("macvlan", ip_ranges=["192.168.1.64/27"], **both))
    value = plan(
        parse_request("lab", driver="macvlan", ip_ranges=["192.168.1.96/27"], **both), (low,), HOST, created=NOW
    )
    high = network(value)
    assert [low.subnets[0].prefix, high.subnets[0].prefix] == [Prefix.parse(LAN)] * 2
    assert not low.subnets[1].prefix.overlaps(high.subnets[1].prefix)


def test_no_device_has_more_than_its_parent_s_mtu() -> None:
    host = HOST.replace(mtus=(("eth0", 1500), ("lo", 65536)))
    for driver, options in (("macvlan", []), ("vlan", ["vlan=5"])):
        assert first(driver, host, mtu=1500, options=options)["mtu"] == 1500
        with pytest.raises(InvalidRequest, match="--mtu 1501: 'eth0', which the containers are to be on, has 1500"):
            planned(driver, host, mtu=1501, options=options)
    assert first("ptp", host, mtu=9000)["mtu"] == 9000


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (("macvlan", ""), ("ipvlan", ""), "'eth0' carries macvlan network lan .*: a device carries macvlan or ipvlan"),
        (("ipvlan", "l3"), ("macvlan", ""), "'eth0' carries ipvlan network lan"),
        (("ipvlan", ""), ("ipvlan", "l3"), "all ipvlan devices on one have the same mode"),
        (("macvlan", ""), ("macvlan", "passthru"), "in mode passthru a network has it alone"),
        (("macvlan", "passthru"), ("macvlan", ""), "in mode passthru a network has it alone"),
        (("ipvlan", ""), ("ipvlan", "l2"), ""),
        (("macvlan", "private"), ("macvlan", "vepa"), ""),
        (("macvlan", "passthru"), ("vlan", ""), ""),
        (("vlan", ""), ("ipvlan", "l3"), ""),
    ],
)
def test_what_one_device_carries(one: tuple[str, str], other: tuple[str, str], message: str) -> None:
    def flags(driver: str, mode: str) -> dict[str, Any]:
        return {"options": ([f"mode={mode}"] if mode else []) + (["vlan=5"] if driver == "vlan" else [])}

    first_one = network(planned(one[0], **flags(*one)))
    if message:
        with pytest.raises(InvalidRequest, match=message):
            beside(other[0], first_one, **flags(*other))
    else:
        assert beside(other[0], first_one, **flags(*other))["plugins"][0]["type"] == other[0]
    elsewhere = first_one.replace(parent="eth1")
    assert beside(other[0], elsewhere, **flags(*other))["plugins"][0]["master"] == "eth0"
