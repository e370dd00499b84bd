"""rtnetlink and ctnetlink messages, read and written by pyroute2 as the oracle."""

from __future__ import annotations

import struct
from errno import EINVAL, ENOENT, EPERM
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from pycni.kernel import addresses, conntrack, links, netlink, routes
from pycni.kernel.model import InterfaceAddress, Link, Route
from pycni.spec.address import Address, Prefix

MAC = bytes.fromhex("0a5800000001")


def oracle(kind: Any, message: netlink.Message) -> Any:
    """The message as pyroute2 reads it."""
    decoded = kind(netlink.encode(message[0], message[1], 1, message[2]))
    decoded.decode()
    return decoded


def written(kind: Any, fields: dict[str, object], attrs: list[tuple[str, object]]) -> bytes:
    """A message's payload as pyroute2 writes it."""
    message = kind()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attrs
    message.encode()
    return bytes(message.data[16 : message["header"]["length"]])


packed4 = st.binary(min_size=4, max_size=4)
packed6 = st.binary(min_size=16, max_size=16).filter(lambda packed: packed[:12] != bytes(10) + b"\xff\xff")
prefixes = st.one_of(
    st.builds(Prefix, st.builds(Address, packed4), st.integers(0, 32)),
    st.builds(Prefix, st.builds(Address, packed6), st.integers(0, 128)),
)


def test_one_message_makes_the_whole_pair() -> None:
    message = links.new_veth("veth0", "eth0", netns=9, mtu=1400, mac=MAC, master=5)
    assert message[:2] == (16, 0x400 | 0x200 | 0x8)
    seen = oracle(ifinfmsg, message)
    assert (seen["index"], seen["flags"], seen["change"]) == (0, 1, 1)
    assert (seen.get_attr("IFLA_IFNAME"), seen.get_attr("IFLA_MTU"), seen.get_attr("IFLA_MASTER")) == ("veth0", 1400, 5)
    info = seen.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert (peer["flags"], peer["change"]) == (0, 0)
    assert dict(peer["attrs"]) == {
        "IFLA_IFNAME": "eth0",
        "IFLA_MTU": 1400,
        "IFLA_NET_NS_FD": 9,
        "IFLA_ADDRESS": "0a:58:00:00:00:01",
    }


def test_a_plain_pair_leaves_the_rest_to_the_kernel() -> None:
    seen = oracle(ifinfmsg, links.new_veth("veth0", "eth0", netns=9))
    assert [name for name, _ in seen["attrs"]] == ["IFLA_IFNAME", "IFLA_LINKINFO"]
    peer = seen.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert [name for name, _ in peer["attrs"]] == ["IFLA_IFNAME", "IFLA_NET_NS_FD"]


def test_a_bridge() -> None:
    seen = oracle(ifinfmsg, links.new_bridge("br0", 1300, vlan_filtering=True))
    assert (seen.get_attr("IFLA_IFNAME"), seen.get_attr("IFLA_MTU"), seen["flags"]) == ("br0", 1300, 0)
    info = seen.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "bridge"
    assert info.get_attr("IFLA_INFO_DATA").get_attr("IFLA_BR_VLAN_FILTERING") == 1
    plain = oracle(ifinfmsg, links.new_bridge("br0", 0, vlan_filtering=False))
    assert plain.get_attr("IFLA_MTU") is None
    assert plain.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA") is None


def test_set_link_says_only_what_changes() -> None:
    nothing = oracle(ifinfmsg, links.set_link(7))
    assert (nothing["index"], nothing["change"], nothing["attrs"]) == (7, 0, [])
    down = oracle(ifinfmsg, links.set_link(7, up=False, promiscuous=True, allmulti=True))
    assert (down["flags"], down["change"]) == (0x300, 0x301)
    seen = oracle(
        ifinfmsg,
        links.set_link(7, up=True, mac=MAC, mtu=1, txqlen=0, name="n", master=0, group=links.NAME_LIMIT, alias="a"),
    )
    assert (seen["flags"], seen["change"]) == (1, 1)
    assert dict(seen["attrs"]) == {
        "IFLA_ADDRESS": "0a:58:00:00:00:01",
        "IFLA_MTU": 1,
        "IFLA_TXQLEN": 0,
        "IFLA_IFNAME": "n",
        "IFLA_MASTER": 0,
        "IFLA_GROUP": 15,
        "IFLA_IFALIAS": "a",
    }


