"""rtnetlink messages about addresses of devices.  Pure functions of bytes."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6
from struct import Struct

from pycni.kernel.model import InterfaceAddress
from pycni.kernel.netlink import NLM_F_CREATE, NLM_F_EXCL, attribute, attribute_u32, attributes, u32
from pycni.spec.address import Address, Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.netlink import Message

RTM_NEWADDR = 20
RTM_DELADDR = 21
RTM_GETADDR = 22

_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_BROADCAST = 4
_IFA_FLAGS = 8
_IFA_F_NODAD = 2

_IFADDR = Struct("=BBBBI")

_SMALLEST_WITH_BROADCAST = 30
"""A /31 has no broadcast address (RFC 3021)."""


def new_address(index: int, prefix: Prefix, dad: bool = True) -> Message:
    """An address added to a device; IPv4 ones up to /30 with their broadcast address, as the reference.  IPv6 ones are
    in force when no neighbour has answered that they are his (RFC 4862 5.4), without `dad` at once."""
    body = _selector(index, prefix)
    if not dad:
        body += attribute_u32(_IFA_FLAGS, _IFA_F_NODAD)
    if prefix.family == 4 and prefix.length <= _SMALLEST_WITH_BROADCAST:
        body += attribute(_IFA_BROADCAST, prefix.last.packed)
    return RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body


def delete_address(index: int, prefix: Prefix) -> Message:
    return RTM_DELADDR, 0, _selector(index, prefix)


def get_addresses(index: int) -> Message:
    """Dump request; kernels before 4.20 ignore the index and answer with all devices' addresses."""
    return RTM_GETADDR, 0, _IFADDR.pack(0, 0, 0, 0, index)


def parse_address(payload: bytes) -> tuple[int, InterfaceAddress]:
    """(device index, address), from an RTM_NEWADDR message."""
    _, length, flags, scope, index = _IFADDR.unpack_from(payload)
    found = attributes(payload, 8)
    packed = found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]
    if _IFA_FLAGS in found:
        flags = u32(found[_IFA_FLAGS])
    return index, InterfaceAddress(Prefix(Address(packed), length), scope, flags)


def _selector(index: int, prefix: Prefix) -> bytes:
    family = AF_INET if prefix.family == 4 else AF_INET6
    packed = prefix.address.packed
    header: bytes = _IFADDR.pack(family, prefix.length, 0, 0, index)
    return header + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
