"""The keys that end an attached terminal's input and leave the container running.  Pure."""

from __future__ import annotations

from netd.failure import InvalidParameter

DEFAULT = "ctrl-p,ctrl-q"
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse(text: str) -> bytes:
    """The bytes of "ctrl-a,x": single characters and ctrl- with a letter or one of @ [ \\ ] ^ _; "" means the default.
    InvalidParameter."""
    keys = bytearray()
    for word in (text or DEFAULT).split(","):
        control = word.lower().removeprefix("ctrl-")
        if word.lower().startswith("ctrl-") and len(control) == 1 and control in _CONTROL:
            keys.append(_CONTROL.index(control))
        elif len(word) == 1 and word.isascii():
            keys += word.encode()
        else:
            raise InvalidParameter(f"Invalid detach keys ({text}) provided: unknown key {word!r}")
    return bytes(keys)


class Detector:
    """Reads along with the input, and holds back what may be the beginning of the keys."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be handed on, and whether the keys have come; what follows them is dropped."""
        passed = bytearray()
        for byte in data:
            while self._matched and byte != self._keys[self._matched]:
                self._retreat(passed)
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(passed), True
            else:
                passed.append(byte)
        return bytes(passed), False

    def _retreat(self, passed: bytearray) -> None:
        """Gives up the longest match for the next shorter one, and hands on what is thereby no longer held."""
        held = self._keys[: self._matched]
        shorter = next(size for size in range(self._matched - 1, -1, -1) if held.endswith(self._keys[:size]))
        passed += held[: self._matched - shorter]
        self._matched = shorter
