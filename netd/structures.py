"""JSON as msgspec's structures, from any thread.

msgspec learns a structure's fields at the first use of its type, and is interrupted while it does: another thread that
uses the type meanwhile finds them half learnt and crashes the process (seen with 0.22.0: two first requests at once).
So types are learnt one at a time, before anything is decoded as one.
"""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_learning = Lock()
_learnt: set[Any] = set()


def from_json(text: bytes | str, kind: type[T]) -> T:
    """msgspec.ValidationError with the path of a value of a wrong type, msgspec.DecodeError for what is no JSON."""
    _learn(kind)
    return msgspec.json.decode(text, type=kind)


def from_values(value: Any, kind: type[T]) -> T:
    """The same of what was decoded without a type; msgspec.ValidationError."""
    _learn(kind)
    return msgspec.convert(value, kind)


def _learn(kind: Any) -> None:
    if kind not in _learnt:
        with _learning:
            msgspec.json.Decoder(kind)
            _learnt.add(kind)
