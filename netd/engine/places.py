"""The network namespaces the engine works in: its own for good, a caller's other one while calls come from there.

"Host side" is always the caller's namespace.  An open socket or descriptor keeps a namespace alive, so what belongs to
another namespace is closed soon after its last use, by the reaper: closing an nfnetlink socket takes 7-20 ms.
"""

from __future__ import annotations

import os
import time
from threading import Lock

from netd.engine.connection import Passed
from netd.engine.sysctls import OwnProc, SysctlDirectories
from netd.engine.visits import ContainerNamespace, HostNamespace, Visit, VisitedNamespace
from pycni.firewall.firewall import Firewall
from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import identity, open_current

IDLE_SECONDS = 1.0
"""Long enough for the plugins of one chain to follow each other, short enough not to delay a namespace's end."""


class Place:
    """One namespace: its firewall, shared by all threads, and Namespace objects, each used by one thread at a time."""

    __slots__ = ("_firewall_namespace", "fd", "firewall", "last_used", "spare", "sysctls", "users")

    def __init__(self, fd: int, home: int, run_dir: str) -> None:
        """Takes the descriptor over.  `home` is the engine's own namespace."""
        self.fd = fd
        self._firewall_namespace = VisitedNamespace(fd, home)
        self.firewall = Firewall(self._firewall_namespace, run_dir)
        self.sysctls = SysctlDirectories(Visit(fd, home))
        self.spare: list[Namespace] = []
        self.users = 0
        self.last_used = 0.0

    def close(self) -> None:
        self.firewall.close()
        for namespace in (self._firewall_namespace, *self.spare):
            namespace.close()
        self.spare.clear()
        self.sysctls.close()
        os.close(self.fd)


class Places:
    """All of them, by identity.  Thread-safe."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._lock = Lock()
        home = open_current()
        self.own = Place(home, home, run_dir)
        self._own_identity = identity(self.own.fd)
        self._others: dict[tuple[int, int], Place] = {}
        self._proc = OwnProc()

    def enter(self, passed: Passed) -> tuple[Place, bool] | None:
        """The place of this namespace, in use until `leave`, and whether it is new here; None when that is no network
        namespace."""
        key = passed.identity
        with self._lock:
            place = self.own if key == self._own_identity else self._others.get(key)
            new = place is None
            if place is None:
                if not passed.is_netns:
                    return None
                place = self._others[key] = Place(os.dup(passed.fd), self.own.fd, self._run_dir)
            place.users += 1
            return place, new

    def keep(self, place: Place) -> None:
        """One more user of a place that is in use."""
        with self._lock:
            place.users += 1

    def leave(self, place: Place) -> None:
        with self._lock:
            place.users -= 1
            place.last_used = time.monotonic()

    def borrow(self, place: Place) -> Namespace:
        """A Namespace object for this thread's own use, until `give_back`."""
        with self._lock:
            if place.spare:
                return place.spare.pop()
        return HostNamespace(place.fd, self.own.fd, place.sysctls)

    def visited(self, passed: Passed) -> Namespace:
        """The namespace behind a descriptor that stays the caller's."""
        return ContainerNamespace(passed, self.own.fd, self._proc)

    def give_back(self, place: Place, namespace: Namespace) -> None:
        with self._lock:
            place.spare.append(namespace)

    @property
    def foreign(self) -> int:
        """How many namespaces besides our own are kept open."""
        return len(self._others)

    def take_idle(self) -> list[Place]:
        """The places nobody used for IDLE_SECONDS, for the caller to close; they are forgotten here."""
        now = time.monotonic()
        with self._lock:
            idle = [
                key for key, place in self._others.items() if not place.users and now - place.last_used >= IDLE_SECONDS
            ]
            return [self._others.pop(key) for key in idle]

    def seconds_to_idle(self) -> float | None:
        """When to call `take_idle` next; None when there is nothing to wait for."""
        now = time.monotonic()
        with self._lock:
            waits = [place.last_used + IDLE_SECONDS - now for place in self._others.values() if not place.users]
        return max(0.0, min(waits)) if waits else None

    def close(self) -> None:
        """Closes everything; only when no thread works any more."""
        for place in (self.own, *self._others.values()):
            place.close()
        self._others.clear()
        self._proc.close()
