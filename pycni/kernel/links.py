"""rtnetlink messages about devices: building them and reading the kernel's answers.  Pure functions of bytes."""

from __future__ import annotations

from struct import Struct

from pycni.kernel.model import IFF_ALLMULTI, IFF_PROMISC, IFF_UP, Link
from pycni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_ECHO,
    NLM_F_EXCL,
    attribute,
    attribute_text,
    attribute_u8,
    attribute_u32,
    attributes,
    nested,
    text,
    u32,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.netlink import Message

RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_SETLINK = 19
RTM_GETNSID = 90

NAME_LIMIT = 15
"""IFNAMSIZ without its terminator."""

_AF_BRIDGE = 7

_IFLA_ADDRESS = 1
_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_LINK = 5
_IFLA_MASTER = 10
_IFLA_PROTINFO = 12
_IFLA_TXQLEN = 13
_IFLA_OPERSTATE = 16
_IFLA_LINKINFO = 18
_IFLA_IFALIAS = 20
_IFLA_GROUP = 27
_IFLA_NET_NS_FD = 28
_IFLA_EXT_MASK = 29
_IFLA_PROMISCUITY = 30
_IFLA_LINK_NETNSID = 37
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_IFLA_BR_VLAN_FILTERING = 7
_IFLA_BRPORT_MODE = 4
_IFLA_BRPORT_ISOLATED = 33
_VETH_INFO_PEER = 1
_NETNSA_NSID = 1
_NETNSA_FD = 3

_IFINFO = Struct("=BxHiII")
_INT = Struct("=i")
_NO_INFO = _IFINFO.pack(0, 0, 0, 0, 0)
_SKIP_STATISTICS = attribute_u32(_IFLA_EXT_MASK, 8)


def new_name(name: str) -> bytes:
    """What a device is to be called from now on.  The kernel would draw a number for `%d`, and nobody would find the
    device under its name: such a name gives way to one that is refused (EINVAL), as any other `%` is."""
    return attribute_text(_IFLA_IFNAME, "/" if "%" in name else name)


def get_link(name: str) -> Message:
    return RTM_GETLINK, 0, _NO_INFO + attribute_text(_IFLA_IFNAME, name) + _SKIP_STATISTICS


def get_link_by_index(index: int) -> Message:
    return RTM_GETLINK, 0, _IFINFO.pack(0, 0, index, 0, 0) + _SKIP_STATISTICS


def get_links() -> Message:
    return RTM_GETLINK, 0, _NO_INFO + _SKIP_STATISTICS


def new_bridge(name: str, mtu: int, vlan_filtering: bool) -> Message:
    """A bridge, down.  mtu 0 is the kernel's default."""
    data = nested(_IFLA_INFO_DATA, attribute_u8(_IFLA_BR_VLAN_FILTERING, 1)) if vlan_filtering else b""
    body = new_name(name) + (attribute_u32(_IFLA_MTU, mtu) if mtu else b"")
    info = nested(_IFLA_LINKINFO, attribute_text(_IFLA_INFO_KIND, "bridge"), data)
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, _NO_INFO + body + info


def new_veth(
    host_name: str,
    name: str,
    netns: int,
    mtu: int = 0,
    mac: bytes | None = None,
    master: int = 0,
    group: int = 0,
) -> Message:
    """A pair whose near end is up, in `group`, and a port of `master`, and whose peer `name` starts inside the
    namespace `netns`.

    The peer cannot be brought up in the same message: ENOTCONN, the ends are not joined yet.
    """
    size = attribute_u32(_IFLA_MTU, mtu) if mtu else b""
    peer = _NO_INFO + new_name(name) + size + attribute_u32(_IFLA_NET_NS_FD, netns)
    if mac is not None:
        peer += attribute(_IFLA_ADDRESS, mac)
    info = nested(
        _IFLA_LINKINFO,
        attribute_text(_IFLA_INFO_KIND, "veth"),
        nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer)),
    )
    body = _IFINFO.pack(0, 0, 0, IFF_UP, IFF_UP) + new_name(host_name) + size
    if master:
        body += attribute_u32(_IFLA_MASTER, master)
    if group:
        body += attribute_u32(_IFLA_GROUP, group)
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO, body + info


