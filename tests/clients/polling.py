"""Waiting for something observable, with a deadline: the only way this ring waits."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_until"]

T = TypeVar("T")

INTERVAL = 0.02  # well below what any client takes, so a wait costs next to nothing over the event itself


def wait_until(look: Callable[[], T | None], what: str, deadline: float = 10.0) -> T:
    """Return the first truthy answer of look; fail, naming what was waited for, when the deadline passes."""
    end = time.monotonic() + deadline
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:g} s in vain for {what}; last seen: {found!r}")
        time.sleep(INTERVAL)
