"""Go's gob encoding (https://pkg.go.dev/encoding/gob), as far as the dhcp plugin and its daemon need it.

A stream describes its types before it uses them, so a reader need not know them: what comes is read as dicts (structs,
by field name), lists, str, bytes, int and bool.  Fields with zero values are not sent; a reader must not rely on keys.
A writer says which types it means, and may leave out fields that it never sets.
"""

from __future__ import annotations

from pycni.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_MESSAGE = 1 << 20
"""Bytes of one message; a configuration that fits is longer than anybody's."""

_MAX_DEPTH = 16
_FIRST_ID = 64
_BOOL, _INT, _UINT, _BYTES, _STRING = 1, 2, 3, 5, 6
_ARRAY, _SLICE, _STRUCT, _MAP = 1, 2, 3, 4


class GobError(ValueError):
    """The bytes are not gob, or use a part of it that nobody here needs."""


class Scalar(Record):
    """A type that needs no description, by its number in every stream."""

    id: int


class Slice(Record):
    """`name` is for people."""

    name: str
    element: Type


class Struct(Record):
    """`fields` are pairs of name and type, in order; `name` is for people."""

    name: str
    fields: tuple[tuple[str, Type], ...]


if TYPE_CHECKING:
    Type = Scalar | Slice | Struct

BOOL, INT, UINT, BYTES, STRING = (Scalar(each) for each in (_BOOL, _INT, _UINT, _BYTES, _STRING))


# --- writing ---------------------------------------------------------------------------------------------------------


def _uint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    size = (number.bit_length() + 7) // 8
    return bytes((256 - size,)) + number.to_bytes(size, "big")


def _int(number: int) -> bytes:
    return _uint(~number << 1 | 1 if number < 0 else number << 1)


def _text(data: bytes) -> bytes:
    return _uint(len(data)) + data


class Writer:
    """One stream.  `write` gives the bytes of a value, after those of types that were not described yet."""

    def __init__(self) -> None:
        self._ids: dict[Type, int] = {}

    def write(self, kind: Type, value: Any) -> bytes:
        out: list[bytes] = []
        number = self._id(kind, out)
        # a value that is not a struct stands where a struct's first field would
        body = _int(number) + (b"" if isinstance(kind, Struct) else b"\0") + self._value(kind, value)
        out.append(_text(body))
        return b"".join(out)

    def _id(self, kind: Type, out: list[bytes]) -> int:
        if isinstance(kind, Scalar):
            return kind.id
        known = self._ids.get(kind)
        if known is not None:
            return known
        number = self._ids[kind] = _FIRST_ID + len(self._ids)
        common = (_text_field(1, kind.name) if kind.name else b"") + _field(1 if kind.name else 2, _int(number)) + b"\0"
        if isinstance(kind, Slice):
            described = _field(_SLICE, _field(1, common) + _field(1, _int(self._id(kind.element, out))) + b"\0")
        else:
            fields = [_text_field(1, name) + _field(1, _int(self._id(each, out))) + b"\0" for name, each in kind.fields]
            listed = _field(1, _uint(len(fields)) + b"".join(fields)) if fields else b""
            described = _field(_STRUCT, _field(1, common) + listed + b"\0")
        out.append(_text(_int(-number) + described + b"\0"))
        return number

    def _value(self, kind: Type, value: Any) -> bytes:
        if isinstance(kind, Struct):
            return self._struct(kind, value)
        if isinstance(kind, Slice):
            return _uint(len(value)) + b"".join([self._value(kind.element, each) for each in value])
        if kind.id == _STRING:
            return _text(value.encode("utf-8", "surrogateescape"))
        if kind.id == _BYTES:
            return _text(value)
        return _int(value) if kind.id == _INT else _uint(int(value))

    def _struct(self, kind: Struct, value: dict[str, Any]) -> bytes:
        out, last = [], -1
        for number, (name, each) in enumerate(kind.fields):
            given = value.get(name)
            # an empty struct has an end of its own to send, everything else that is empty is left out
            if given is not None and (given or isinstance(each, Struct)):
                out.append(_uint(number - last) + self._value(each, given))
                last = number
        return b"".join(out) + b"\0"


def _field(delta: int, data: bytes) -> bytes:
    return _uint(delta) + data


def _text_field(delta: int, text: str) -> bytes:
    return _field(delta, _text(text.encode()))


# --- reading ---------------------------------------------------------------------------------------------------------