def test_port_flags_go_to_the_bridge() -> None:
    kind, _, payload = links.set_port(7, hairpin=True, isolated=False)
    assert (kind, payload[0]) == (19, 7)
    found = netlink.attributes(netlink.attributes(payload, 16)[12])
    assert found == {4: b"\1", 33: b"\0"}


def test_deleting_a_group_names_no_device() -> None:
    seen = oracle(ifinfmsg, links.delete_group(0x70796E21))
    assert (seen["index"], seen["header"]["type"], dict(seen["attrs"])) == (0, 17, {"IFLA_GROUP": 0x70796E21})


def test_a_device_is_read() -> None:
    payload = written(
        ifinfmsg,
        {"index": 12, "flags": 0x11043},
        [
            ("IFLA_IFNAME", "veth0"),
            ("IFLA_ADDRESS", "0a:58:00:00:00:01"),
            ("IFLA_MTU", 1400),
            ("IFLA_LINK", 3),
            ("IFLA_LINK_NETNSID", -1),
            ("IFLA_MASTER", 5),
            ("IFLA_TXQLEN", 17),
            ("IFLA_GROUP", 0x70796E21),
            ("IFLA_PROMISCUITY", 1),
            ("IFLA_IFALIAS", "web"),
            ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth")]}),
        ],
    ) + netlink.attribute_u8(16, 6)
    assert links.parse_link(payload) == Link(
        12, "veth0", "veth", MAC, 1400, 0x11043, 5, 3, -1, 6, 17, 0x70796E21, 1, "web"
    )
    bare = written(ifinfmsg, {"index": 1}, [("IFLA_IFNAME", "tun0")])
    assert links.parse_link(bare) == Link(1, "tun0")


@pytest.mark.parametrize(("number", "found"), [(3, 3), (0, 0), (-1, None)])
def test_a_namespaces_number_is_read(number: int, found: int | None) -> None:
    payload = bytes(4) + netlink.attribute(1, struct.pack("=i", number))
    assert links.parse_netns_id(payload) == found
    assert links.parse_netns_id(bytes(4)) is None


@given(prefixes)
def test_addresses_are_what_the_oracle_writes(prefix: Prefix) -> None:
    seen = oracle(ifaddrmsg, addresses.new_address(5, prefix))
    assert (seen["index"], seen["prefixlen"], seen["family"]) == (5, prefix.length, 2 if prefix.family == 4 else 10)
    assert seen["header"]["flags"] == 0x600
    for name in ("IFA_ADDRESS", "IFA_LOCAL"):
        assert Address.parse(seen.get_attr(name)) == prefix.address
    broadcast = seen.get_attr("IFA_BROADCAST")
    if prefix.family == 4 and prefix.length <= 30:
        assert Address.parse(broadcast) == prefix.last
    else:
        assert broadcast is None
    assert addresses.delete_address(5, prefix)[0] == 21
    assert addresses.parse_address(addresses.new_address(5, prefix)[2]) == (5, InterfaceAddress(prefix))
    nodad = addresses.new_address(5, prefix, dad=False)[2]
    assert addresses.parse_address(nodad) == (5, InterfaceAddress(prefix, flags=2))


def test_an_addresss_flags_come_from_the_wide_field() -> None:
    payload = written(
        ifaddrmsg,
        {"family": 2, "prefixlen": 24, "flags": 0x80, "scope": 253, "index": 3},
        [("IFA_ADDRESS", "10.0.0.9"), ("IFA_LOCAL", "10.0.0.1"), ("IFA_FLAGS", 0x280)],
    )
    assert addresses.parse_address(payload) == (3, InterfaceAddress(Prefix.parse("10.0.0.1/24"), 253, 0x280))


