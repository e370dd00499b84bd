"""rtnetlink messages about the VLANs of bridge ports.  Pure functions of bytes.

A port's VLANs are told by AF_BRIDGE's own RTM_SETLINK, RTM_DELLINK and RTM_GETLINK (linux/if_bridge.h), in which
successive VLANs of one kind may be written as the two ends of their range.
"""

from __future__ import annotations

from struct import Struct

from pycni.kernel.links import RTM_DELLINK, RTM_GETLINK, RTM_SETLINK
from pycni.kernel.model import PortVlan
from pycni.kernel.netlink import attribute, attribute_list, attribute_u32, attributes, nested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycni.kernel.netlink import Message

_AF_BRIDGE = 7
_IFLA_LINKINFO = 18
_IFLA_AF_SPEC = 26
_IFLA_EXT_MASK = 29
_IFLA_INFO_DATA = 2
_IFLA_BR_VLAN_FILTERING = 7
_IFLA_BRIDGE_VLAN_INFO = 2
_COMPRESSED = 4
"""RTEXT_FILTER_BRVLAN_COMPRESSED."""

_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 2, 4, 8, 16

_IFINFO = Struct("=BxHiII")
_VLAN = Struct("=HH")


def get_port_vlans() -> Message:
    """Dump request; the kernel answers for the ports of all bridges, and for the bridges."""
    return RTM_GETLINK, 0, _IFINFO.pack(_AF_BRIDGE, 0, 0, 0, 0) + attribute_u32(_IFLA_EXT_MASK, _COMPRESSED)


def add_port_vlans(index: int, vlans: Iterable[PortVlan]) -> Message:
    """The port is in these VLANs, added in this order: a later one with the number of an earlier one replaces it, and
    takes the PVID from it when it is none itself."""
    return RTM_SETLINK, 0, _change(index, vlans)


def remove_port_vlans(index: int, vlans: Iterable[PortVlan]) -> Message:
    """The port is in none of these VLANs."""
    return RTM_DELLINK, 0, _change(index, vlans)


def parse_port_vlans(payload: bytes) -> tuple[int, list[PortVlan]]:
    """(index of a port or bridge, its VLANs), from an RTM_NEWLINK message of family AF_BRIDGE."""
    index: int = _IFINFO.unpack_from(payload)[2]
    spec = attributes(payload, 16).get(_IFLA_AF_SPEC, b"")
    found: list[PortVlan] = []
    first = 0
    for kind, value in attribute_list(spec):
        if kind != _IFLA_BRIDGE_VLAN_INFO:
            continue
        flags, vid = _VLAN.unpack(value)
        if flags & _RANGE_BEGIN:
            first = vid
            continue
        start = first if flags & _RANGE_END else vid
        found += [PortVlan(each, bool(flags & _PVID), bool(flags & _UNTAGGED)) for each in range(start, vid + 1)]
    return index, found


def parse_filtering(payload: bytes) -> bool | None:
    """Whether a bridge filters VLANs, from its RTM_NEWLINK message; None where the kernel cannot."""
    data = attributes(attributes(payload, 16).get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_DATA, b"")
    value = attributes(data).get(_IFLA_BR_VLAN_FILTERING)
    return None if value is None else bool(value[0])


def _change(index: int, vlans: Iterable[PortVlan]) -> bytes:
    infos = [attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN.pack(flags, vid)) for flags, vid in _infos(vlans)]
    return _IFINFO.pack(_AF_BRIDGE, 0, index, 0, 0) + nested(_IFLA_AF_SPEC, *infos)


def _infos(vlans: Iterable[PortVlan]) -> Iterator[tuple[int, int]]:
    """(flags, number) of each attribute: successive numbers of one kind as a range, which may not hold a PVID."""
    run: list[PortVlan] = []
    for each in vlans:
        if run and (each.pvid or run[-1].pvid or each != run[-1].replace(vid=run[-1].vid + 1)):
            yield from _run(run)
            run = []
        run.append(each)
    yield from _run(run)


def _run(run: list[PortVlan]) -> list[tuple[int, int]]:
    if not run:
        return []
    flags = (_PVID if run[0].pvid else 0) | (_UNTAGGED if run[0].untagged else 0)
    if len(run) == 1:
        return [(flags, run[0].vid)]
    return [(flags | _RANGE_BEGIN, run[0].vid), (flags | _RANGE_END, run[-1].vid)]
