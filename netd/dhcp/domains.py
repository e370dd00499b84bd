"""Domain names in options: in DNS' wire form, DHCPv4's with compression (RFC 1035 3.1, RFC 3397, RFC 8415 10)."""

from __future__ import annotations

_MAX_NAME = 255
_POINTER = 0xC0


class Malformed(ValueError):
    """The bytes are no list of names."""


def decode(data: bytes) -> tuple[str, ...]:
    """The names, without final dots; Malformed."""
    names: list[str] = []
    at = 0
    while at < len(data):
        labels, at = _labels(data, at)
        if labels:
            names.append(".".join(labels))
    return tuple(names)


def _labels(data: bytes, at: int) -> tuple[list[str], int]:
    """The labels of the name at `at`, and where the next one begins."""
    labels: list[str] = []
    size, end = 0, -1
    while True:
        if at >= len(data):
            raise Malformed("a name without end")
        length = data[at]
        if length & _POINTER == _POINTER:
            if at + 1 >= len(data):
                raise Malformed("a pointer without end")
            target = (length & 0x3F) << 8 | data[at + 1]
            if target >= at:
                raise Malformed("a pointer that does not point back")
            end = at + 2 if end < 0 else end
            at = target
            continue
        if length & _POINTER:
            raise Malformed("an unknown kind of label")
        at += 1
        if not length:
            return labels, at if end < 0 else end
        label = data[at : at + length]
        size += length + 1
        if len(label) < length or size > _MAX_NAME:
            raise Malformed("a name that is too long")
        labels.append(text_of(label))
        at += length


def text_of(label: bytes) -> str:
    """ASCII that may stand in resolv.conf; Malformed for blanks, control characters and the like."""
    text = label.decode("ascii", "replace")
    if not text or not all(char.isalnum() or char in "-_." for char in text) or not text.isascii():
        raise Malformed(f"the name {label!r}")
    return text
