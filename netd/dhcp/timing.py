"""When to say things again, and for how long."""

from __future__ import annotations

from collections.abc import Callable

from pycni.record import Record

Random = Callable[[], float]
"""A number from 0 up to 1."""

INFINITE = 0xFFFFFFFF
"""A duration in either protocol that means for ever."""


class Timing(Record):
    """Seconds.  `timeout`: how long a server that offered something may then be silent before any other will do;
    `resend_max`: the longest pause between two messages; `resend_timeout`: when an ADD fails."""

    timeout: float = 10.0
    resend_max: float = 62.0
    resend_timeout: float = 208.0


class Backoff:
    """Pauses that double from `first` to `longest`, each up to a tenth longer or shorter, so that containers started
    together do not go on asking together."""

    def __init__(self, first: float, longest: float, random: Random) -> None:
        self._pause = first
        self._longest = longest
        self._random = random

    def next(self) -> float:
        pause = min(self._pause, self._longest)
        self._pause = pause * 2
        return pause * (0.9 + 0.2 * self._random())
