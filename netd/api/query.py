"""The query part of a request, with docker's idea of each type (contract docker 4.1).  Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

from netd.failure import InvalidParameter

_FALSE = ("", "0", "no", "false", "none")
_NANO = 1_000_000_000


class Query:
    """Of a key given several times the first counts, as in Go; `all_of` gives all."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, list[str]] = {}
        for key, value in parse_qsl(text, keep_blank_values=True):
            self._values.setdefault(key, []).append(value)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str = "") -> str:
        return self._values.get(key, [default])[0]

    def all_of(self, key: str) -> list[str]:
        return self._values.get(key, [])

    def flag(self, key: str, default: bool = False) -> bool:
        """Anything but 0, no, false, none and nothing is true."""
        return self.text(key).strip().lower() not in _FALSE if key in self else default

    def number(self, key: str, default: int | None = None) -> int | None:
        """A decimal number; InvalidParameter names the key.  An empty value counts as not given."""
        text = self.text(key)
        if not text:
            return default
        if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 18:
            raise InvalidParameter(f"invalid value {text!r} for {key}: must be a number")
        return int(text)

    def moment(self, key: str) -> int | None:
        """Nanoseconds since the epoch; see `moment`."""
        text = self.text(key)
        return moment(text, key) if text else None


def moment(text: str, what: str) -> int:
    """Nanoseconds since the epoch from seconds with up to nine decimals ("1700000000.5"), or RFC 3339;
    InvalidParameter names `what`."""
    whole, dot, fraction = text.partition(".")
    sign = -1 if whole.startswith("-") else 1
    if whole.removeprefix("-").isdecimal() and whole.isascii() and (not dot or fraction.isdecimal()):
        if len(whole) <= 12 and len(fraction) <= 9:
            return sign * (int(whole.removeprefix("-")) * _NANO + int(fraction.ljust(9, "0") or "0"))
    else:
        parsed = rfc3339(text)
        if parsed is not None:
            return parsed
    raise InvalidParameter(f"invalid value {text!r} for {what}: neither seconds since the epoch nor RFC 3339")


def rfc3339(text: str) -> int | None:
    """Nanoseconds since the epoch; None when the text is no RFC 3339 time.  Without a zone it is UTC."""
    head, dot, rest = text.partition(".")
    digits = ""
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        head += rest[len(digits) :]
    if len(digits) > 9 or (dot and not digits):
        return None
    try:
        parsed = datetime.fromisoformat(head)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    # not timestamp(), whose float has no nanoseconds
    since = parsed - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * _NANO + int(digits.ljust(9, "0"))
