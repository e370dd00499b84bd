"""Moments as docker writes them (RFC 3339, UTC, nanoseconds) and as conmon does (with the machine's offset)."""

from __future__ import annotations

import calendar
import time

NANOSECONDS = 1_000_000_000


def written(time_ns: int) -> str:
    """`time_ns` since the epoch as "2026-01-02T03:04:05.000000006Z": always nine digits, as docker's logs have it."""
    seconds, rest = divmod(time_ns, NANOSECONDS)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def parsed(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 moment; ValueError."""
    day_and_time, offset = _without_offset(text)
    whole, _, fraction = day_and_time.partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    nanoseconds = int(fraction.ljust(9, "0")[:9]) if fraction else 0
    return (seconds - offset) * NANOSECONDS + nanoseconds


def _without_offset(text: str) -> tuple[str, int]:
    if text.endswith("Z"):
        return text[:-1], 0
    sign, hours, minutes = text[-6:-5], text[-5:-3], text[-2:]
    if sign not in ("+", "-") or text[-3:-2] != ":":
        raise ValueError(f"not a moment with an offset: {text!r}")
    seconds = int(hours) * 3600 + int(minutes) * 60
    return text[:-6], seconds if sign == "+" else -seconds
