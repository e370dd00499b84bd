"""DHCPv4 messages as bytes (RFC 2131 section 2, RFC 2132, long options as of RFC 3396)."""

from __future__ import annotations

from struct import Struct

from pycni.record import Record
from pycni.spec.address import Address

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)

SUBNET_MASK, ROUTERS, NAME_SERVERS, DOMAIN, MTU, STATIC_ROUTES = 1, 3, 6, 15, 26, 33
REQUESTED_ADDRESS, LEASE_TIME, OVERLOAD, TYPE, SERVER, WISHES = 50, 51, 52, 53, 54, 55
MAX_SIZE, RENEWAL_TIME, REBINDING_TIME, CLIENT_ID, SEARCH, CLASSLESS_ROUTES = 57, 58, 59, 61, 119, 121

_PAD, _END = 0, 255
_HEADER = Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_BROADCAST = 0x8000
_MIN_SIZE = 300
"""Bytes; BOOTP relays of old drop what is shorter (RFC 1542 section 2.1)."""
_ANY = bytes(4)


class Malformed(ValueError):
    """The bytes are no DHCP message."""


class Message(Record):
    """`options` maps codes to values; the message type is one of them.  `client` and `yours` are ciaddr and yiaddr."""

    from_server: bool
    xid: int
    mac: bytes
    options: dict[int, bytes]
    secs: int = 0
    broadcast: bool = False
    client: bytes = _ANY
    yours: bytes = _ANY

    @property
    def type(self) -> int:
        """0 when it says none."""
        value = self.options.get(TYPE, b"")
        return value[0] if len(value) == 1 else 0

    def seconds(self, code: int) -> int | None:
        """A time option."""
        value = self.options.get(code, b"")
        return int.from_bytes(value, "big") if len(value) == 4 else None


def encode(message: Message) -> bytes:
    flags = _BROADCAST if message.broadcast else 0
    kind = 2 if message.from_server else 1
    head = _HEADER.pack(
        *(kind, 1, 6, 0, message.xid, min(message.secs, 0xFFFF), flags, message.client, message.yours, _ANY, _ANY),
        *(message.mac, b"", b"", _COOKIE),
    )
    out = [head]
    # the type first: some servers look no further for it
    for code in sorted(message.options, key=lambda code: (code != TYPE, code)):
        value = message.options[code]
        for at in range(0, max(len(value), 1), 255):
            part = value[at : at + 255]
            out.append(bytes((code, len(part))) + part)
    out.append(bytes((_END,)))
    return b"".join(out).ljust(_MIN_SIZE, b"\0")


def decode(data: bytes) -> Message:
    """Malformed."""
    if len(data) < _HEADER.size:
        raise Malformed(f"{len(data)} bytes")
    op, kind, size, _, xid, secs, flags, client, yours, _, _, mac, name, file, cookie = _HEADER.unpack_from(data)
    if op not in (1, 2) or kind != 1 or size != 6 or cookie != _COOKIE:
        raise Malformed("not a DHCP message for Ethernet")
    options: dict[int, bytes] = {}
    _collect(data[_HEADER.size :], options)
    overload = options.pop(OVERLOAD, b"\0")[:1]
    if overload in (b"\1", b"\3"):
        _collect(file, options)
    if overload in (b"\2", b"\3"):
        _collect(name, options)
    return Message(op == 2, xid, mac[:6], options, secs, bool(flags & _BROADCAST), client, yours)


def _collect(data: bytes, into: dict[int, bytes]) -> None:
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            raise Malformed(f"option {data[at]} is longer than its message")
        code, end = data[at], at + 2 + data[at + 1]
        into[code] = into.get(code, b"") + data[at + 2 : end]
        at = end


def addresses(value: bytes) -> tuple[Address, ...]:
    """An option that lists IPv4 addresses; what is left over at its end is not one."""
    return tuple(Address(value[at : at + 4]) for at in range(0, len(value) - 3, 4))
