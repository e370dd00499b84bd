"""Whether anybody still wants a piece of work: said by one thread, heeded by another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from netd.failure import Failure


class Abandoned(Failure):
    """Nobody waits for the work any more; it is stopped where it is."""

    def __init__(self) -> None:
        super().__init__("nobody waits for it any more")


class Interest:
    """Of the one who asked for the work, until `lose`, and of all who wait for it; lost when none is left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanting: set[Interest] = {self}
        self._calls: list[Callable[[], None]] = []

    def lose(self, who: Interest | None = None) -> None:
        """`who` wants it no more, None: the one who asked.  At the last one all of `at_loss` is called, here."""
        with self._lock:
            if not self._wanting:
                return
            self._wanting.discard(who or self)
            if self._wanting:
                return
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def check(self) -> None:
        """Abandoned once it is lost."""
        if not self._wanting:
            raise Abandoned

    @contextmanager
    def shared_with(self, other: Interest) -> Iterator[None]:
        """Within the block `other` wants the work as well, until it is lost itself."""
        with self._lock:
            if self._wanting:
                self._wanting.add(other)
        try:
            with other.at_loss(lambda: self.lose(other)):
                yield
        finally:
            self.lose(other)

    @contextmanager
    def at_loss(self, call: Callable[[], None]) -> Iterator[None]:
        """Calls it once when the interest is lost within the block, be it that it is lost already."""
        with self._lock:
            if self._wanting:
                self._calls.append(call)
            lost = not self._wanting
        if lost:
            call()
        try:
            yield
        finally:
            with self._lock:
                if call in self._calls:
                    self._calls.remove(call)
