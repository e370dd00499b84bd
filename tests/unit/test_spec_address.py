"""Addresses and prefixes, with the standard library's `ipaddress` as the oracle."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pycni.spec.address import Address, Prefix

_MAPPED = ipaddress.ip_network("::ffff:0:0/96")

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6).filter(lambda each: each not in _MAPPED)
sparse6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0x102]), min_size=8, max_size=8).map(
    lambda words: ipaddress.IPv6Address(b"".join(word.to_bytes(2, "big") for word in words))
)
any_address = st.one_of(v4, v6, sparse6.filter(lambda each: each not in _MAPPED))
prefixes = any_address.flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(
        lambda length: ipaddress.ip_interface(f"{address}/{length}")
    )
)


@given(any_address)
def test_address_agrees_with_the_oracle(oracle: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    address = Address.parse(str(oracle))
    assert str(address) == str(oracle)
    assert address.packed == oracle.packed
    assert (address.number, address.family, address.bits) == (int(oracle), oracle.version, oracle.max_prefixlen)
    assert Address.from_number(int(oracle), oracle.version) == address
    assert address.is_unspecified == oracle.is_unspecified
    assert address.is_loopback == oracle.is_loopback
    assert address.is_link_local == oracle.is_link_local


@given(v6)
def test_long_and_upper_case_spellings_are_the_same_address(oracle: ipaddress.IPv6Address) -> None:
    assert Address.parse(oracle.exploded.upper()) == Address.parse(str(oracle))


@given(v4)
def test_a_mapped_address_is_the_ipv4_one(oracle: ipaddress.IPv4Address) -> None:
    assert Address.parse(f"::ffff:{oracle}") == Address.parse(str(oracle))


@given(st.text(st.sampled_from("0123456789abcdefABCDEF.:/%gG -x\0ü"), max_size=24))
def test_what_the_oracle_refuses_is_refused(text: str) -> None:
    try:
        oracle = ipaddress.ip_address(text)
        assume("%" not in text)
    except ValueError:
        with pytest.raises(ValueError, match=r"^invalid IP address: "):
            Address.parse(text)
    else:
        mapped = getattr(oracle, "ipv4_mapped", None)
        assert Address.parse(text).packed == (mapped or oracle).packed


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4/24", "256.1.1.1", "fe80::1%eth0", "::1::", " 1.2.3.4", "１.2.3.4"],
)
def test_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid IP address: "):
        Address.parse(text)


@given(any_address, any_address)
def test_order_is_by_family_then_number(
    a: ipaddress.IPv4Address | ipaddress.IPv6Address, b: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    assert (Address(a.packed) < Address(b.packed)) == ((a.version, int(a)) < (b.version, int(b)))


@given(any_address, st.integers(-1000, 1000))
def test_addition(oracle: ipaddress.IPv4Address | ipaddress.IPv6Address, offset: int) -> None:
    if 0 <= int(oracle) + offset < 1 << oracle.max_prefixlen:
        assert (Address(oracle.packed) + offset).packed == (oracle + offset).packed
    else:
        with pytest.raises(OverflowError):
            Address(oracle.packed) + offset


@given(prefixes)
def test_prefix_agrees_with_the_oracle(oracle: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> None:
    prefix = Prefix.parse(str(oracle))
    assert str(prefix) == str(oracle)
    assert prefix.family == oracle.version
    assert prefix.length == oracle.network.prefixlen
    assert prefix.mask == int(oracle.netmask)
    assert str(prefix.network) == str(oracle.network)
    assert prefix.last.packed == oracle.network.broadcast_address.packed


@given(prefixes, any_address)
def test_contains_agrees_with_the_oracle(
    network: ipaddress.IPv4Interface | ipaddress.IPv6Interface, other: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    prefix = Prefix.parse(str(network))
    assert prefix.contains(Address(other.packed)) == (other in network.network)
    assert prefix.contains(prefix.network.address)
    assert prefix.contains(prefix.last)


@given(prefixes, prefixes)
def test_overlaps_agrees_with_the_oracle(
    a: ipaddress.IPv4Interface | ipaddress.IPv6Interface, b: ipaddress.IPv4Interface | ipaddress.IPv6Interface
) -> None:
    expected = a.version == b.version and a.network.overlaps(b.network)  # type: ignore[arg-type]
    assert Prefix.parse(str(a)).overlaps(Prefix.parse(str(b))) == expected
    assert Prefix.parse(str(b)).overlaps(Prefix.parse(str(a))) == expected


@given(any_address)
def test_host_prefix(oracle: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert str(Prefix.host(Address(oracle.packed))) == f"{oracle}/{oracle.max_prefixlen}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3.4",
        "1.2.3.4/",
        "/24",
        "1.2.3.4/33",
        "::1/129",
        "1.2.3.4/-1",
        "1.2.3.4/+1",
        "1.2.3.4/08",
        "1.2.3.4/255.255.255.0",
        "1.2.3.4/2 ",
        "1.2.3.4/٣",
        "x/24",
        "1.2.3.4/24/1",
    ],
)
def test_not_a_prefix(text: str) -> None:
    with pytest.raises(ValueError, match=r"^invalid CIDR address: "):
        Prefix.parse(text)
