"""Waiting for what the kernel does a moment after it was asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition holds within ten seconds: the kernel reports carriers a moment later, an emulated one later
    still."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True
