"""The keys that leave a container without ending it; pure."""

from __future__ import annotations

from netd.failure import InvalidParameter

DEFAULT = "ctrl-p,ctrl-q"
_CONTROLS = {**{f"ctrl-{chr(97 + number)}": number + 1 for number in range(26)}, "ctrl-@": 0}
_CONTROLS.update({"ctrl-[": 27, "ctrl-\\": 28, "ctrl-]": 29, "ctrl-^": 30, "ctrl-_": 31})


def parse(text: str, flag: str = "--detach-keys") -> bytes:
    """The bytes of `ctrl-p,ctrl-q` or `a,b`; "" is the default.  InvalidParameter."""
    keys = bytearray()
    for word in (text or DEFAULT).split(","):
        if len(word) == 1 and word.isascii():
            keys.append(ord(word))
        elif word.lower() in _CONTROLS:
            keys.append(_CONTROLS[word.lower()])
        else:
            raise InvalidParameter(
                f"{flag} {text!r}: {word!r} is neither a letter nor ctrl- and one of a-z @ [ \\ ] ^ _"
            )
    return bytes(keys)


class Watch:
    """Passes what is typed on, holding back what may be the beginning of the keys."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self.found = False

    def feed(self, typed: bytes) -> bytes:
        """What to pass on; `found` is set when the keys were typed, and what follows them is dropped."""
        text = self._held + typed
        end = text.find(self._keys)
        if end >= 0:
            self.found, self._held = True, b""
            return text[:end]
        for length in range(min(len(self._keys) - 1, len(text)), 0, -1):
            if text.endswith(self._keys[:length]):
                self._held = text[-length:]
                return text[:-length]
        self._held = b""
        return text
