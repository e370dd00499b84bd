"""The part of the D-Bus wire format that a few method calls with string arguments need; pure.

https://dbus.freedesktop.org/doc/dbus-specification.html, "Message Format" and "Server Addresses".
"""

from __future__ import annotations

from struct import Struct, unpack_from

from pycni.record import Record

CALL, RETURN, ERROR = 1, 2, 3

HEAD = 16
"""Bytes of a message that tell how long it is."""

LIMIT = 1 << 20
"""Bytes; answers to our calls are far below, the protocol allows 128 MiB."""

_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8

_START = Struct("<cBBBIII")
_U32 = Struct("<I")


class Method(Record):
    """What is called: a method of an interface of an object that the owner of a bus name has."""

    destination: str
    path: str
    interface: str
    member: str


class Reply(Record):
    """A message received.  `serial` is that of the call it answers, 0 for other messages; `value` its first argument
    when that is a string or a boolean, else None."""

    kind: int
    serial: int
    error: str
    value: str | bool | None


def call(serial: int, method: Method, *arguments: str) -> bytes:
    """A method call with string arguments."""
    fields = [
        (_PATH, "o", method.path),
        (_INTERFACE, "s", method.interface),
        (_MEMBER, "s", method.member),
        (_DESTINATION, "s", method.destination),
    ]
    if arguments:
        fields.append((_SIGNATURE, "g", "s" * len(arguments)))
    array = b""
    for code, kind, text in fields:
        array += bytes(-len(array) % 8) + bytes((code, 1)) + kind.encode() + b"\0"
        array += _signature(text) if kind == "g" else _string(text)
    body = b""
    for text in arguments:
        body += bytes(-len(body) % 4) + _string(text)
    head = _START.pack(b"l", CALL, 0, 1, len(body), serial, len(array))
    return head + array + bytes(-len(array) % 8) + body


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return _U32.pack(len(raw)) + raw + b"\0"


def _signature(text: str) -> bytes:
    return bytes((len(text),)) + text.encode() + b"\0"


def size(head: bytes) -> int:
    """How long the message is that begins with these HEAD bytes; ValueError when it is none of ours."""
    order = _order(head)
    body, _, fields = unpack_from(order + "III", head, 4)
    total: int = HEAD + fields + -fields % 8 + body
    if head[3] != 1 or total > LIMIT:
        raise ValueError("not a D-Bus message")
    return total


def parse(message: bytes) -> Reply:
    """A whole message; ValueError when it is malformed."""
    order = _order(message)
    (length,) = unpack_from(order + "I", message, 12)
    fields: dict[int, str | int] = {}
    reader = _Reader(message, HEAD, order)
    while reader.offset < HEAD + length:
        reader.align(8)
        code = reader.byte()
        signature = reader.signature()
        fields[code] = reader.value(signature)
    reader.align(8)
    signature = str(fields.get(_SIGNATURE, ""))[:1]
    value: str | int | None = reader.value(signature) if signature in ("s", "b") and signature else None
    if signature == "b":
        value = bool(value)
    serial = fields.get(_REPLY_SERIAL, 0)
    return Reply(
        message[1],
        serial if isinstance(serial, int) else 0,
        str(fields.get(_ERROR_NAME, "")),
        value,  # type: ignore[arg-type]
    )


def _order(message: bytes) -> str:
    if message[:1] not in (b"l", b"B") or len(message) < HEAD:
        raise ValueError("not a D-Bus message")
    return "<" if message[:1] == b"l" else ">"


class _Reader:
    """Values one after the other, aligned from the message's beginning."""

    def __init__(self, data: bytes, offset: int, order: str) -> None:
        self.data, self.offset, self._order = data, offset, order

    def align(self, width: int) -> None:
        self.offset += -self.offset % width

    def byte(self) -> int:
        self.offset += 1
        return self._taken(self.offset - 1, 1)[0]

    def signature(self) -> str:
        length = self.byte()
        self.offset += length + 1
        return self._taken(self.offset - length - 1, length).decode()

    def value(self, signature: str) -> str | int:
        """A string, object path, signature, or number or boolean of 32 bits; ValueError for other types."""
        if signature == "g":
            return self.signature()
        if signature not in ("s", "o", "u", "b"):
            raise ValueError(f"unexpected D-Bus type {signature!r}")
        self.align(4)
        self.offset += 4
        number: int = unpack_from(self._order + "I", self._taken(self.offset - 4, 4))[0]
        if signature in ("u", "b"):
            return number
        self.offset += number + 1
        return self._taken(self.offset - number - 1, number).decode("utf-8", "surrogateescape")

    def _taken(self, start: int, length: int) -> bytes:
        found = self.data[start : start + length]
        if len(found) != length:
            raise ValueError("a D-Bus message ends early")
        return found


def socket_addresses(text: str) -> list[str]:
    """The unix sockets of a bus address, in order, abstract ones with a zero byte before the name.  ValueError when an
    entry is malformed, names both kinds, or there is none of this transport, in the words of the reference's client."""
    found = []
    problem = ""
    for entry in text.split(";"):
        transport, colon, rest = entry.partition(":")
        if not colon:
            problem = "dbus: invalid bus address (no transport)"
            continue
        if transport != "unix":
            problem = "dbus: invalid bus address (invalid or unsupported transport)"
            continue
        keys = dict(part.partition("=")[::2] for part in rest.split(","))
        path, abstract = _unescaped(keys.get("path", "")), _unescaped(keys.get("abstract", ""))
        if path and abstract:
            problem = "dbus: invalid address (both path and abstract set)"
        elif path or abstract:
            found.append(path or "\0" + abstract)
        else:
            problem = "dbus: invalid address (neither path nor abstract set)"
    if not found:
        raise ValueError(problem)
    return found


def _unescaped(value: str) -> str:
    head, *rest = value.split("%")
    raw = head.encode("utf-8", "surrogateescape")
    for part in rest:
        try:
            raw += bytes.fromhex(part[:2].ljust(2, "-")) + part[2:].encode("utf-8", "surrogateescape")
        except ValueError:
            return ""
    return raw.decode("utf-8", "surrogateescape")
