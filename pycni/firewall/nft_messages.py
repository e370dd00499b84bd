"""nf_tables messages for elements and rules: bytes out, records in; pure.

Numbers are from linux/netfilter/nf_tables.h; a comment is libnftnl's user data of type 0, as nft prints it.
"""

from __future__ import annotations

import sys

from pycni.firewall.generation import SUBSYSTEM, header
from pycni.firewall.nft_elements import Held
from pycni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    attribute,
    attribute_be32,
    attribute_be64,
    attribute_list,
    attribute_text,
    attributes,
    nested,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycni.kernel.netlink import Message, Reply

_BATCH_BEGIN = 0x10
_BATCH_END = 0x11
_BATCH_GENERATION = 1
_RESOURCE = 10
"""NFNL_SUBSYS_NFTABLES, the batch's resource id."""

GETCHAIN = SUBSYSTEM | 4
_DELCHAIN = SUBSYSTEM | 5
GETRULE = SUBSYSTEM | 7
_DELRULE = SUBSYSTEM | 8
_NEWSETELEM = SUBSYSTEM | 12
GETSETELEM = SUBSYSTEM | 13
_DELSETELEM = SUBSYSTEM | 14

_TABLE, _SET, _ELEMENTS = 1, 2, 3
_LIST_ELEMENT = 1
_KEY, _DATA, _USERDATA = 1, 2, 6
_VALUE, _VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_JUMP = -3 & 0xFFFFFFFF
_CHAIN_NAME, _CHAIN_USE = 3, 6
_RULE_CHAIN, _RULE_HANDLE, _RULE_USERDATA = 2, 3, 7
_HANDLE_HEADER = attribute_be64(_RULE_HANDLE, 0)[:4]
_COMMENT = 0
_HEADER_SIZE = 4


def batch(messages: Iterable[Message], generation: int = -1) -> list[Message]:
    """The messages as one transaction; acknowledge the last but one.  With a generation, ERESTART and nothing done
    when the tables have changed since."""
    mark = header(0, _RESOURCE)
    only_if = attribute_be32(_BATCH_GENERATION, generation) if generation != -1 else b""
    return [(_BATCH_BEGIN, 0, mark + only_if), *messages, (_BATCH_END, 0, mark)]


def _value(kind: int, data: bytes) -> bytes:
    return nested(kind, attribute(_VALUE, data))


def _comment(comment: str) -> bytes:
    raw = comment.encode() + b"\0"
    return attribute(_USERDATA, bytes((_COMMENT, len(raw))) + raw)


def _element(key: bytes, *rest: bytes) -> bytes:
    return nested(_LIST_ELEMENT, _value(_KEY, key), *rest)


def _data(element: Held) -> bytes:
    if element.jump:
        code = attribute_be32(_VERDICT_CODE, _JUMP)
        return nested(_DATA, nested(_VERDICT, code, attribute_text(_VERDICT_CHAIN, element.jump)))
    return _value(_DATA, element.data) if element.data else b""


def _elements(family: int, table: str, name: str, encoded: Iterable[bytes]) -> bytes:
    head = header(family) + attribute_text(_TABLE, table) + attribute_text(_SET, name)
    return head + nested(_ELEMENTS, *encoded)


def add(family: int, table: str, element: Held, exclusive: bool) -> Message:
    """Add an element; with `exclusive`, EEXIST when its key is there, whatever its data."""
    flags = NLM_F_CREATE | (NLM_F_EXCL if exclusive else 0)
    encoded = _element(element.key, _data(element), _comment(element.comment))
    return _NEWSETELEM, flags, _elements(family, table, element.set, (encoded,))


def delete(family: int, table: str, element: Held) -> Message:
    """Delete an element by its key; the kernel would not look at the data."""
    return _DELSETELEM, 0, _elements(family, table, element.set, (_element(element.key),))


def get(family: int, table: str, name: str, key: bytes) -> Message:
    """Ask for one element; ENOENT when it is absent."""
    return GETSETELEM, 0, _elements(family, table, name, (_element(key),))


def dump_set(family: int, table: str, name: str) -> Message:
    return GETSETELEM, 0, header(family) + attribute_text(_TABLE, table) + attribute_text(_SET, name)


def dump_rules(family: int, table: str, chain: str) -> Message:
    return GETRULE, 0, header(family) + attribute_text(_TABLE, table) + attribute_text(_RULE_CHAIN, chain)


