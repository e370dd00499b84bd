"""The lock that keeps several runs of sbr in one namespace from choosing the same table, the reference's included: an
exclusive flock(2) on the namespace's file."""

from __future__ import annotations

import fcntl
import os
import time

from pycni.spec.errors import TryAgainLater

_SECONDS = 10.0
"""The reference waits for ever; but whoever is in the namespace can hold this lock, and keep us from serving others."""


class NamespaceLock:
    """Held from construction until `release`; TryAgainLater when somebody else keeps it.  A file that cannot be opened
    is left to those who enter the namespace to complain about."""

    __slots__ = ("_fd",)

    def __init__(self, path: str, seconds: float = _SECONDS) -> None:
        self._fd = -1
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            _lock(fd, path, time.monotonic() + seconds)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        """Again is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _lock(fd: int, path: str, deadline: float) -> None:
    pause = 0.001
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TryAgainLater(f"somebody keeps the lock of network namespace {path}") from None
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
