"""The network namespaces the engine works in: its own for good, a caller's other one while calls come from there.

"Host side" is always the caller's namespace.  An open socket or descriptor keeps a namespace alive, so what belongs to
another namespace is closed soon after its last use, by the reaper: closing an nfnetlink socket takes 7-20 ms.
"""

from __future__ import annotations

import os
import time
from threading import Lock

from pycni.firewall.firewall import Firewall
from pycni.kernel import sysctl_files
from pycni.kernel.libc import CLONE_NEWNET, setns
from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import Inside, identity, is_network_namespace, open_current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

IDLE_SECONDS = 1.0
"""Long enough for the plugins of one chain to follow each other, short enough not to delay a namespace's end."""

_POISONED = 70
"""Exit status (EX_SOFTWARE): a thread that is in a foreign namespace for good would do other callers' work there."""


class _Visit(Inside):
    """The way in and back for the engine's threads, which are all at home in one namespace: it need not be opened anew
    each time."""

    __slots__ = ()

    def __init__(self, fd: int, home: int) -> None:
        self._fd = fd
        self._home = home

    def __enter__(self) -> None:
        setns(self._fd, CLONE_NEWNET)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            setns(self._home, CLONE_NEWNET)
        except BaseException:
            os.write(2, b"pynetd: cannot return from a network namespace; ending the engine\n")
            os._exit(_POISONED)


class VisitedNamespace(Namespace):
    """A namespace that only the engine's threads enter."""

    __slots__ = ("_home",)

    def __init__(self, fd: int, home: int) -> None:
        super().__init__(fd)
        self._home = home

    def entered(self) -> Inside:
        """As Namespace's."""
        return _Visit(self.fd, self._home)


class SysctlDirectories:
    """/proc/sys/net/ipv4 and ipv6 of one namespace, open from their first use.  Thread-safe.

    From the root the kernel compares such a directory's name with all namespaces', one after the other: 0.5 ms where
    500 containers are.  Below an open one there are only its own namespace's."""

    def __init__(self, fd: int, home: int) -> None:
        self._inside = _Visit(fd, home)
        self._lock = Lock()
        self._open: dict[str, int] = {}

    def find(self, path: str) -> tuple[str, int] | None:
        """The rest of the path, and the directory it is in; None for a path that is in neither, OSError where the
        kernel has no such directory."""
        place = path[:9]
        if place not in ("net/ipv4/", "net/ipv6/"):
            return None
        with self._lock:
            if place not in self._open:
                with self._inside:
                    self._open[place] = sysctl_files.open_directory(place)
            # a rest that begins with a slash would be a path of its own
            return path[9:].lstrip("/"), self._open[place]

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


class HostNamespace(VisitedNamespace):
    """One that many calls come from."""

    __slots__ = ("_sysctls",)

    def __init__(self, fd: int, home: int, sysctls: SysctlDirectories) -> None:
        super().__init__(fd, home)
        self._sysctls = sysctls

    def read_sysctl(self, path: str) -> str:
        """As Namespace's, and so the other two."""
        found = self._sysctls.find(path)
        return sysctl_files.read(*found) if found else super().read_sysctl(path)

    def write_sysctl(self, path: str, value: str) -> None:
        if found := self._sysctls.find(path):
            sysctl_files.write(found[0], value, found[1])
        else:
            super().write_sysctl(path, value)

    def replace_sysctl(self, path: str, value: str) -> str | None:
        if found := self._sysctls.find(path):
            return sysctl_files.replace(found[0], value, found[1])
        return super().replace_sysctl(path, value)


class Place:
    """One namespace: its firewall, shared by all threads, and Namespace objects, each used by one thread at a time."""

    __slots__ = ("_firewall_namespace", "fd", "firewall", "last_used", "spare", "sysctls", "users")

    def __init__(self, fd: int, home: int, run_dir: str) -> None:
        """Takes the descriptor over.  `home` is the engine's own namespace."""
        self.fd = fd
        self._firewall_namespace = VisitedNamespace(fd, home)
        self.firewall = Firewall(self._firewall_namespace, run_dir)
        self.sysctls = SysctlDirectories(fd, home)
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

    def enter(self, fd: int) -> tuple[Place, bool] | None:
        """The place of the namespace behind `fd`, in use until `leave`, and whether it is new here; None when that is
        no network namespace."""
        key = identity(fd)
        with self._lock:
            place = self.own if key == self._own_identity else self._others.get(key)
            new = place is None
            if place is None:
                if not is_network_namespace(fd):
                    return None
                place = self._others[key] = Place(os.dup(fd), self.own.fd, self._run_dir)
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

    def visited(self, fd: int) -> Namespace:
        """The namespace behind a descriptor that stays the caller's."""
        return VisitedNamespace(fd, self.own.fd)

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