@st.composite
def some_routes(draw: st.DrawFn) -> Route:
    destination = draw(prefixes).network
    addresses_of = st.builds(Address, packed4 if destination.family == 4 else packed6)
    number = st.integers(0, 2**32 - 1)
    return Route(
        destination,
        draw(st.none() | addresses_of),
        draw(number),
        draw(st.integers(1, 2**32 - 1)),
        draw(st.integers(0, 255)),
        draw(number),
        draw(number),
        draw(st.none() | addresses_of),
        draw(st.integers(1, 2**31 - 1)),
        draw(st.integers(0, 255)),
    )


@given(some_routes())
def test_routes_come_back(route: Route) -> None:
    kind, flags, payload = routes.new_route(route)
    assert (kind, flags) == (24, 0x400)
    assert routes.parse_routes(payload) == [route]


def test_a_route_is_what_the_oracle_reads() -> None:
    route = Route(
        Prefix.parse("10.9.8.7/16"), Address.parse("10.1.2.1"), 7, 1000, 253, 1300, 1200, Address.parse("10.1.2.3"), 4
    )
    seen = oracle(rtmsg, routes.new_route(route))
    assert (seen["family"], seen["dst_len"], seen["table"], seen["scope"], seen["type"], seen["proto"]) == (
        (2, 16, 0, 253, 1, 3)
    )
    metrics = seen.get_attr("RTA_METRICS")
    assert dict(metrics["attrs"]) == {"RTAX_MTU": 1300, "RTAX_ADVMSS": 1200}
    assert {name: value for name, value in seen["attrs"] if name != "RTA_METRICS"} == {
        "RTA_DST": "10.9.0.0",
        "RTA_OIF": 4,
        "RTA_TABLE": 1000,
        "RTA_GATEWAY": "10.1.2.1",
        "RTA_PRIORITY": 7,
        "RTA_PREFSRC": "10.1.2.3",
    }


def test_a_plain_route_goes_to_the_main_table() -> None:
    seen = oracle(rtmsg, routes.new_route(Route(Prefix.parse("::/0"), device=4)))
    assert (seen["family"], seen["table"], seen["scope"]) == (10, 254, 0)
    assert [name for name, _ in seen["attrs"]] == ["RTA_DST", "RTA_OIF"]


@pytest.mark.parametrize("part", ["gateway", "source"])
def test_mixed_families_are_refused(part: str) -> None:
    route = Route(Prefix.parse("10.0.0.0/8")).replace(**{part: Address.parse("fd00::1")})
    with pytest.raises(ValueError, match="not the same IP family"):
        routes.new_route(route)


def test_multipath_routes_give_one_route_a_hop() -> None:
    hops = b""
    for device, gateway in (
        (3, netlink.attribute(5, b"\x0a\0\0\1")),
        (4, netlink.attribute(18, b"\x0a\0" + MAC * 2 + b"abcd")),
    ):
        hops += struct.pack("=HBBi", 8 + len(gateway), 0, 0, device) + gateway
    payload = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + netlink.attribute(9, hops)
    first, second = routes.parse_routes(payload)
    assert (first.device, str(first.gateway), str(first.destination)) == (3, "10.0.0.1", "0.0.0.0/0")
    assert second.device == 4 and second.gateway is not None and second.gateway.family == 6
    broken = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + netlink.attribute(9, bytes(8))
    assert routes.parse_routes(broken) == []


@pytest.mark.parametrize(("kind", "flags"), [(2, 0), (3, 0), (7, 0), (1, 0x200)])
def test_only_unicast_routes_count(kind: int, flags: int) -> None:
    payload = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 255, 2, 254, kind, flags) + netlink.attribute(1, b"\x0a\0\0\1")
    assert routes.parse_routes(payload) == []
    assert len(routes.parse_routes(payload, lookup=True)) == 1


