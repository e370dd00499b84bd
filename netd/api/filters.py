"""The `filters` parameter: a JSON object in either of docker's two spellings, and what its words match.  Pure.

`{"label":["a=b"]}` and the older `{"label":{"a=b":true}}` mean the same.  Values of one key are alternatives, keys must
all match, and labels must all match as well (contract docker 4.1, 4.2).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import msgspec

from netd.failure import InvalidParameter

_TRUE = ("1", "t", "true")
_FALSE = ("0", "f", "false")


class Filters:
    """Keys with their values; a key that was not given matches everything."""

    def __init__(self, values: Mapping[str, Collection[str]]) -> None:
        self._values = {key: tuple(given) for key, given in values.items() if given}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, key: str) -> tuple[str, ...]:
        return self._values.get(key, ())

    def exact(self, key: str, *candidates: str) -> bool:
        """Whether one of the values is one of these words."""
        return key not in self or any(value in candidates for value in self.get(key))

    def pattern(self, key: str, *candidates: str) -> bool:
        """Whether a value is contained in one of these words, or matches it as a regular expression."""
        return key not in self or any(_matches(value, each) for value in self.get(key) for each in candidates)

    def prefix(self, key: str, word: str) -> bool:
        return key not in self or any(word.startswith(value) for value in self.get(key))

    def labels(self, labels: Mapping[str, str] | None, key: str = "label") -> bool:
        """Whether all of `KEY` and `KEY=VALUE` hold; with key "label!" whether none does."""
        have = labels or {}
        hits = [_has_label(have, value) for value in self.get(key)]
        return not any(hits) if key.endswith("!") else all(hits)

    def boolean(self, key: str) -> bool | None:
        """The value of a switch, None when not given; InvalidParameter for another word or both."""
        given = {value.lower() for value in self.get(key)}
        if not given:
            return None
        if given <= set(_TRUE):
            return True
        if given <= set(_FALSE):
            return False
        raise InvalidParameter(f"invalid filter '{key}={' '.join(sorted(given))}': must be true or false")


def parse(text: str, known: Collection[str]) -> Filters:
    """InvalidParameter for malformed text, or naming a key that is not in `known`."""
    if not text:
        return Filters({})
    try:
        decoded = msgspec.json.decode(text.encode(), type=dict[str, list[str] | dict[str, bool]])
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"invalid filters: {error}") from None
    for key in decoded:
        if key not in known:
            raise InvalidParameter(f"invalid filter '{key}'")
    return Filters(
        {
            key: given if isinstance(given, list) else [word for word, wanted in given.items() if wanted]
            for key, given in decoded.items()
        }
    )


def _matches(value: str, word: str) -> bool:
    if value in word:
        return True
    try:
        return re.search(value, word) is not None
    except re.error:
        return False


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
