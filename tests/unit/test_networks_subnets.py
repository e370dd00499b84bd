"""Choosing subnets: laws over any set of facts, and what the messages say."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.networks.errors import InvalidRequest, SubnetTaken
from netd.networks.subnets import (
    DEFAULT_ROUTE_LENGTH,
    POOLS4,
    Occupied,
    Pool,
    check_subnet,
    choose,
    refuse_collision,
    ula_pool,
)
from pycni.spec.address import Address, Prefix


def occupied(*texts: str) -> tuple[Occupied, ...]:
    return tuple(Occupied(Prefix.parse(text), f"route {text}") for text in texts)


@st.composite
def prefixes(draw: st.DrawFn, family: int = 4, inside: Prefix | None = None) -> Prefix:
    """Prefixes of any length; with `inside` near that range, so that they really are in the way."""
    bits = 32 if family == 4 else 128
    shortest = inside.length - 2 if inside else 0
    length = draw(st.integers(shortest, bits))
    number = draw(st.integers(0, 2**bits - 1))
    if inside is not None:
        number = inside.address.number | (number & ((1 << (bits - inside.length)) - 1))
    return Prefix(Address.from_number(number, family), length)


SMALL = (Pool(Prefix.parse("10.208.0.0/20"), 24), Pool(Prefix.parse("192.168.192.0/22"), 24))


@given(
    st.lists(st.one_of(prefixes(), *(prefixes(inside=pool.base) for pool in SMALL)), max_size=40),
    st.integers(20, 30),
)
def test_chosen_subnet_overlaps_no_fact_and_is_the_first_free(taken: list[Prefix], length: int) -> None:
    facts = [Occupied(prefix, str(prefix)) for prefix in taken]
    counted = [
        ipaddress.ip_network(str(prefix), strict=False) for prefix in taken if prefix.length > DEFAULT_ROUTE_LENGTH
    ]
    bases = [ipaddress.ip_network(str(pool.base)) for pool in SMALL]
    free = (
        candidate
        for base in bases
        if length >= base.prefixlen
        for candidate in base.subnets(new_prefix=length)
        if not any(candidate.overlaps(other) for other in counted)
    )
    expected = next(free, None)
    if expected is None:
        with pytest.raises(SubnetTaken):
            choose(SMALL, facts, length)
    else:
        assert str(choose(SMALL, facts, length)) == str(expected)


@given(st.lists(prefixes(6, ula_pool(b"host").base), max_size=30))
def test_chosen_ipv6_subnet_overlaps_no_fact(taken: list[Prefix]) -> None:
    pool = ula_pool(b"host")
    facts = [Occupied(prefix, str(prefix)) for prefix in taken]
    try:
        chosen = choose([pool], facts)
    except SubnetTaken:
        assert any(prefix.overlaps(pool.base) for prefix in taken)
        return
    assert pool.base.overlaps(chosen) and chosen.length == 64
    assert not any(prefix.overlaps(chosen) for prefix in taken)


def test_default_pools_in_order() -> None:
    assert str(choose(POOLS4, ())) == "10.208.0.0/24"
    assert str(choose(POOLS4, occupied("10.208.0.0/24", "10.208.2.0/24"))) == "10.208.1.0/24"
    assert str(choose(POOLS4, occupied("10.0.0.0/8"))) == "172.24.0.0/24"
    assert str(choose(POOLS4, occupied("10.0.0.0/8", "172.16.0.0/12"))) == "192.168.192.0/24"


def test_default_routes_take_nothing_but_a_vpns_private_route_does() -> None:
    everything = occupied("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1")
    assert str(choose(POOLS4, everything)) == "10.208.0.0/24"
    with pytest.raises(SubnetTaken, match=r"overlaps route 10.0.0.0/8; 172.24.0.0/24 is free"):
        refuse_collision(Prefix.parse("10.1.0.0/16"), (*everything, *occupied("10.0.0.0/8")), POOLS4)


def test_a_hole_is_in_the_way_of_what_has_all_of_it() -> None:
    hole = Occupied(Prefix.parse("10.208.0.0/24"), "blackhole route 10.208.0.0/24", "lo", hole=True)
    around = Occupied(Prefix.parse("10.0.0.0/8"), "unreachable route 10.0.0.0/8", "lo", hole=True)
    assert str(choose(POOLS4, (hole, around))) == "10.208.1.0/24"
    assert str(choose(POOLS4, (hole, around), 26)) == "10.208.0.0/26"
    refuse_collision(Prefix.parse("10.208.0.128/25"), (hole, around), POOLS4)
    for subnet in ("10.208.0.0/24", "10.208.0.0/16"):
        with pytest.raises(SubnetTaken, match=r"overlaps blackhole route 10.208.0.0/24; 10.208.1.0/24 is free"):
            refuse_collision(Prefix.parse(subnet), (hole, around), POOLS4)


def test_exhaustion_names_what_is_in_the_way_widest_first() -> None:
    facts = occupied("192.168.200.0/24", "192.168.0.0/16", "172.16.0.0/12", "10.0.0.0/8")
    with pytest.raises(SubnetTaken) as caught:
        choose(POOLS4, facts)
    assert caught.value.msg == (
        "no free /24 in 10.208.0.0/12, 172.24.0.0/14, 192.168.192.0/18 (route 10.0.0.0/8; route 172.16.0.0/12; "
        "route 192.168.0.0/16): name one with --subnet, or remove unused networks"
    )


def test_unique_local_range_is_stable_and_differs_between_hosts() -> None:
    assert ula_pool(b"a") == ula_pool(b"a") != ula_pool(b"b")
    assert ipaddress.ip_network(str(ula_pool(b"a").base)).subnet_of(ipaddress.IPv6Network("fd00::/8"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.1.2.3/24", "host bits are set, the network is 10.1.2.0/24"),
        ("10.1.2.0/31", "too small"),
        ("fd00::/127", "too small"),
        ("127.1.0.0/16", "loopback"),
        ("0.0.0.0/0", "this network"),
        ("224.0.0.0/24", "multicast"),
        ("fe80::/64", "link-local"),
    ],
)
def test_unusable_subnets_are_named(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=f"--subnet {text}: .*{message}"):
        check_subnet(Prefix.parse(text))
