"""Range sets: defaults, checks and their exact texts (contract 3.1, 3.2)."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.ipam.ranges import RangeSpec, build_range_sets, complete, complete_set, parse_spec
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import ConfigError
from pycni.spec.section import Section


def spec(subnet: str, start: str = "", end: str = "", gateway: str = "") -> RangeSpec:
    return parse_spec(Section({"subnet": subnet, "rangeStart": start, "rangeEnd": end, "gateway": gateway}))


@pytest.mark.parametrize(
    ("subnet", "start", "end", "gateway"),
    [
        ("192.0.2.0/24", "192.0.2.1", "192.0.2.254", "192.0.2.1"),
        ("192.0.2.0/25", "192.0.2.1", "192.0.2.126", "192.0.2.1"),
        ("10.0.0.0/30", "10.0.0.1", "10.0.0.2", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "10.255.255.254", "10.0.0.1"),
        ("0.0.0.0/0", "0.0.0.1", "255.255.255.254", "0.0.0.1"),
        ("2001:db8:1::/64", "2001:db8:1::1", "2001:db8:1:0:ffff:ffff:ffff:ffff", "2001:db8:1::1"),
        ("fd00::/126", "fd00::1", "fd00::3", "fd00::1"),
    ],
)
def test_defaults(subnet: str, start: str, end: str, gateway: str) -> None:
    made = complete(spec(subnet))
    assert (str(made.start), str(made.end), str(made.gateway)) == (start, end, gateway)


def test_explicit_ends_may_be_network_and_broadcast() -> None:
    made = complete(spec("10.0.0.0/29", "10.0.0.0", "10.0.0.7", "192.168.0.1"))
    assert (str(made), str(made.gateway)) == ("10.0.0.0-10.0.0.7", "192.168.0.1")


HOST_BITS = "Network has host bits set. For a subnet mask of length"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (spec("10.0.0.0/31"), "Network 10.0.0.0/31 too small to allocate from"),
        (spec("10.0.0.5/32"), "Network 10.0.0.5/32 too small to allocate from"),
        (spec("fd00::/127"), "Network fd00::/127 too small to allocate from"),
        (spec("10.0.0.1/24"), f"{HOST_BITS} 24 the network address is 10.0.0.0"),
        (spec("fd00::1:2/112"), f"{HOST_BITS} 112 the network address is fd00::1:0"),
        (spec("::ffff:10.0.0.0/120"), "IPNet IP and Mask version mismatch"),
        (parse_spec(Section({"gateway": "10.0.0.1"})), "IP <nil> not v4 nor v6"),
        (spec("10.0.0.0/24", "10.0.1.5"), "RangeStart 10.0.1.5 not in network 10.0.0.0/24"),
        (spec("10.0.0.0/24", "fd00::1"), "RangeStart fd00::1 not in network 10.0.0.0/24"),
        (spec("10.0.0.0/24", "10.0.0.9", "10.0.0.5"), "RangeStart 10.0.0.9 not in network 10.0.0.0/24"),
        (spec("10.0.0.0/24", end="10.0.1.5"), "RangeEnd 10.0.1.5 not in network 10.0.0.0/24"),
        (spec("10.0.0.0/24", end="fd00::1"), "RangeEnd fd00::1 not in network 10.0.0.0/24"),
        (spec("10.0.0.0/24", end="10.0.0.0"), "RangeEnd 10.0.0.0 not in network 10.0.0.0/24"),
        (spec("10.0.0.0/24", "10.0.0.255"), "RangeStart 10.0.0.255 not in network 10.0.0.0/24"),
    ],
)
def test_refused_ranges(wrong: RangeSpec, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        complete(wrong)
    assert caught.value.msg == text


def test_a_start_at_the_broadcast_address_is_no_obstacle_to_removal() -> None:
    assert str(complete(spec("10.0.0.0/24", "10.0.0.255"), removing=True)) == "10.0.0.255-10.0.0.254"
    for wrong in (spec("10.0.0.0/24", "10.0.1.0"), spec("10.0.0.0/24", "10.0.0.255", "10.0.0.9")):
        with pytest.raises(ConfigError, match="not in network"):
            complete(wrong, removing=True)


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        ([], "empty range set"),
        ([spec("10.0.0.0/24"), spec("fd00::/64")], "mixed address families"),
        (
            [spec("10.0.0.0/24"), spec("10.0.1.0/24"), spec("10.0.0.0/16")],
            "subnets 10.0.0.1-10.0.0.254 and 10.0.0.1-10.0.255.254 overlap",
        ),
    ],
)
def test_refused_sets(specs: list[RangeSpec], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        complete_set(specs)
    assert caught.value.msg == text


def test_ranges_of_one_subnet_that_do_not_touch_are_fine() -> None:
    made = complete_set([spec("10.0.0.0/24", "10.0.0.5", "10.0.0.9"), spec("10.0.0.0/24", "10.0.0.20", "10.0.0.29")])
    assert str(made) == "10.0.0.5-10.0.0.9,10.0.0.20-10.0.0.29"
    assert [made.contains(Address.parse(f"10.0.0.{last}")) for last in (4, 5, 9, 10, 20, 30)] == [
        False, True, True, False, True, False,
    ]  # fmt: skip
    assert not made.contains(Address.parse("::a00:5"))


@pytest.mark.parametrize(
    ("groups", "version", "text"),
    [
        ([], "1.0.0", "no IP ranges specified"),
        ([[spec("10.0.0.0/24")], []], "1.0.0", "invalid range set 1: empty range set"),
        (
            [[spec("10.0.0.0/24")], [spec("10.0.1.0/24")]],
            "0.2.0",
            "CNI version 0.2.0 does not support more than 1 address per family",
        ),
        (
            [[spec("fd00::/64")], [spec("fd01::/64")]],
            "",
            "CNI version  does not support more than 1 address per family",
        ),
        (
            [[spec("10.0.0.0/24")], [spec("10.0.1.0/24")], [spec("10.1.0.0/16"), spec("10.0.0.0/23")]],
            "0.3.0",
            "range set 0 overlaps with 2",
        ),
    ],
)
def test_refused_configurations(groups: Any, version: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_range_sets(groups, version)
    assert caught.value.msg == text


def test_one_set_of_each_family_suits_every_version() -> None:
    sets = build_range_sets([[spec("10.0.0.0/24")], [spec("fd00::/64")]], "0.1.0")
    assert [each.family for each in sets] == [4, 6]


prefixes = st.one_of(
    st.builds(
        lambda n, bits: ipaddress.ip_network((n, bits), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 30)
    ),
    st.builds(
        lambda n, bits: ipaddress.ip_network((n, bits), strict=False),
        st.integers(2**64, 2**128 - 1),
        st.integers(0, 126),
    ),
)


@given(prefixes)
def test_a_completed_range_lies_in_its_subnet(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    made = complete(RangeSpec(Prefix.parse(str(network))))
    start, end = ipaddress.ip_address(str(made.start)), ipaddress.ip_address(str(made.end))
    assert start in network
    assert end in network
    assert int(start) - int(network.network_address) == 1
    assert int(network.broadcast_address) - int(end) == (1 if network.version == 4 else 0)
    assert made.contains(made.start)
    assert made.contains(made.end)
    assert made.overlaps(made)
