"""rtnetlink messages about routes.  Pure functions of bytes."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6
from struct import Struct

from pycni.kernel.model import TABLE_MAIN, Route
from pycni.kernel.netlink import NLM_F_CREATE, attribute, attribute_u32, attributes, nested, u32
from pycni.spec.address import Address, Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.netlink import Message

RTM_NEWROUTE = 24
RTM_DELROUTE = 25
RTM_GETROUTE = 26

_RTA_DST = 1
_RTA_OIF = 4
_RTA_GATEWAY = 5
_RTA_PRIORITY = 6
_RTA_PREFSRC = 7
_RTA_METRICS = 8
_RTA_MULTIPATH = 9
_RTA_TABLE = 15
_RTA_VIA = 18
_RTAX_MTU = 2
_RTAX_ADVMSS = 8

_RTN_UNICAST = 1
_RTN_DROPPING = {6: "blackhole", 7: "unreachable", 8: "prohibit"}
_RTM_F_CLONED = 0x200
_TABLE_IN_HEADER = 255
"""Larger table numbers do not fit rtmsg's byte and go into an attribute."""

_RTMSG = Struct("=BBBBBBBBI")
_NEXTHOP = Struct("=HBBi")
_FAMILY = Struct("=H")
_SCOPE_NAMES = {0: "universe", 200: "site", 253: "link", 254: "host", 255: "nowhere"}


def new_route(route: Route) -> Message:
    """A unicast route through `route.device`.  CREATE without EXCL: next hops of one destination add up, an exact
    duplicate is refused with EEXIST (contract 2.0.3 step 7).  ValueError when the families of its parts differ."""
    family = route.destination.family
    for other in (route.gateway, route.source):
        if other is not None and other.family != family:
            raise ValueError("gateway, source, and destination ip are not the same IP family")
    table = route.table or TABLE_MAIN
    parts = [
        _RTMSG.pack(
            AF_INET if family == 4 else AF_INET6,
            route.destination.length,
            0,
            0,
            table if table <= _TABLE_IN_HEADER else 0,
            route.protocol,
            route.scope or 0,
            _RTN_UNICAST,
            0,
        ),
        attribute(_RTA_DST, route.destination.network.address.packed),
        attribute_u32(_RTA_OIF, route.device),
    ]
    if table > _TABLE_IN_HEADER:
        parts.append(attribute_u32(_RTA_TABLE, table))
    if route.gateway is not None:
        parts.append(attribute(_RTA_GATEWAY, route.gateway.packed))
    if route.priority:
        parts.append(attribute_u32(_RTA_PRIORITY, route.priority))
    if route.source is not None:
        parts.append(attribute(_RTA_PREFSRC, route.source.packed))
    metrics = b"".join(
        attribute_u32(kind, value) for kind, value in ((_RTAX_MTU, route.mtu), (_RTAX_ADVMSS, route.advmss)) if value
    )
    if metrics:
        parts.append(nested(_RTA_METRICS, metrics))
    return RTM_NEWROUTE, NLM_F_CREATE, b"".join(parts)


def delete_route(route: Route) -> Message:
    """Exactly this unicast route: of several to one destination the one with this gateway, device and priority, whoever
    made it; ESRCH when it is absent."""
    kind, _, body = new_route(route.replace(protocol=0, mtu=0, advmss=0))
    assert kind == RTM_NEWROUTE
    return RTM_DELROUTE, 0, body


def get_routes(family: int, table: int | None) -> Message:
    """Dump request for one table or, with None, all; kernels before 4.20 answer with all tables."""
    header = _RTMSG.pack(_address_family(family), 0, 0, 0, 0, 0, 0, 0, 0)
    return RTM_GETROUTE, 0, header + (b"" if table is None else attribute_u32(_RTA_TABLE, table))


def get_route_to(address: Address) -> Message:
    """What a packet to `address` would take."""
    header = _RTMSG.pack(_address_family(address.family), address.bits, 0, 0, 0, 0, 0, 0, 0)
    return RTM_GETROUTE, 0, header + attribute(_RTA_DST, address.packed)


def parse_routes(payload: bytes, lookup: bool = False) -> list[Route]:
    """The unicast routes in an RTM_NEWROUTE message: one per next hop.  Cached routes, and routes of other types,
    give none, unless this is the answer to a `lookup`."""
    family, length, _, _, table, protocol, scope, kind, flags = _RTMSG.unpack_from(payload)
    if not lookup and (kind != _RTN_UNICAST or flags & _RTM_F_CLONED):
        return []
    found = attributes(payload, 12)
    zero = bytes(4 if family == AF_INET else 16)
    metrics = attributes(found.get(_RTA_METRICS, b""))
    source = found.get(_RTA_PREFSRC)
    route = Route(
        Prefix(Address(found.get(_RTA_DST, zero)), length),
        _gateway(found),
        u32(found.get(_RTA_PRIORITY, b"")),
        u32(found[_RTA_TABLE]) if _RTA_TABLE in found else table,
        scope,
        u32(metrics.get(_RTAX_MTU, b"")),
        u32(metrics.get(_RTAX_ADVMSS, b"")),
        None if source is None else Address(source),
        u32(found.get(_RTA_OIF, b"")),
        protocol,
    )
    if _RTA_MULTIPATH not in found:
        return [route]
    return [route.replace(gateway=gateway, device=device) for gateway, device in _next_hops(found[_RTA_MULTIPATH])]


def parse_dropping(payload: bytes) -> tuple[str, Prefix] | None:
    """The kind of a route that lets no packet through, as iproute2 calls it, and its destination; None for others."""
    family, length, _, _, _, _, _, kind, _ = _RTMSG.unpack_from(payload)
    if kind not in _RTN_DROPPING:
        return None
    zero = bytes(4 if family == AF_INET else 16)
    return _RTN_DROPPING[kind], Prefix(Address(attributes(payload, 12).get(_RTA_DST, zero)), length)


def route_text(route: Route, device: str) -> str:
    """The route as the reference names it in errors (contract 2.0.3)."""
    gateway = "<nil>" if route.gateway is None else route.gateway
    scope = route.scope or 0
    return (
        f"{route.destination} via {gateway} dev {device} metric {route.priority} "
        f"(Scope: {_SCOPE_NAMES.get(scope, scope)}, Table: {route.table or 0})"
    )


def _next_hops(data: bytes) -> list[tuple[Address | None, int]]:
    hops = []
    offset = 0
    while offset + 8 <= len(data):
        size, _, _, device = _NEXTHOP.unpack_from(data, offset)
        if size < 8:
            break
        hops.append((_gateway(attributes(data[offset + 8 : offset + size])), device))
        offset += (size + 3) & ~3
    return hops


def _gateway(found: dict[int, bytes]) -> Address | None:
    if _RTA_GATEWAY in found:
        return Address(found[_RTA_GATEWAY])
    if _RTA_VIA in found:
        return Address(found[_RTA_VIA][_FAMILY.size :])
    return None


def _address_family(family: int) -> int:
    number: int = AF_INET if family == 4 else AF_INET6
    return number
