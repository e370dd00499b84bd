"""Typed access to a decoded JSON object, with the key's whole path in every error.

Keys are matched without regard to case when there is no exact match (contract 1.4): go-cni sends `HostPort` where
podman sends `hostPort`, and both are in the field.  `null` leaves the default in place.
"""

from __future__ import annotations

from pycni.spec.address import Address, Prefix
from pycni.spec.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "an integer", float: "a number"}


def is_word(text: str, limit: int) -> bool:
    """One word of at most `limit` bytes, without blanks, quotes, backslashes or control characters: a name that may
    stand in a firewall program's input as it is."""
    plain = text.isprintable() and not any(char.isspace() or char in "\"'\\" for char in text)
    return bool(text) and plain and len(text.encode()) <= limit


def first_given(*texts: str) -> str:
    """The first that is not empty, of sources in falling order.  All have been read by then: what an earlier source
    hides is still of the right type."""
    return next(filter(None, texts), "")


class Section:
    """One object of the configuration.  `raw` is the decoded dict, `path` its place ("" for the top level)."""

    __slots__ = ("_folded", "path", "raw")

    def __init__(self, raw: dict[str, Any], path: str = "") -> None:
        self.raw = raw
        self.path = path
        self._folded: dict[str, Any] | None = None

    def get(self, key: str) -> Any:
        """The raw value, None when absent."""
        if key in self.raw:
            return self.raw[key]
        if self._folded is None:
            self._folded = {name.lower(): value for name, value in self.raw.items()}
        return self._folded.get(key.lower())

    def has(self, key: str) -> bool:
        """Present and not null."""
        return self.get(key) is not None

    def where(self, key: str) -> str:
        """The key's full path, for messages."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, reason: str) -> ConfigError:
        """An error that names the key; for the caller to raise."""
        return ConfigError(f"invalid configuration: key {self.where(key)!r}: {reason}")

    def _typed(self, key: str, kind: type) -> Any:
        raw = self.raw
        value = raw[key] if key in raw else self.get(key) if raw else None
        if value is None or type(value) is kind:
            return value
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(key, f"expected {_NAMES[kind]}, got {_NAMES.get(type(value), 'null')}")
        return value

    def string(self, key: str, default: str = "") -> str:
        value: str | None = self._typed(key, str)
        return default if value is None else value

    def word(self, key: str, limit: int, default: str = "") -> str:
        """A string that `is_word`; "" counts as absent."""
        text = self.string(key) or default
        if text and not is_word(text, limit):
            raise self.wrong(key, f"{text!r} is not one word of at most {limit} bytes")
        return text

    def boolean(self, key: str, default: bool = False) -> bool:
        value: bool | None = self._typed(key, bool)
        return default if value is None else value

    def optional_boolean(self, key: str) -> bool | None:
        value: bool | None = self._typed(key, bool)
        return value

    def integer(self, key: str, default: int = 0, unsigned: bool = False, bits: int = 32) -> int:
        value = self.optional_integer(key, unsigned, bits)
        return default if value is None else value

    def optional_integer(self, key: str, unsigned: bool = False, bits: int = 32) -> int | None:
        """An integer that fits an unsigned number of so many bits or, when it may be negative, a signed one."""
        value: int | None = self._typed(key, int)
        if value is None:
            return None
        if unsigned and value < 0:
            raise self.wrong(key, f"{value} is negative")
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise self.wrong(key, f"{value} does not fit {bits} bits")
        return value

    def section(self, key: str) -> Section | None:
        value = self._typed(key, dict)
        return None if value is None else Section(value, self.where(key))

    def section_or_empty(self, key: str) -> Section:
        return self.section(key) or Section({}, self.where(key))

    def items(self, key: str) -> list[Any] | None:
        """A list as it is; None when absent."""
        value: list[Any] | None = self._typed(key, list)
        return value

    def sections(self, key: str) -> list[Section]:
        """A list of objects."""
        return [
            Section(self._item(key, number, item, dict), f"{self.where(key)}[{number}]")
            for number, item in enumerate(self.items(key) or [])
        ]

    def strings(self, key: str) -> list[str]:
        """A list of strings."""
        return [self._item(key, number, item, str) for number, item in enumerate(self.items(key) or [])]

    def _item(self, key: str, number: int, item: object, kind: type) -> Any:
        if not isinstance(item, kind):
            raise self.wrong(f"{key}[{number}]", f"expected {_NAMES[kind]}, got {_NAMES.get(type(item), 'null')}")
        return item

    def _parsed(self, key: str, parse: Callable[[str], T]) -> T | None:
        text = self.string(key)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            raise self.wrong(key, str(error)) from None

    def address(self, key: str) -> Address | None:
        """An IP address; "" counts as absent."""
        return self._parsed(key, Address.parse)

    def prefix(self, key: str) -> Prefix | None:
        """An address with prefix length; unlike with an address "" is none."""
        if self._typed(key, str) == "":
            raise self.wrong(key, "invalid CIDR address: ")
        return self._parsed(key, Prefix.parse)
