"""Routes with all their attributes, whatever they are, to be put into another table or back where they were.

`pycni.kernel.model.Route` says what plugins decide about; a route that others made may have more to it.
"""

from __future__ import annotations

from errno import ENOENT, ESRCH
from struct import Struct

from pycni.kernel import routes as _routes
from pycni.kernel.model import TABLE_MAIN, Route
from pycni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Refused,
    attribute,
    attribute_list,
    attribute_u32,
    attributes,
    u32,
)
from pycni.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

_RTMSG = Struct("=BBBBBBBBI")
_RTA_OIF = 4
_RTA_CACHEINFO = 12
_RTA_TABLE = 15
_TABLE_IN_HEADER = 255
_ONLINK = 0x4
"""RTNH_F_ONLINK."""


class Copy(Record):
    """A route as the kernel told it: `payload` of its RTM_NEWROUTE message, `route` what we understand of it."""

    payload: bytes
    route: Route


def copies(namespace: NamespaceApi, device: int, table: int = TABLE_MAIN) -> list[Copy]:
    """The unicast routes of both families through this device alone, in one table; those that balance over several next
    hops are left out, as they are by the reference's library."""
    found = []
    for family in (4, 6):
        try:
            replies = namespace.rtnetlink().dump(_routes.get_routes(family, table))
        except Refused as error:
            if error.errno == ENOENT:  # nobody has put a route into it
                continue
            raise
        for kind, payload in replies:
            parsed = _routes.parse_routes(payload) if kind == _routes.RTM_NEWROUTE else []
            through = u32(attributes(payload, _RTMSG.size).get(_RTA_OIF, b""))
            if len(parsed) == 1 and through == device and parsed[0].table == table:
                found.append(Copy(payload, parsed[0]))
    return found


def put(copy: Copy, table: int) -> Message:
    """The route is in this table, in the place of another one for the same packets.  Of its flags only the one that
    its gateway need not be looked for is taken along; others, such as that its link is down, the kernel refuses."""
    return _routes.RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _body(copy, table)


def take(copy: Copy, table: int) -> Message:
    """Exactly this route, out of this table; ESRCH when it is absent."""
    return _routes.RTM_DELROUTE, 0, _body(copy, table)


def remove(namespace: NamespaceApi, copy: Copy, table: int) -> None:
    """The route is not in this table; Refused when the kernel will not let it go."""
    try:
        namespace.rtnetlink().request(take(copy, table))
    except Refused as error:
        if error.errno != ESRCH:
            raise


def _body(copy: Copy, table: int) -> bytes:
    family, length, source_length, tos, _, protocol, scope, kind, flags = _RTMSG.unpack_from(copy.payload)
    number = table if table <= _TABLE_IN_HEADER else 0
    body: bytes = _RTMSG.pack(family, length, source_length, tos, number, protocol, scope, kind, flags & _ONLINK)
    for key, value in attribute_list(copy.payload, _RTMSG.size):
        if key not in (_RTA_TABLE, _RTA_CACHEINFO):
            body += attribute(key, value)
    return body + attribute_u32(_RTA_TABLE, table)
