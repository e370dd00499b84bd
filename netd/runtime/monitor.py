"""Waits, in one thread, for processes to end and for moments to come, and calls back in others."""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_WORKERS = 8
"""Containers cleaned up after at a time: the work is that of other processes and the kernel."""

_log = logging.getLogger(__name__)


class Timer:
    """A call to come; see `Monitor.call_later`."""

    def __init__(self, moment: float, callback: Callable[[], None]) -> None:
        self.moment = moment
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Without effect when it has been called."""
        self.cancelled = True


class Monitor:
    """Callbacks run in a pool of threads, several at a time; an exception in one is logged."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="containers")
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.EPOLLIN)
        self._lock = threading.Lock()
        self._watched: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()

    def watch(self, pidfd: int, ended: Callable[[], None]) -> None:
        """Calls `ended` once when the process of `pidfd` ends, or at once when it has; takes over the descriptor."""
        with self._lock:
            if self._closed:
                os.close(pidfd)
                return
            self._watched[pidfd] = ended
            self._poll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, callback)
        with self._lock:
            if not self._closed:
                heapq.heappush(self._timers, (timer.moment, next(self._order), timer))
                os.eventfd_write(self._wake, 1)
        return timer

    def submit(self, callback: Callable[[], None]) -> Future[None]:
        """Calls back now, in another thread; after `close` never, and what is returned is done."""
        try:
            return self._pool.submit(_guarded, callback)
        except RuntimeError:
            ignored: Future[None] = Future()
            ignored.set_result(None)
            return ignored

    def close(self) -> None:
        """Waits for callbacks that run; what is only watched is forgotten, and what comes later ignored."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._pool.shutdown(wait=True)
        for pidfd in self._watched:
            os.close(pidfd)
        self._watched.clear()
        self._poll.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._closed:
            for fd, _ in self._poll.poll(self._until_next()):
                if fd == self._wake:
                    os.eventfd_read(fd)
                else:
                    self._ended(fd)
            self._call_due()

    def _ended(self, pidfd: int) -> None:
        with self._lock:
            callback = self._watched.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        self._pool.submit(_guarded, callback)

    def _until_next(self) -> float:
        """Seconds, or -1 for no limit, as epoll takes it."""
        with self._lock:
            return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _call_due(self) -> None:
        while True:
            with self._lock:
                if not self._timers or self._timers[0][0] > time.monotonic():
                    return
                _, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._pool.submit(_guarded, timer.callback)


def _guarded(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        _log.exception("what was to follow the end of a container failed")
