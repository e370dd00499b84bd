"""Waiting for what the kernel does a moment after it was asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition holds within two seconds: the kernel reports carriers a moment later."""
    deadline = time.monotonic() + 2
    while not condition():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True
