"""What happens to containers, images and networks, told to whoever asks (contract docker 4.4)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from pycni.record import Record

KEPT = 1024
"""How many past events `since` can reach: docker's number."""

_WAITING = 4096
"""A subscriber that lets more than these wait is behind for good and loses the oldest."""


class Event(Record):
    """`time_ns` since the epoch; `type` "container", "image" or "network"; `actor_id` what it happened to."""

    time_ns: int
    type: str
    action: str
    actor_id: str
    attributes: Mapping[str, str]


class Subscription:
    """A queue of events of one listener.

    `notify` is called in the publisher's thread after each new event, and must neither wait nor publish: an asyncio
    listener passes `lambda: loop.call_soon_threadsafe(wake)` and then takes what is there; a thread may just `get`."""

    def __init__(self, events: Events, past: list[Event], notify: Callable[[], None]) -> None:
        self._events = events
        self._queue = deque(past, maxlen=_WAITING)
        self._notify = notify
        self._changed = threading.Condition()
        self._closed = False

    def put(self, event: Event) -> None:
        """For `Events` only."""
        with self._changed:
            self._queue.append(event)
            self._changed.notify_all()
        self._notify()

    def take(self) -> list[Event]:
        """What has come since the last look, oldest first; never waits."""
        with self._changed:
            taken = list(self._queue)
            self._queue.clear()
        return taken

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None after `timeout` seconds without one, or when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed, timeout)
            return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        self._events.forget(self)
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Events:
    """The last 1024 events and everyone who listens; safe for threads."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._past: deque[Event] = deque(maxlen=KEPT)
        self._listeners: list[Subscription] = []

    def publish(self, type_: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None) -> Event:
        with self._lock:
            event = Event(
                time_ns=self._clock(), type=type_, action=action, actor_id=actor_id, attributes=dict(attributes or {})
            )
            self._past.append(event)
            # inside the lock, so that all listeners see one order
            for listener in self._listeners:
                listener.put(event)
        return event

    def subscribe(self, since_ns: int | None = None, notify: Callable[[], None] = lambda: None) -> Subscription:
        """Events from now on, and those kept since `since_ns` (epoch) if given, without a gap between the two."""
        with self._lock:
            past = [event for event in self._past if since_ns is not None and event.time_ns >= since_ns]
            listener = Subscription(self, past, notify)
            self._listeners.append(listener)
        return listener

    def forget(self, listener: Subscription) -> None:
        """Ends a subscription; without effect the second time."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