def test_route_texts_are_the_contracts() -> None:
    route = Route(Prefix.parse("10.0.0.0/8"), Address.parse("10.1.2.1"), 5, 100, 253)
    assert routes.route_text(route, "eth0") == "10.0.0.0/8 via 10.1.2.1 dev eth0 metric 5 (Scope: link, Table: 100)"
    plain = Route(Prefix.parse("::/0"), scope=7)
    assert routes.route_text(plain, "eth0") == "::/0 via <nil> dev eth0 metric 0 (Scope: 7, Table: 0)"


def test_conntrack_entries_are_selected_by_the_kernel() -> None:
    kind, _, payload = conntrack.delete_udp_entries(4, 53)
    assert (kind, payload[:4]) == (0x102, b"\2\0\0\0")
    found = netlink.attributes(payload, 4)
    assert netlink.attributes(found[25]) == {1: struct.pack("=I", 0x28), 2: bytes(4)}
    assert netlink.attributes(netlink.attributes(found[1])[2]) == {1: b"\x11", 3: b"\0\x35"}
    kind, _, payload = conntrack.get_udp_entries(6)
    assert (kind, payload[:4]) == (0x101, b"\x0a\0\0\0")
    assert netlink.attributes(netlink.attributes(payload, 4)[25])[1] == struct.pack("=I", 0x08)


class Tracker:
    """A kernel whose ctnetlink refuses some requests; it remembers what it was asked."""

    def __init__(self, batch: int = 0, request: int = 0) -> None:
        self.asked: list[str] = []
        self._batch = batch
        self._request = request

    def batch(self, messages: list[netlink.Message]) -> None:
        self.asked.append(f"batch of {len(messages)}")
        self._answer(self._batch)

    def dump(self, _: netlink.Message) -> list[netlink.Reply]:
        self.asked.append("dump")
        return [
            (0x100, bytes(4) + b"".join(netlink.attribute(*item) for item in entry(17, port).items()))
            for port in (53, 99)
        ]

    def request(self, _: netlink.Message) -> None:
        self.asked.append("delete")
        self._answer(self._request)

    def _answer(self, number: int) -> None:
        if number:
            raise netlink.Refused(number)


@pytest.mark.parametrize("number", [0, ENOENT])
def test_kernels_that_cannot_select_while_deleting_list_first(number: int) -> None:
    tracker = Tracker(batch=EINVAL, request=number)
    conntrack.flush_udp(tracker, 4, (53, 54))  # type: ignore[arg-type]
    assert tracker.asked == ["batch of 2", "dump", "delete"]
    modern = Tracker()
    conntrack.flush_udp(modern, 4, (53, 54))  # type: ignore[arg-type]
    assert modern.asked == ["batch of 2"]


@pytest.mark.parametrize("tracker", [Tracker(batch=EPERM), Tracker(batch=EINVAL, request=EPERM)])
def test_other_refusals_of_the_tracker_are_errors(tracker: Tracker) -> None:
    with pytest.raises(netlink.Refused) as caught:
        conntrack.flush_udp(tracker, 4, (53,))  # type: ignore[arg-type]
    assert caught.value.errno == EPERM


def entry(protocol: int, port: int) -> dict[int, bytes]:
    tuple_ = netlink.nested(2, netlink.attribute_u8(1, protocol), netlink.attribute_be16(3, port))
    return {1: tuple_, 12: b"\0\0\0\7", 18: b"\0\1", 8: b"mark"}


def test_only_udp_entries_have_a_udp_port() -> None:
    assert conntrack.original_udp_port(entry(17, 53)) == 53
    assert conntrack.original_udp_port(entry(6, 53)) is None
    assert conntrack.original_udp_port({}) is None


def test_a_deletion_names_the_entry_and_its_id() -> None:
    kind, _, payload = conntrack.delete_entry(6, entry(17, 53))
    assert kind == 0x102
    assert payload[0] == 10
    assert netlink.attributes(payload, 4) == {key: value for key, value in entry(17, 53).items() if key != 8}
    seen = nfct_msg(netlink.encode(kind, 0, 1, payload))
    seen.decode()
    assert seen.get_attr("CTA_TUPLE_ORIG").get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_DST_PORT") == 53
