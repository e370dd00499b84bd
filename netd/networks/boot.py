"""When this machine was booted, as far as files can be compared with it: no container outlives a boot."""

from __future__ import annotations

import os
import time

_MARGIN = 2.0
"""Seconds for a file system's coarse clock."""


def boot_moment(run: str = "/run") -> float:
    """Unix seconds: who wrote a file before did so before this boot.

    The earlier of two witnesses.  What the clock says of the uptime is wrong where the clock was set forward since; the
    oldest name in /run, which is empty at boot, bears the time of a clock that may have been set back since."""
    by_clock = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return earliest(by_clock, _oldest(run)) - _MARGIN


def earliest(by_clock: float, oldest: float | None) -> float:
    """0.0, before every file, when there is only one witness."""
    return 0.0 if oldest is None else min(by_clock, oldest)


def _oldest(folder: str) -> float | None:
    try:
        with os.scandir(folder) as entries:
            return min((entry.stat(follow_symlinks=False).st_ctime for entry in entries), default=None)
    except OSError:
        return None
