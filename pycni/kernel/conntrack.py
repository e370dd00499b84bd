"""Connection tracking entries over ctnetlink: finding and deleting UDP ones by their original destination port."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6
from errno import EINVAL, ENOENT

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


def flush_udp(netlink: NetlinkSocket, family: int, ports: Sequence[int]) -> None:
    """Deletes the entries of address family 4 or 6, protocol 17 and original destination port in `ports`.

    `netlink` is a NETLINK_NETFILTER socket of the namespace.  Refused when the kernel has no connection tracking or
    denies it.  The kernel itself finds the entries where it can: that takes 0.1 ms, while a dump locks each of the
    hash table's buckets in turn, 10 ms for the usual 262144 even when all are empty.
    """
    if not ports:
        return
    try:
        netlink.batch([delete_udp_entries(family, port) for port in ports])
    except Refused as error:
        # kernels that cannot select while deleting take the selection for a tuple without addresses
        if error.errno != EINVAL:
            raise
        delete_listed(netlink, family, ports)


def delete_listed(netlink: NetlinkSocket, family: int, ports: Sequence[int]) -> None:
    """The same for kernels that only select while listing, or not at all; an entry that expires meanwhile is no
    failure."""
    for _, payload in netlink.dump(get_udp_entries(family)):
        found = attributes(payload, _HEADER_SIZE)
        if original_udp_port(found) not in ports:
            continue
        try:
            netlink.request(delete_entry(family, found))
        except Refused as error:
            if error.errno != ENOENT:
                raise


def get_udp_entries(family: int) -> Message:
    """Dump request; kernels before 5.8 ignore the selection and answer with the entries of all protocols."""
    selector = attribute_u8(_CTA_PROTO_NUM, _UDP)
    return _CONNTRACK_GET, 0, _header(family) + _selection(_FILTER_PROTO_NUM, selector)


def delete_udp_entries(family: int, port: int) -> Message:
    """Deletes all entries of UDP flows to a port; EINVAL from kernels that cannot select while deleting."""
    selector = attribute_u8(_CTA_PROTO_NUM, _UDP) + attribute_be16(_CTA_PROTO_DST_PORT, port)
    return _CONNTRACK_DELETE, 0, _header(family) + _selection(_FILTER_PROTO_NUM | _FILTER_DST_PORT, selector)


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


def _selection(flags: int, selector: bytes) -> bytes:
    """The fields `flags` of the original tuple have the values in `selector`."""
    return nested(_CTA_TUPLE_ORIG, nested(_CTA_TUPLE_PROTO, selector)) + nested(
        _CTA_FILTER, attribute_u32(_CTA_FILTER_ORIG_FLAGS, flags), attribute_u32(_CTA_FILTER_REPLY_FLAGS, 0)
    )


def _header(family: int) -> bytes:
    return bytes([AF_INET if family == 4 else AF_INET6, 0, 0, 0])
