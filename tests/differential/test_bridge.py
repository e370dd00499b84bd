"""bridge, with host-local and without an IPAM plugin."""

from __future__ import annotations

from typing import Any

from address_strategies import (
    RESOLV_CONF,
    RESOLV_PATH,
    asked_addresses,
    good_range_sets,
    host_local,
    range_sets,
)
from case_strategies import any_macs, cases, dns, mostly, some, spoiled
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from verdict import judge, share

_trunks = st.lists(
    some(
        {},
        {
            "id": st.sampled_from((0, 1, 5, 4094, 4095)),
            "minID": st.sampled_from((0, 2, 6)),
            "maxID": st.sampled_from((3, 6, 4095)),
        },
    ),
    max_size=2,
)
_runtime = some(
    {},
    {"mac": any_macs, "ips": asked_addresses, "ipRanges": good_range_sets},
)
_keys: dict[str, Any] = {
    "isGateway": st.booleans(),
    "isDefaultGateway": st.just(True),
    "forceAddress": st.booleans(),
    "ipMasq": st.just(True),
    "ipMasqBackend": mostly(("iptables", "iptables", "nftables"), ("", "x")),
    "mtu": mostly((0, 1400, 9000, 1280), (68, 67, -5, 65535, 65536)),
    "hairpinMode": st.booleans(),
    "promiscMode": st.booleans(),
    "vlan": mostly((0,), (4095, -1), 6),
    "vlanTrunk": mostly(st.just([]), _trunks, 4),
    "macspoofchk": st.booleans(),
    "enabledad": st.booleans(),
    "disableContainerInterface": mostly((False,), (True,), 8),
    "portIsolation": st.booleans(),
    "preserveDefaultVlan": st.booleans(),
    "dns": dns,
    "bridge": mostly(("br1", "br-other", "br.1"), ("a-name-too-long-", "lo", "", "br/1", "br 1"), 8),
    "args": some({}, {"cni": some({}, {"mac": any_macs, "ips": asked_addresses})}),
    "runtimeConfig": _runtime,
    "capabilities": st.just({"mac": True}),
}
_required: dict[str, Any] = {"type": st.just("bridge")}
_layer3 = some({**_required, "ipam": host_local()}, _keys, 12)
_any_ranges = some({**_required, "ipam": host_local(range_sets)}, _keys, 4)
_layer2 = some(_required, _keys, 12)

_files = st.just({"files": {RESOLV_PATH: RESOLV_CONF}})
_surroundings = st.sampled_from(
    (
        *([],) * 6,
        ["ip link add br0 type bridge", "ip link set br0 up mtu 1450"],
        ["ip link add br0 type bridge", "ip addr add 10.1.2.1/24 dev br0"],
        [
            "ip link add cni0 type bridge",
            "ip addr add 10.1.2.200/24 dev cni0",
            "ip addr add fd00:1::200/64 dev cni0",
            "ip link set cni0 up",
        ],
        ["ip link add cni0 type veth peer name other"],
        ["@c1 ip link add eth0 type veth peer name inner"],
        ["@c1 ip link set lo down"],
    )
)
_around = st.builds(lambda setup: {"setup": setup, "files": {RESOLV_PATH: RESOLV_CONF}}, _surroundings)


@share(20)
@given(cases(st.lists(spoiled(_layer3), min_size=1, max_size=1), extra=_around))
def test_with_addresses(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(3)
@given(cases(st.lists(_any_ranges, min_size=1, max_size=1), extra=_files))
def test_with_any_ranges(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(9)
@given(cases(st.lists(spoiled(_layer2), min_size=1, max_size=1), extra=_around))
def test_without_addresses(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
