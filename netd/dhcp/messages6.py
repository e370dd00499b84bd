"""DHCPv6 messages as bytes, as far as a client with one address needs them (RFC 8415 sections 8 and 21)."""

from __future__ import annotations

from struct import Struct

from pycni.record import Record
from pycni.spec.address import Address

SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE = range(1, 10)

CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, WISHES, PREFERENCE, ELAPSED = 1, 2, 3, 5, 6, 7, 8
STATUS, RAPID_COMMIT, VENDOR_CLASS, NAME_SERVERS, SEARCH = 13, 14, 16, 23, 24

SUCCESS, UNSPECIFIED, NO_ADDRESSES, NO_BINDING, NOT_ON_LINK, USE_MULTICAST = range(6)

INFINITE = 0xFFFFFFFF

_OPTION = Struct("!HH")
_IA = Struct("!III")
_ADDRESS = Struct("!16sII")


class Malformed(ValueError):
    """The bytes are no DHCPv6 message."""


class Assigned(Record):
    """An address of an identity association; lifetimes in seconds."""

    address: bytes
    preferred: int
    valid: int


class Association(Record):
    """IA_NA: its number, when to renew and to rebind (0: as the client likes), its addresses, its status."""

    iaid: int
    t1: int = 0
    t2: int = 0
    addresses: tuple[Assigned, ...] = ()
    status: int = SUCCESS


class Message(Record):
    """`xid` has 24 bits; `options` are pairs of code and value as they come, without IA_NA."""

    type: int
    xid: int
    options: tuple[tuple[int, bytes], ...] = ()
    associations: tuple[Association, ...] = ()

    def option(self, code: int) -> bytes | None:
        """The first of this code."""
        return next((value for each, value in self.options if each == code), None)

    @property
    def status(self) -> int:
        value = self.option(STATUS)
        return SUCCESS if value is None else int.from_bytes(value[:2], "big")


def encode(message: Message) -> bytes:
    out = [bytes((message.type,)) + message.xid.to_bytes(3, "big")]
    out += [_option(code, value) for code, value in message.options]
    for each in message.associations:
        inner = [_option(IA_ADDRESS, _ADDRESS.pack(one.address, one.preferred, one.valid)) for one in each.addresses]
        if each.status != SUCCESS:
            inner.append(_option(STATUS, each.status.to_bytes(2, "big")))
        out.append(_option(IA_NA, _IA.pack(each.iaid, each.t1, each.t2) + b"".join(inner)))
    return b"".join(out)


def decode(data: bytes) -> Message:
    """Malformed.  A relay's message is one of those that are not for clients."""
    if len(data) < 4 or not SOLICIT <= data[0] <= 11:
        raise Malformed("not a message between client and server")
    plain, associations = [], []
    for code, value in _options(data[4:]):
        if code == IA_NA:
            associations.append(_association(value))
        else:
            plain.append((code, value))
    return Message(data[0], int.from_bytes(data[1:4], "big"), tuple(plain), tuple(associations))


def _option(code: int, value: bytes) -> bytes:
    return _OPTION.pack(code, len(value)) + value


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        if at + _OPTION.size > len(data):
            raise Malformed("half an option")
        code, size = _OPTION.unpack_from(data, at)
        at += _OPTION.size
        if at + size > len(data):
            raise Malformed(f"option {code} is longer than its message")
        found.append((code, data[at : at + size]))
        at += size
    return found


def _association(value: bytes) -> Association:
    if len(value) < _IA.size:
        raise Malformed("a short IA_NA")
    iaid, t1, t2 = _IA.unpack_from(value)
    addresses, status = [], SUCCESS
    for code, inner in _options(value[_IA.size :]):
        if code == STATUS:
            status = int.from_bytes(inner[:2], "big")
        elif code == IA_ADDRESS:
            if len(inner) < _ADDRESS.size:
                raise Malformed("a short address")
            assigned = Assigned(*_ADDRESS.unpack_from(inner))
            states = [
                int.from_bytes(text[:2], "big") for kind, text in _options(inner[_ADDRESS.size :]) if kind == STATUS
            ]
            # RFC 8415 21.6: preferred beyond valid makes the option void
            if assigned.preferred <= assigned.valid and not any(states):
                addresses.append(assigned)
    return Association(iaid, t1, t2, tuple(addresses), status)


def addresses(value: bytes) -> tuple[Address, ...]:
    """An option that lists IPv6 addresses."""
    return tuple(Address(value[at : at + 16]) for at in range(0, len(value) - 15, 16))
