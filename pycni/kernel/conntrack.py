"""Connection tracking entries over ctnetlink: finding and deleting UDP ones by their original destination port."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6
from errno import ENOENT

from pycni.kernel.netlink import (
    Refused,
    attribute,
    attribute_be16,
    attribute_u8,
    attribute_u32,
    attributes,
    nested,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycni.kernel.netlink import Message, NetlinkSocket

_CONNTRACK_GET = 0x0101
_CONNTRACK_DELETE = 0x0102
"""Subsystem 1 (ctnetlink) in the upper byte, the operation in the lower."""

_CTA_TUPLE_ORIG = 1
_CTA_ID = 12
_CTA_ZONE = 18
_CTA_FILTER = 25
_CTA_TUPLE_PROTO = 2
_CTA_PROTO_NUM = 1
_CTA_PROTO_DST_PORT = 3
_CTA_FILTER_ORIG_FLAGS = 1
_CTA_FILTER_REPLY_FLAGS = 2
_FILTER_PROTO_NUM = 1 << 3
_FILTER_DST_PORT = 1 << 5

_UDP = 17
_HEADER_SIZE = 4
_IDENTIFYING = (_CTA_TUPLE_ORIG, _CTA_ZONE, _CTA_ID)


def flush_udp(netlink: NetlinkSocket, family: int, ports: Sequence[int]) -> int:
    """Deletes entries of address family 4 or 6, protocol 17, original destination port in `ports`; how many went.

    `netlink` is a NETLINK_NETFILTER socket of the namespace.  Refused when the kernel has no connection tracking or
    denies it; an entry that expired meanwhile is no failure.
    """
    deleted = 0
    for _, payload in netlink.dump(get_udp_entries(family, ports)) if ports else ():
        found = attributes(payload, _HEADER_SIZE)
        if original_udp_port(found) not in ports:
            continue
        try:
            netlink.request(delete_entry(family, found))
        except Refused as error:
            if error.errno != ENOENT:
                raise
        else:
            deleted += 1
    return deleted


def get_udp_entries(family: int, ports: Sequence[int]) -> Message:
    """Dump request.  The kernel selects UDP entries, and the port when there is one; kernels before 5.8 ignore the
    selection and answer with all entries."""
    flags = _FILTER_PROTO_NUM
    selector = attribute_u8(_CTA_PROTO_NUM, _UDP)
    if len(ports) == 1:
        flags |= _FILTER_DST_PORT
        selector += attribute_be16(_CTA_PROTO_DST_PORT, ports[0])
    body = nested(_CTA_TUPLE_ORIG, nested(_CTA_TUPLE_PROTO, selector)) + nested(
        _CTA_FILTER, attribute_u32(_CTA_FILTER_ORIG_FLAGS, flags), attribute_u32(_CTA_FILTER_REPLY_FLAGS, 0)
    )
    return _CONNTRACK_GET, 0, _header(family) + body


def delete_entry(family: int, found: dict[int, bytes]) -> Message:
    """Deletes exactly the entry these attributes of a dump describe, not a successor with the same addresses."""
    body = b"".join(
        nested(kind, found[kind]) if kind == _CTA_TUPLE_ORIG else attribute(kind, found[kind])
        for kind in _IDENTIFYING
        if kind in found
    )
    return _CONNTRACK_DELETE, 0, _header(family) + body


def original_udp_port(found: dict[int, bytes]) -> int | None:
    """The original destination port of a UDP entry, None for an entry of another protocol."""
    protocol = attributes(attributes(found.get(_CTA_TUPLE_ORIG, b"")).get(_CTA_TUPLE_PROTO, b""))
    if protocol.get(_CTA_PROTO_NUM) != bytes([_UDP]) or _CTA_PROTO_DST_PORT not in protocol:
        return None
    return int.from_bytes(protocol[_CTA_PROTO_DST_PORT], "big")


def _header(family: int) -> bytes:
    return bytes([AF_INET if family == 4 else AF_INET6, 0, 0, 0])