def set_link(
    index: int,
    up: bool | None = None,
    mac: bytes | None = None,
    mtu: int | None = None,
    promiscuous: bool | None = None,
    allmulti: bool | None = None,
    txqlen: int | None = None,
    name: str | None = None,
    master: int | None = None,
    group: int | None = None,
    alias: str | None = None,
) -> Message:
    """Changes of one device; None leaves an attribute as it is, master 0 takes it out of its bridge."""
    flags = change = 0
    for bit, wanted in ((IFF_UP, up), (IFF_PROMISC, promiscuous), (IFF_ALLMULTI, allmulti)):
        if wanted is not None:
            change |= bit
            flags |= bit if wanted else 0
    parts = [_IFINFO.pack(0, 0, index, flags, change)]
    for kind, number in (
        (_IFLA_MTU, mtu),
        (_IFLA_TXQLEN, txqlen),
        (_IFLA_MASTER, master),
        (_IFLA_GROUP, group),
    ):
        if number is not None:
            parts.append(attribute_u32(kind, number))
    if mac is not None:
        parts.append(attribute(_IFLA_ADDRESS, mac))
    if name is not None:
        parts.append(new_name(name))
    if alias is not None:
        parts.append(attribute(_IFLA_IFALIAS, alias.encode()))
    return RTM_SETLINK, 0, b"".join(parts)


def set_port(index: int, hairpin: bool, isolated: bool) -> Message:
    """Flags of a bridge port."""
    flags = nested(
        _IFLA_PROTINFO, attribute_u8(_IFLA_BRPORT_MODE, hairpin), attribute_u8(_IFLA_BRPORT_ISOLATED, isolated)
    )
    return RTM_SETLINK, 0, _IFINFO.pack(_AF_BRIDGE, 0, index, 0, 0) + flags


def delete_link(index: int) -> Message:
    return RTM_DELLINK, 0, _IFINFO.pack(0, 0, index, 0, 0)


def delete_group(group: int) -> Message:
    """Every device of the group: one wait for the kernel's readers for all of them."""
    return RTM_DELLINK, 0, _NO_INFO + attribute_u32(_IFLA_GROUP, group)


def get_netns_id(netns: int) -> Message:
    """The number under which the asking namespace knows the namespace `netns` (an open descriptor)."""
    return RTM_GETNSID, 0, bytes(4) + attribute_u32(_NETNSA_FD, netns)


def parse_netns_id(payload: bytes) -> int | None:
    """The answer to get_netns_id: None when that namespace has no number here."""
    found = attributes(payload, 4).get(_NETNSA_NSID)
    number: int = -1 if found is None else _INT.unpack(found)[0]
    return None if number < 0 else number


def parse_link(payload: bytes) -> Link:
    """A device, from an RTM_NEWLINK message."""
    _, _, index, flags, _ = _IFINFO.unpack_from(payload)
    found = attributes(payload, 16)
    info = found.get(_IFLA_LINKINFO)
    peer_netns = found.get(_IFLA_LINK_NETNSID)

    def number(kind: int) -> int:
        value = found.get(kind)
        return 0 if value is None else u32(value)

    return Link(
        index,
        text(found[_IFLA_IFNAME]),
        "" if info is None else text(attributes(info).get(_IFLA_INFO_KIND, b"")),
        found.get(_IFLA_ADDRESS, b""),
        number(_IFLA_MTU),
        flags,
        number(_IFLA_MASTER),
        number(_IFLA_LINK),
        None if peer_netns is None else _INT.unpack(peer_netns)[0],
        number(_IFLA_OPERSTATE),
        number(_IFLA_TXQLEN),
        number(_IFLA_GROUP),
        number(_IFLA_PROMISCUITY),
        text(found.get(_IFLA_IFALIAS, b"")),
    )
