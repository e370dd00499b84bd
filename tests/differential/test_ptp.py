"""ptp, with host-local and with static."""

from __future__ import annotations

from typing import Any

from address_strategies import (
    RESOLV_CONF,
    RESOLV_PATH,
    default_routes,
    good_range_sets,
    host_local,
    route_lists,
)
from case_strategies import cases, cni_args, dns, mostly, some, spoiled
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from verdict import judge, share

_prefixes = mostly(("10.1.2.9/24", "10.1.2.8/24", "10.1.4.7/28", "fd00:1::9/64", "fd00:2::8/120"), ("10.1.2.9", ""))
_gateways = mostly(("10.1.2.1",), ("10.1.4.1", "fd00:1::1", "192.0.2.1", ""), 3)
# the reference's complaint about one that comes twice has a pointer in it
_any_addresses = st.lists(
    some({"address": _prefixes, "gateway": _gateways}, {}), max_size=2, unique_by=lambda each: each["address"]
)
_four = {"address": "10.1.2.9/24", "gateway": "10.1.2.1"}
_six = {"address": "fd00:1::9/64", "gateway": "fd00:1::1"}
_addresses = mostly(([_four], [_four], [_four, _six], [{**_four, "address": "10.1.2.8/24"}]), _any_addresses, 3)
# of two of one subnet the reference's host-local takes any
_asked = st.lists(_prefixes, max_size=1)
_static = some(
    {"type": st.just("static"), "addresses": _addresses}, {"routes": route_lists | default_routes, "dns": dns}
)
_keys: dict[str, Any] = {
    "ipMasq": st.just(True),
    "ipMasqBackend": mostly(("iptables", "iptables", "nftables"), ("", "x")),
    "mtu": mostly((0, 1400, 9000, 1280), (68, 67, 65535, 65536)),
    "dns": dns,
    "args": some({}, {"cni": some({}, {"ips": _asked})}),
    "runtimeConfig": some({}, {"ips": _asked, "ipRanges": good_range_sets}),
}
_required: dict[str, Any] = {"type": st.just("ptp")}
_with_ranges = some({**_required, "ipam": host_local()}, _keys)
_with_static = some({**_required, "ipam": _static}, _keys)
_static_args = cni_args | mostly(
    ("IP=10.1.2.5/24;GATEWAY=10.1.2.1", "IP=10.1.2.5/24, fd00:1::5/64;GATEWAY=fd00:1::1,10.1.2.1", "GATEWAY=10.1.2.7"),
    ("IP=10.1.2.5/24;GATEWAY=x", "GATEWAY=10.1.4.1,10.1.2.1"),
    4,
)
_alone = some({"type": st.just("static"), "ipam": _static}, {key: _keys[key] for key in ("args", "runtimeConfig")})

_surroundings = st.sampled_from(
    (
        *([],) * 6,
        ["@c1 ip link add eth0 type bridge"],
        ["@c1 ip link set lo down"],
        ["sysctl -qw net.ipv4.ip_forward=1"],
        ["ip link add other type bridge", "ip addr add 10.1.2.1/24 dev other", "ip link set other up"],
    )
)
_around = st.builds(lambda setup: {"setup": setup, "files": {RESOLV_PATH: RESOLV_CONF}}, _surroundings)


# few: the reference's ADD of an IPv6 address takes two seconds
@share(2)
@given(cases(st.lists(_with_ranges, min_size=1, max_size=1), extra=_around))
def test_with_ranges(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(3)
@given(cases(st.lists(spoiled(_with_static), min_size=1, max_size=1), _static_args))
def test_with_static_addresses(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(3)
@given(cases(st.lists(spoiled(_alone), min_size=1, max_size=1), _static_args))
def test_static_alone(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
