"""macvlan, tap and host-device, with host-local, static and without addresses."""

from __future__ import annotations

from typing import Any

from address_strategies import default_routes, host_local, route_lists
from case_strategies import OTHER_MAC, Case, Config, Strategy, any_macs, cases, dns, mostly, some, spoiled
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from verdict import judge, share

UPLINK = [
    "ip link add up0 type veth peer name up1",
    "ip link set up1 up",
    f"ip link set up0 up address {OTHER_MAC} mtu 1450",
]
DEFAULT_ROUTE = [*UPLINK, "ip addr add 192.0.2.1/24 dev up0", "ip route add default via 192.0.2.254"]
INSIDE = [f"@c1 {line}" for line in UPLINK]
_FIXED = ({"address": "10.1.2.9/24", "gateway": "10.1.2.1"}, {"address": "fd00:1::9/64"})
ADDRESSING = some(
    {
        "type": st.just("static"),
        "addresses": st.lists(mostly(_FIXED, ({"address": "x"},)), max_size=2),
    },
    {"routes": route_lists | default_routes, "dns": dns},
)
ipam = st.one_of(host_local(), host_local(), ADDRESSING)
mtus = mostly((0, 1400, 1450, 1280), (1451, 68, -1))
masters = mostly(("up0",), ("", "none", "lo"), 8)


def device(kind: str, required: Config, optional: Config, most: int = 8) -> Any:
    """Configurations of a plugin that makes or moves one device."""
    return some({"type": st.just(kind), **required}, {"ipam": ipam, "dns": dns, **optional}, most)


_macvlan_keys: Config = {
    "mode": mostly(("bridge", "private", "vepa", "passthru", ""), ("x",)),
    "mtu": mtus,
    "mac": any_macs,
    "linkInContainer": st.booleans(),
    "bcqueuelen": mostly((0, 1000), (1 << 32,)),
    "runtimeConfig": some({}, {"mac": any_macs}),
}
# without a master it is the default route's
_macvlan = mostly(device("macvlan", {"master": masters}, _macvlan_keys), device("macvlan", {}, _macvlan_keys), 4)
_tap = device(
    "tap",
    {},
    {
        "multiQueue": st.booleans(),
        "mtu": mtus,
        "mac": any_macs,
        "owner": mostly((0, 1000), (-1,)),
        "group": st.sampled_from((0, 1000)),
        "bridge": mostly(("inner", "inner", ""), ("none", "lo"), 8),
        "selinuxContext": mostly(("",), ("system_u:object_r:tun_t:s0",), 6),
        "runtimeConfig": some({}, {"mac": any_macs}),
    },
)
_CARD = "/sys/devices/virtual/card"
"""A directory of sysfs as cards have them; the others are on the buses."""

CARDS = [
    f"mkdir -p {_CARD}/0/net/hd0 {_CARD}/1/virtio0/net/hd0 {_CARD}/2 {_CARD}/3/net {_CARD}/sf/net/hd0",
    "mkdir -p /sys/bus/pci/drivers/vfio-pci /sys/bus/pci/drivers/e1000",
    *(f"ln -s {_CARD}/{number} /sys/bus/pci/devices/0000:00:1f.{number}" for number in range(4)),
    f"ln -s {_CARD}/sf /sys/bus/auxiliary/devices/mlx5_core.sf.7",
    *(f"ln -s /sys/bus/pci/drivers/e1000 {_CARD}/{number}/driver" for number in (0, 1, 3)),
    f"ln -s /sys/bus/pci/drivers/vfio-pci {_CARD}/2/driver",
]
_pci = st.sampled_from(("0000:00:1f.0", "0000:00:1f.1", "0000:00:1f.2", "0000:00:1f.3", "0000:00:1f.9", "x", ""))
_host_device = device(
    "host-device",
    {},
    {
        "device": mostly(("hd0",), ("none", "lo", ""), 6),
        "hwaddr": mostly(("0a:00:00:00:00:44", "0A:00:00:00:00:44"), ("0a:00:00:00:00:45", "x"), 6),
        "kernelpath": st.sampled_from(
            (f"{_CARD}/0", f"{_CARD}/0", "/sys/devices/none", "/etc", "sys/devices", "/sys/devices/../..")
        ),
        "pciBusID": _pci,
        "DPDKMode": mostly((False,), (True,), 4),
        "runtimeConfig": some({}, {"deviceID": _pci | st.sampled_from(("mlx5_core.sf.7", "mlx5_core.sf.8"))}),
    },
    6,
)
HOST_DEVICES = ["ip link add hd0 type veth peer name hd1", "ip link set hd0 address 0a:00:00:00:00:44"]
_up = ["ip link set hd0 up", "ip link set hd1 up"]
_around_tap = (
    [],
    ["@c1 ip link add inner type bridge"],
    ["@c1 ip link add inner type bridge"],
    ["@c1 ip link add eth0 type bridge"],
)
_around_host_device = (
    [*HOST_DEVICES, *_up],
    HOST_DEVICES,
    [*HOST_DEVICES, *_up, "@c1 ip link add hd0 type bridge"],
    [*HOST_DEVICES, *_up, "@c1 ip link add eth0 type bridge"],
    [*HOST_DEVICES, "ip link set hd0 alias own"],
    [*HOST_DEVICES, *_up, *CARDS],
    [*HOST_DEVICES, *_up, *CARDS],
    [],
)


def _in(setups: tuple[list[str], ...]) -> Any:
    return st.sampled_from(setups).map(lambda setup: {"setup": setup})


@st.composite
def placed(draw: st.DrawFn, drawn: Strategy, outside: tuple[list[str], ...] = (UPLINK,)) -> Case:
    """Cases whose master is nearly always where `linkInContainer` says."""
    case: Case = draw(drawn)
    inside = case["plugins"][-1].get("linkInContainer") is True
    if draw(st.integers(1, 8)) == 8:
        inside = not inside
    return case | {"setup": INSIDE if inside else draw(st.sampled_from(outside))}


@share(7)
@given(
    placed(
        cases(st.tuples(spoiled(_macvlan, often=5)).map(list)),
        (UPLINK, DEFAULT_ROUTE, DEFAULT_ROUTE, DEFAULT_ROUTE, []),
    )
)
def test_macvlan(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(5)
@given(cases(st.tuples(spoiled(_tap, often=5)).map(list), extra=_in(_around_tap)))
def test_tap(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(5)
@given(cases(st.tuples(spoiled(_host_device, often=5)).map(list), extra=_in(_around_host_device)))
def test_host_device(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
