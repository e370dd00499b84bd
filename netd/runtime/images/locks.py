"""One lock an image, for as long as somebody wants it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from netd.runtime.images.interest import Interest


class Locks:
    """Who waits for an image that another fetches keeps that work going when the other leaves."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[str, Interest] = {}

    @contextmanager
    def holding(self, ids: Iterable[str], interest: Interest | None = None) -> Iterator[None]:
        """All of them, from the moment when none is held by another; Abandoned when `interest` is lost before."""
        mine = interest or Interest()
        wanted = set(ids)
        with self._changed:
            self._wait(wanted, mine)
            self._held |= dict.fromkeys(wanted, mine)
        try:
            yield
        finally:
            with self._changed:
                for each in wanted:
                    del self._held[each]
                self._changed.notify_all()

    def _wait(self, wanted: set[str], mine: Interest) -> None:
        with ExitStack() as waiting:
            waiting.enter_context(mine.at_loss(self._wake))
            while others := {self._held[each] for each in wanted & self._held.keys()}:
                mine.check()
                for other in others:
                    waiting.enter_context(other.shared_with(mine))
                self._sleep()

    def _sleep(self) -> None:
        self._changed.wait()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
