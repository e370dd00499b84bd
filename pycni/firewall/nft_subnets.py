"""The two small chains per subnet that our table's verdict maps jump to, as netlink messages; pure.

The first container of a network must not pay for a run of `nft` (10 ms, 25 straight after a removal), so these few
expressions are encoded here, in the form in which nft reads them back.
"""

from __future__ import annotations

from pycni.firewall.generation import INET, SUBSYSTEM, header
from pycni.firewall.nft_static import TABLE, leave_chain
from pycni.kernel.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    attribute,
    attribute_be32,
    attribute_text,
    nested,
)
from pycni.spec.address import Address, Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.netlink import Message

_NEWCHAIN = SUBSYSTEM | 3
_NEWRULE = SUBSYSTEM | 6

_LIST_ELEMENT, _NAME, _DATA = 1, 1, 2
_REGISTER = 1
_META_NFPROTO = 15
_NETWORK_HEADER = 1
_EQUAL = 0
_RETURN = -5 & 0xFFFFFFFF

_NFPROTO = {4: 2, 6: 10}
_SOURCE = {4: 12, 6: 8}
_DESTINATION = {4: 16, 6: 24}
_LOCALHOST = Prefix(Address(b"\x7f\0\0\1"), 32)


def create(chain: str, subnet: Prefix) -> list[Message]:
    """Makes one of a subnet's chains with its rules; EEXIST when it is there."""
    head = header(INET) + attribute_text(1, TABLE)
    family = subnet.family
    if chain == leave_chain(subnet):
        rules = [_match(_DESTINATION[family], subnet) + _returns(), _masquerade()]
    else:
        rules = [_match(_SOURCE[family], subnet) + _masquerade()]
        if family == 4 and subnet.length:
            rules.append(_match(_SOURCE[family], _LOCALHOST) + _masquerade())
    created: list[Message] = [(_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, head + attribute_text(3, chain))]
    for rule in rules:
        created.append((_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, head + attribute_text(2, chain) + nested(4, rule)))
    return created


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(_LIST_ELEMENT, attribute_text(_NAME, name), nested(_DATA, *attributes))


def _compare(value: bytes) -> bytes:
    sides = attribute_be32(1, _REGISTER), attribute_be32(2, _EQUAL), nested(3, attribute(1, value))
    return _expression("cmp", *sides)


def _match(offset: int, prefix: Prefix) -> bytes:
    """The packet is of the prefix's family, and the address at this offset is in it."""
    protocol = _expression("meta", attribute_be32(2, _META_NFPROTO), attribute_be32(1, _REGISTER))
    found = protocol + _compare(bytes((_NFPROTO[prefix.family],)))
    if prefix.length == 0:
        return found
    size = len(prefix.address.packed)
    place = attribute_be32(2, _NETWORK_HEADER), attribute_be32(3, offset), attribute_be32(4, size)
    found += _expression("payload", attribute_be32(1, _REGISTER), *place)
    if prefix.length < prefix.address.bits:
        mask = nested(4, attribute(1, prefix.mask.to_bytes(size, "big")))
        registers = attribute_be32(1, _REGISTER), attribute_be32(2, _REGISTER), attribute_be32(3, size)
        found += _expression("bitwise", *registers, mask, nested(5, attribute(1, bytes(size))))
    return found + _compare(prefix.network.address.packed)


def _returns() -> bytes:
    return _expression("immediate", attribute_be32(1, 0), nested(2, nested(2, attribute_be32(1, _RETURN))))


def _masquerade() -> bytes:
    return _expression("masq")