class _Cursor:
    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise GobError("a value is longer than its message")
        self.at += size
        return self.data[self.at - size : self.at]

    def unsigned(self) -> int:
        first = self.take(1)[0]
        if first < 128:
            return first
        if first < 248:
            raise GobError("a number has more than 8 bytes")
        return int.from_bytes(self.take(256 - first), "big")

    def signed(self) -> int:
        number = self.unsigned()
        return ~(number >> 1) if number & 1 else number >> 1

    def count(self) -> int:
        """A number of things each of which takes a byte at least."""
        number = self.unsigned()
        if number > len(self.data) - self.at:
            raise GobError("a value is longer than its message")
        return number


class Reader:
    """One stream.  `feed` what was received, then `read` values until it gives None: there is no whole one yet."""

    def __init__(self) -> None:
        self._buffer = b""
        self._types: dict[int, tuple[int, Any]] = {}

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def read(self) -> tuple[Any] | None:
        """The next value in a tuple of one; GobError."""
        while True:
            message = self._message()
            if message is None:
                return None
            number = message.signed()
            if number >= 0:
                return (self._top(number, message),)
            self._types[-number] = _described(message)

    def _message(self) -> _Cursor | None:
        if not self._buffer:
            return None
        width = 1 if self._buffer[0] < 128 else 257 - self._buffer[0]
        if width > 9:
            raise GobError("a message's length has more than 8 bytes")
        if len(self._buffer) < width:
            return None
        size = _Cursor(self._buffer).unsigned()
        if size > MAX_MESSAGE:
            raise GobError(f"a message of {size} bytes")
        if len(self._buffer) < width + size:
            return None
        message = _Cursor(self._buffer[width : width + size])
        self._buffer = self._buffer[width + size :]
        return message

    def _top(self, number: int, message: _Cursor) -> Any:
        kind = self._types.get(number)
        if (kind is None or kind[0] != _STRUCT) and message.unsigned():
            raise GobError("a value that is no struct has a field number")
        return self._value(number, message, 0)

    def _value(self, number: int, message: _Cursor, depth: int) -> Any:
        if number == _STRING:
            return message.take(message.unsigned()).decode("utf-8", "surrogateescape")
        if number == _BYTES:
            return message.take(message.unsigned())
        if number == _INT:
            return message.signed()
        if number in (_UINT, _BOOL):
            return message.unsigned() if number == _UINT else bool(message.unsigned())
        if number not in self._types or depth > _MAX_DEPTH:
            raise GobError(f"a value of type {number}")
        kind, parts = self._types[number]
        if kind == _STRUCT:
            return self._struct(parts, message, depth + 1)
        if kind == _MAP:
            return [
                (self._value(parts[0], message, depth + 1), self._value(parts[1], message, depth + 1))
                for _ in range(message.count())
            ]
        return [self._value(parts, message, depth + 1) for _ in range(message.count())]

    def _struct(self, fields: list[tuple[str, int]], message: _Cursor, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        at = -1
        while delta := message.unsigned():
            at += delta
            if at >= len(fields):
                raise GobError(f"field {at} of a struct with {len(fields)}")
            name, number = fields[at]
            found[name] = self._value(number, message, depth)
        return found


def _described(message: _Cursor) -> tuple[int, Any]:
    """A type's description (gob's wireType): what kind, and of what."""
    kind = message.unsigned()
    if kind not in (_ARRAY, _SLICE, _STRUCT, _MAP):
        raise GobError(f"a type of kind {kind}")
    parts: dict[int, Any] = {}
    at = 0
    while delta := message.unsigned():
        at += delta
        if at == 1:
            _skip_common(message)
        elif kind == _STRUCT and at == 2:
            parts[at] = [_field_of(message) for _ in range(message.count())]
        else:
            parts[at] = message.signed()
    if message.unsigned():
        raise GobError("a type of two kinds")
    if kind == _STRUCT:
        return kind, parts.get(2, [])
    if kind == _MAP:
        return kind, (parts.get(2, 0), parts.get(3, 0))
    return kind, parts.get(2, 0)


def _skip_common(message: _Cursor) -> None:
    at = 0
    while delta := message.unsigned():
        at += delta
        if at == 1:
            message.take(message.unsigned())
        else:
            message.signed()


def _field_of(message: _Cursor) -> tuple[str, int]:
    name, number, at = "", 0, 0
    while delta := message.unsigned():
        at += delta
        if at == 1:
            name = message.take(message.unsigned()).decode("utf-8", "surrogateescape")
        else:
            number = message.signed()
    return name, number