def delete_rule(family: int, table: str, chain: str, handle: int) -> Message:
    parts = (attribute_text(_TABLE, table), attribute_text(_RULE_CHAIN, chain), attribute_be64(_RULE_HANDLE, handle))
    return _DELRULE, 0, header(family) + b"".join(parts)


def delete_rules(family: int, table: str, chain: str) -> Message:
    """All rules of a chain."""
    return _DELRULE, 0, header(family) + attribute_text(_TABLE, table) + attribute_text(_RULE_CHAIN, chain)


def delete_chain(family: int, table: str, chain: str) -> Message:
    """Delete a chain with its rules; EBUSY while something jumps to it."""
    return _DELCHAIN, 0, header(family) + attribute_text(_TABLE, table) + attribute_text(_CHAIN_NAME, chain)


def held(replies: Iterable[Reply], wanted: bytes = b"") -> list[Held]:
    """The elements in the answers to `get` or `dump_set`; with `wanted`, only those whose bytes contain it."""
    found = []
    for _, payload in replies:
        if wanted and wanted not in payload:
            continue
        parts = attributes(payload, _HEADER_SIZE)
        name = text(parts[_SET])
        for _, element in attribute_list(parts.get(_ELEMENTS, b"")):
            if wanted not in element:
                continue
            fields = attributes(element)
            data = attributes(fields.get(_DATA, b""))
            jump = text(attributes(data.get(_VERDICT, b"")).get(_VERDICT_CHAIN, b""))
            key = attributes(fields[_KEY])[_VALUE]
            found.append(Held(name, key, data.get(_VALUE, b""), jump, _comment_in(fields.get(_USERDATA, b""))))
    return found


def rules(replies: Iterable[Reply]) -> list[tuple[int, str]]:
    """(handle, comment) of each rule in the answers to `dump_rules`."""
    found = []
    for _, payload in replies:
        parts = attributes(payload, _HEADER_SIZE)
        if _RULE_HANDLE in parts:
            handle = int.from_bytes(parts[_RULE_HANDLE], "big")
            found.append((handle, _comment_in(parts.get(_RULE_USERDATA, b""))))
    return found


def handles(replies: Iterable[Reply]) -> list[int]:
    """The handle of each rule in the answers to `dump_rules` of one chain, in order.

    The kernel writes table, chain and handle first, so it is at the same place in every rule of a chain, which takes
    a third of the time that reading all attributes does."""
    found: list[int] = []
    place = -1
    for _, payload in replies:
        if place < 0:
            place = _handle_place(payload)
        if payload[place : place + 4] == _HANDLE_HEADER:
            found.append(int.from_bytes(payload[place + 4 : place + 12], "big"))
        else:
            found.append(int.from_bytes(attributes(payload, _HEADER_SIZE)[_RULE_HANDLE], "big"))
    return found


def _handle_place(payload: bytes) -> int:
    """Behind the attributes of the table and the chain."""
    place = _HEADER_SIZE
    for _ in range(2):
        place += (int.from_bytes(payload[place : place + 2], sys.byteorder) + 3) & ~3
    return place


def chain_names(replies: Iterable[Reply], table: str) -> list[str]:
    """The chains of one table in the answers to a dump of all."""
    found = []
    for _, payload in replies:
        parts = attributes(payload, _HEADER_SIZE)
        if text(parts[_TABLE]) == table:
            found.append(text(parts[_CHAIN_NAME]))
    return found


def chain_uses(replies: Iterable[Reply], table: str) -> dict[str, int]:
    """For each chain of one table in the answers to a dump of all, how many rules it has and how many jump to it."""
    found = {}
    for _, payload in replies:
        parts = attributes(payload, _HEADER_SIZE)
        if text(parts[_TABLE]) == table:
            found[text(parts[_CHAIN_NAME])] = int.from_bytes(parts.get(_CHAIN_USE, b""), "big")
    return found


def _comment_in(userdata: bytes) -> str:
    """The comment in libnftnl's type, length, value list; empty when there is none."""
    offset = 0
    while offset + 2 <= len(userdata):
        kind, size = userdata[offset], userdata[offset + 1]
        if kind == _COMMENT:
            return text(userdata[offset + 2 : offset + 2 + size])
        offset += 2 + size
    return ""
