"""The one thread for what may wait until the caller has its answer: deleting retired links, closing namespaces.

It sleeps without a time limit unless a foreign namespace has to be closed soon.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread

from netd.engine.places import Place, Places
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Work = Callable[[NamespaceApi], None]
    Item = tuple[Place, Work] | Event | None


class Reaper:
    """Work is done in order of arrival; what is equal and waits together is done once."""

    def __init__(self, places: Places, log: Callable[[str], None]) -> None:
        self._places = places
        self._log = log
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._lock = Lock()
        self._pending = 0
        self._stopping = False
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
        with self._lock:
            self._pending += 1
        self._queue.put((place, work))

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
            for place, work in dict.fromkeys(works):
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
        """Everything that waits; empty when it is time to close an idle place."""
        items: list[Item] = []
        try:
            items.append(self._queue.get(timeout=self._places.seconds_to_idle()))
            while True:
                items.append(self._queue.get_nowait())
        except Empty:
            return items

    def _do(self, place: Place, work: Work) -> None:
        namespace = self._places.borrow(place)
        try:
            work(namespace)
        except (CniError, OSError) as error:
            self._log(f"deferred work failed: {error}")
        finally:
            self._places.give_back(place, namespace)
