"""Devices without a lower device or a peer: ifb, which gives received packets a queue, and vrf, which gives its ports a
routing table of their own; and whether the kernel has a driver for a kind of devices.  Layouts are those of
linux/if_link.h.
"""

from __future__ import annotations

from errno import EOPNOTSUPP
from struct import Struct

from pycni.kernel.links import RTM_NEWLINK, get_links, new_name
from pycni.kernel.model import IFF_UP
from pycni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Refused,
    attribute_text,
    attribute_u32,
    attributes,
    nested,
    text,
    u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

IFB = "ifb"
VRF = "vrf"

_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_TXQLEN = 13
_IFLA_LINKINFO = 18
_IFLA_GROUP = 27
_INFO_KIND = 1
_INFO_DATA = 2
_VRF_TABLE = 1

_IFINFO = Struct("=BxHiII")
_NO_NAME = "a/b"
"""No device can be called that, which the kernel finds only after it has looked for the driver."""


def new_ifb(name: str, mtu: int, group: int = 0) -> Message:
    """An ifb, up, without a queue of its own (see plugins#1097)."""
    body = new_name(name) + attribute_u32(_IFLA_MTU, mtu) + attribute_u32(_IFLA_TXQLEN, 0)
    if group:
        body += attribute_u32(_IFLA_GROUP, group)
    return _new(IFB, _IFINFO.pack(0, 0, 0, IFF_UP, IFF_UP) + body, b"")


def new_vrf(name: str, table: int) -> Message:
    """A vrf, up, with this routing table; EEXIST when the name is taken, EINVAL for a table that is another's."""
    header = _IFINFO.pack(0, 0, 0, IFF_UP, IFF_UP) + new_name(name)
    return _new(VRF, header, nested(_INFO_DATA, attribute_u32(_VRF_TABLE, table)))


def parse_vrf_table(payload: bytes) -> int | None:
    """The routing table of a vrf, from an RTM_NEWLINK message; None for other devices."""
    info = attributes(attributes(payload, _IFINFO.size).get(_IFLA_LINKINFO, b""))
    if text(info.get(_INFO_KIND, b"")) != VRF:
        return None
    table = attributes(info.get(_INFO_DATA, b"")).get(_VRF_TABLE)
    return None if table is None else u32(table)


def vrf_tables(namespace: NamespaceApi) -> dict[int, int]:
    """The routing tables of the vrfs in a namespace, by the index of each."""
    found = {}
    for kind, payload in namespace.rtnetlink().dump(get_links()):
        table = parse_vrf_table(payload) if kind == RTM_NEWLINK else None
        if table is not None:
            found[_IFINFO.unpack_from(payload)[2]] = table
    return found


def has_driver(namespace: NamespaceApi, kind: str) -> bool:
    """Whether the kernel can make devices of a kind, loading a module where it needs one; none is made."""
    body = _IFINFO.pack(0, 0, 0, 0, 0) + attribute_text(_IFLA_IFNAME, _NO_NAME)
    try:
        namespace.rtnetlink().request(_new(kind, body, b""))
    except Refused as error:
        return error.errno != EOPNOTSUPP
    return True


def _new(kind: str, body: bytes, data: bytes) -> Message:
    info = nested(_IFLA_LINKINFO, attribute_text(_INFO_KIND, kind), data)
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + info
