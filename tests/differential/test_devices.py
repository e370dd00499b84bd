"""macvlan, tap and host-device, with host-local, static and without addresses."""

from __future__ import annotations

from typing import Any

from address_strategies import default_routes, host_local, route_lists
from case_strategies import OTHER_MAC, Config, bad_macs, cases, dns, macs, some, spoiled
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
_FIXED = ({"address": "10.1.2.9/24", "gateway": "10.1.2.1"}, {"address": "fd00:1::9/64"}, {"address": "x"})
ADDRESSING = some(
    {"type": st.just("static"), "addresses": st.lists(st.sampled_from(_FIXED), max_size=2)},
    {"routes": route_lists | default_routes, "dns": dns},
    1,
)
ipam = st.one_of(host_local(most=1), host_local(most=1), ADDRESSING)
_mtus = st.sampled_from((0, 1400, 1450, 1451, 68, -1, 1280))


def device(kind: str, required: Config, optional: Config, most: int = 4) -> Any:
    """Configurations of a plugin that makes or moves one device."""
    return some({"type": st.just(kind), **required}, {"ipam": ipam, "dns": dns, **optional}, most)


_macvlan = device(
    "macvlan",
    {},
    {
        "master": st.sampled_from(("up0", "up0", "up0", "", "none", "lo")),
        "mode": st.sampled_from(("bridge", "private", "vepa", "passthru", "", "x")),
        "mtu": _mtus,
        "mac": macs | bad_macs,
        "linkInContainer": st.booleans(),
        "bcqueuelen": st.sampled_from((0, 1000, 1 << 32)),
        "runtimeConfig": some({}, {"mac": macs | bad_macs}),
    },
    5,
)
_tap = device(
    "tap",
    {},
    {
        "multiQueue": st.booleans(),
        "mtu": _mtus,
        "mac": macs | bad_macs,
        "owner": st.sampled_from((0, 1000, -1)),
        "group": st.sampled_from((0, 1000)),
        "bridge": st.sampled_from(("inner", "none", "lo", "")),
        "selinuxContext": st.sampled_from(("", "system_u:object_r:tun_t:s0")),
        "runtimeConfig": some({}, {"mac": macs | bad_macs}),
    },
    5,
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
        "device": st.sampled_from(("hd0", "hd0", "hd0", "none", "lo", "")),
        "hwaddr": st.sampled_from(("0a:00:00:00:00:44", "0A:00:00:00:00:44", "0a:00:00:00:00:45", "x")),
        "kernelpath": st.sampled_from(
            (f"{_CARD}/0", f"{_CARD}/0", "/sys/devices/none", "/etc", "sys/devices", "/sys/devices/../..")
        ),
        "pciBusID": _pci,
        "DPDKMode": st.booleans(),
        "runtimeConfig": some({}, {"deviceID": _pci | st.sampled_from(("mlx5_core.sf.7", "mlx5_core.sf.8"))}),
    },
    3,
)
HOST_DEVICES = ["ip link add hd0 type veth peer name hd1", "ip link set hd0 address 0a:00:00:00:00:44"]
_up = ["ip link set hd0 up", "ip link set hd1 up"]
_around_tap = ([], [], ["@c1 ip link add inner type bridge"], ["@c1 ip link add eth0 type bridge"])
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


@share(7)
@given(cases(st.tuples(spoiled(_macvlan, often=5)).map(list), extra=_in((UPLINK, UPLINK, DEFAULT_ROUTE, INSIDE, []))))
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
