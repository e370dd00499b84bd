"""What is called, with what: for each plugin a list that ends with it.  What stands before only prepares the ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "BOUND_BY_KERNEL",
    "CASES",
    "KERNEL_ALONE",
    "VIRTUAL",
    "WIRE",
    "Case",
    "chosen",
    "host_device",
    "plugin_list",
    "promise_of",
]

NETWORK, VERSION = "bench", "1.0.0"
WIRE = "wan"
"""The host's device for plugins that take one; its peer is up as well, and a DHCP server listens there."""
BOUND_BY_KERNEL = "host-device"
KERNEL_ALONE = "host-device: the kernel's part alone"
"""A line of its own: the device goes where the reference has it go, through a namespace in between, and where we do."""
VIRTUAL = ("ipvlan", "vlan", "dummy", "vrf", "vlan_filtering")
"""Drivers that a kernel made for servers in a cloud may lack."""

Make = Callable[[int], list[dict[str, Any]]]


@dataclass(frozen=True)
class Case:
    """`at_least` is what the project's issue 5 promises: 3 where the reference executes a firewall tool or another
    plugin, else 1.  `driver` is the kernel's word for what a machine may lack, "" for what all have."""

    name: str
    make: Make
    at_least: float
    driver: str = ""

    @property
    def plugin(self) -> str:
        return self.name.partition(",")[0]


def _ipam(**more: Any) -> dict[str, Any]:
    ranges = [[{"subnet": "10.89.0.0/16", "gateway": "10.89.0.1"}]]
    return {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}], **more}


def _one(kind: str, **keys: Any) -> Make:
    return lambda number: [{"type": kind, **_numbered(keys, number)}]


def _after(base: Make, kind: str, **keys: Any) -> Make:
    return lambda number: [*base(number), {"type": kind, **_numbered(keys, number)}]


def _numbered(keys: dict[str, Any], number: int) -> dict[str, Any]:
    return {key: value(number) if callable(value) else value for key, value in keys.items()}


def _port(number: int) -> dict[str, Any]:
    mapping = {"hostPort": 20000 + number, "containerPort": 80, "protocol": "tcp"}
    return {"portMappings": [mapping]}


def _fixed(number: int) -> dict[str, Any]:
    return {"type": "static", "addresses": [{"address": f"10.90.{number // 250}.{number % 250 + 2}/16"}]}


def _dhcp() -> dict[str, Any]:
    return {"type": "dhcp"}


def host_device(number: int) -> str:
    """The name of that container's device."""
    return f"dev{number}"


_bridge = _one("bridge", bridge="bench0", isGateway=True, ipam=_ipam())
_macvlan = _one("macvlan", master=WIRE, ipam=_ipam())

CASES = (
    Case("loopback", _one("loopback"), 1),
    Case("host-local", _one("host-local", ipam=_ipam()), 1),
    Case("static", _one("static", ipam=_fixed), 1),
    Case("bridge", _bridge, 3),
    Case("bridge, masquerade", _one("bridge", bridge="bench0", isGateway=True, ipMasq=True, ipam=_ipam()), 3),
    Case("ptp", _one("ptp", ipam=_ipam()), 3),
    Case("ptp, masquerade", _one("ptp", ipMasq=True, ipam=_ipam()), 3),
    Case("macvlan", _macvlan, 3),
    Case("host-device", _one("host-device", device=host_device, ipam=_ipam()), 3),
    Case("host-device, no addresses", _one("host-device", device=host_device), 1),
    Case("host-device, DPDK", _one("host-device", device=host_device, DPDKMode=True, ipam=_ipam()), 3),
    Case("dhcp", _after(_one("macvlan", master=WIRE), "dhcp", ipam=_dhcp()), 1),
    Case("dhcp, with macvlan", _one("macvlan", master=WIRE, ipam=_dhcp()), 3),
    Case("tap", _one("tap", ipam=_ipam()), 3, "tun"),
    Case("portmap", _after(_bridge, "portmap", runtimeConfig=_port), 3),
    Case("firewall", _after(_bridge, "firewall"), 3),
    Case("tuning", _after(_bridge, "tuning", mtu=1400), 1),
    Case(
        "bandwidth",
        _after(_bridge, "bandwidth", ingressRate=8000000, ingressBurst=800000, egressRate=8000000, egressBurst=800000),
        1,
    ),
    Case("sbr", _after(_macvlan, "sbr"), 1),
    Case("ipvlan", _one("ipvlan", master=WIRE, ipam=_ipam()), 3, "ipvlan"),
    Case("vlan", _one("vlan", master=WIRE, vlanId=lambda number: number % 4000 + 1, ipam=_ipam()), 3, "vlan"),
    Case("dummy", _one("dummy", ipam=_ipam()), 3, "dummy"),
    Case("vrf", _after(_bridge, "vrf", vrfname="red"), 1, "vrf"),
    Case("bridge, vlan", _one("bridge", bridge="bench1", isGateway=True, vlan=100, ipam=_ipam()), 3, "vlan_filtering"),
)


def chosen(names: Sequence[str], guest: bool) -> list[Case]:
    """The cases that any of these names means, which are a plugin's or a whole case's; without a name all, or those for
    the guest."""
    if names:
        return [case for case in CASES if case.plugin in names or case.name in names]
    return [case for case in CASES if not guest or case.driver in VIRTUAL]


def promise_of(name: str) -> float | None:
    """What is promised of a case, or of another line, of which nothing is."""
    return next((case.at_least for case in CASES if case.name == name), None)


def plugin_list(case: Case, number: int) -> list[dict[str, Any]]:
    """The configurations of one container, as a runtime hands them over."""
    return [{"cniVersion": VERSION, "name": NETWORK, **plugin} for plugin in case.make(number)]
