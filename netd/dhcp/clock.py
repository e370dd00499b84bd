"""Timers that count while the machine sleeps, as the servers' do: a lease runs out in that time, too.  The loop's own
stand still then, as epoll's time-outs do (CLOCK_MONOTONIC)."""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import os
import time

from netd.loop import Callback, Loop, Timer

_TFD_TIMER_ABSTIME = 1
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


def now() -> float:
    """Seconds since boot, those of sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """Calls back from a loop; one descriptor, whatever the number of timers.  OSError."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._timers: list[Timer] = []
        self._fd = _checked(_libc.timerfd_create(time.CLOCK_BOOTTIME, _TFD_FLAGS))
        loop.add(self._fd, self._ring)

    def after(self, seconds: float, callback: Callback) -> Timer:
        timer = Timer(now() + seconds, callback)
        heapq.heappush(self._timers, timer)
        self._set()
        return timer

    def close(self) -> None:
        self._loop.remove(self._fd)
        os.close(self._fd)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        moment = now()
        while self._timers and self._timers[0].when <= moment:
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                callback()
        self._set()

    def _set(self) -> None:
        timers = self._timers
        while timers and timers[0].callback is None:
            heapq.heappop(timers)
        if timers:
            seconds, nanoseconds = divmod(int(timers[0].when * 1e9) + 1, 10**9)
            wanted = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)
            _checked(_libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, wanted, None))


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
