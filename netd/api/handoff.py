"""Hands values from a thread to the loop: bounded, so that a client that reads slowly slows the thread down, and
cheap, for a thread that has a thousand values costs the loop one wake-up."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

LIMIT = 256
"""How many values may wait, where nothing else is said."""


class Closed(Exception):
    """The loop wants nothing more."""


class Handoff(Generic[T]):
    """One thread puts, one task takes.  What waits weighs at most `limit`, and one value more."""

    def __init__(self, limit: int = LIMIT, weigh: Callable[[T], int] = lambda _value: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._news = asyncio.Event()
        self._ended = False
        self._closed = False

    def put(self, value: T) -> None:
        """For the thread; waits while too much waits.  Closed once `close` was called."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._weight < self._limit)
            if self._closed:
                raise Closed
            self._waiting.append(value)
            self._weight += self._weigh(value)
            if len(self._waiting) == 1:
                self._loop.call_soon_threadsafe(self._news.set)

    def end(self) -> None:
        """For the thread: nothing more comes."""
        with self._changed:
            self._ended = True
            if not self._closed:
                self._loop.call_soon_threadsafe(self._news.set)

    async def take(self) -> list[T]:
        """For the loop: all that waits, at least one value; [] at the end."""
        while True:
            self._news.clear()
            with self._changed:
                if self._waiting or self._ended:
                    taken = list(self._waiting)
                    self._waiting.clear()
                    self._weight = 0
                    self._changed.notify_all()
                    return taken
            await self._news.wait()

    def close(self) -> None:
        """For the loop: the thread is to stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
