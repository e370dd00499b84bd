"""Signals as docker's clients write them."""

from __future__ import annotations

import signal

from netd.failure import InvalidParameter


def parse_signal(text: str) -> int:
    """The number of "9", "KILL", "SIGKILL", "kill" or "RTMIN+3"; InvalidParameter."""
    name = text.strip().upper().removeprefix("SIG")
    number = int(name) if name.isdecimal() and len(name) < 4 else _named(name)
    if not 0 < number <= signal.SIGRTMAX:
        raise InvalidParameter(f"Invalid signal: {text}")
    return number


def _named(name: str) -> int:
    base, _, offset = name.partition("+")
    if base == "RTMIN" and offset.isdecimal():
        return int(signal.SIGRTMIN) + int(offset)
    base, _, offset = name.partition("-")
    if base == "RTMAX" and offset.isdecimal():
        return int(signal.SIGRTMAX) - int(offset)
    found = getattr(signal, f"SIG{name}", None)
    return int(found) if isinstance(found, signal.Signals) else 0
