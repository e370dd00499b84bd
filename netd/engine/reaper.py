"""The one thread for what may wait until the caller has its answer: deleting retired links, closing namespaces.

It sleeps without a time limit unless a foreign namespace has to be closed soon.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic

from netd.engine.places import Place, Places
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Work = Callable[[NamespaceApi], None]
    Item = tuple[Place, Work] | Event | None


QUIET_SECONDS = 0.05
PATIENCE_SECONDS = 0.5
"""Deleting links holds the kernel's RTNL lock for 20 ms and more, and every call waits for it.  So the reaper lets
calls go first until there was none for a while, but not for ever."""


class Reaper:
    """Work is done in order of arrival; what is equal and waits together is done once, where it was asked for last."""

    def __init__(self, places: Places, log: Callable[[str], None]) -> None:
        self._places = places
        self._log = log
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._lock = Lock()
        self._pending = 0
        self._stopping = False
        self._last_call = 0.0
        self._thread = Thread(target=self._run, name="reaper", daemon=True)

    @property
    def pending(self) -> int:
        """Pieces of work not done yet."""
        return self._pending

    def start(self) -> None:
        self._thread.start()

    def defer(self, place: Place, work: Work) -> None:
        """Does `work` soon, on a Namespace object of `place`; the place is kept until then."""
        self._places.keep(place)
        # whoever asks for it is still to be answered
        self._last_call = monotonic()
        with self._lock:
            self._pending += 1
        self._queue.put((place, work))

    def call_begins(self) -> None:
        """A call is being served, so the moment is not quiet."""
        self._last_call = monotonic()

    def look_again(self) -> None:
        """A foreign place has become free: it is to be closed in time."""
        self._queue.put(None)

    def wait(self, seconds: float) -> bool:
        """Whether everything deferred before this call was done within so many seconds."""
        reached = Event()
        self._queue.put(reached)
        return reached.wait(seconds)

    def stop(self) -> None:
        """Does what is left, then ends the thread."""
        self._stopping = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            items = self._take()
            works = [item for item in items if isinstance(item, tuple)]
            for place, work in reversed(dict.fromkeys(reversed(works))):
                self._do(place, work)
            for place, _work in works:
                self._places.leave(place)
            with self._lock:
                self._pending -= len(works)
            for item in items:
                if isinstance(item, Event):
                    item.set()
            for place in self._places.take_idle():
                place.close()
            if self._stopping and self._queue.empty():
                return

    def _take(self) -> list[Item]:
        """Everything that waits, when the moment has come; empty when it is time to close an idle place."""
        items: list[Item] = []
        try:
            items.append(self._queue.get(timeout=self._places.seconds_to_idle()))
            patience = monotonic() + PATIENCE_SECONDS
            while self._can_wait(items):
                now = monotonic()
                rest = min(self._last_call + QUIET_SECONDS, patience) - now
                if rest <= 0:
                    break
                try:
                    items.append(self._queue.get(timeout=rest))
                except Empty:
                    continue
            while True:
                items.append(self._queue.get_nowait())
        except Empty:
            return items

    def _can_wait(self, items: list[Item]) -> bool:
        """There is work, and nobody waits for it."""
        worked = any(isinstance(item, tuple) for item in items)
        return worked and not self._stopping and not any(isinstance(item, Event) for item in items)

    def _do(self, place: Place, work: Work) -> None:
        namespace = self._places.borrow(place)
        try:
            work(namespace)
        except (CniError, OSError) as error:
            self._log(f"deferred work failed: {error}")
        finally:
            self._places.give_back(place, namespace)
