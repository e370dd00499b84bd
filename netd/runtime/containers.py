"""Containers: create, start, stop, attach, exec, logs, remove.  Synchronous, safe for threads, one lock a container."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from random import Random, SystemRandom
from typing import IO

import netd.runtime.bundle
from netd.failure import Conflict, InvalidParameter
from netd.files.reading import PathStat
from netd.runtime import conmon, shutdown
from netd.runtime.bus import Events
from netd.runtime.clients import Clients
from netd.runtime.copying import Copying
from netd.runtime.creation import Creation
from netd.runtime.entry import Entry
from netd.runtime.execs import Execs
from netd.runtime.execs import ExecState as ExecState
from netd.runtime.index import Index
from netd.runtime.launch import LOG
from netd.runtime.lifecycle import Lifecycle
from netd.runtime.log_reader import LogReader as LogReader
from netd.runtime.logs import Wanted
from netd.runtime.model import Container, CreateRequest, ExecOptions, HostConfig
from netd.runtime.monitor import Monitor
from netd.runtime.naming import valid_name
from netd.runtime.parts import BundlePart, ImagesPart, Parts, SandboxesPart
from netd.runtime.places import RuntimePlaces
from netd.runtime.removal import Removal
from netd.runtime.restore import Restorer
from netd.runtime.runc import Runc
from netd.runtime.signals import parse_signal
from netd.runtime.store import Store
from netd.runtime.streams import STDERR, STDOUT, Stream
from netd.runtime.top import top
from netd.runtime.updating import update
from netd.runtime.waits import NOT_RUNNING, check_condition

Rows = list[list[str]]
Names = list[str]
All = list[Container]


class Containers:
    """All containers.  `ref` is a full id, a name, or a prefix that only one id has: NotFound, or InvalidParameter."""

    def __init__(
        self,
        places: RuntimePlaces,
        images: ImagesPart,
        sandboxes: SandboxesPart,
        events: Events,
        bundle: BundlePart = netd.runtime.bundle,
        random: Random | None = None,
    ) -> None:
        """Call `restore` next.  `sandboxes` may use `get` and `list` of this object from then on."""
        self._monitor = Monitor()
        self._parts = Parts(
            places=places,
            images=images,
            sandboxes=sandboxes,
            bundle=bundle,
            events=events,
            store=Store(places),
            runc=Runc(places),
            monitor=self._monitor,
        )
        chance = random or SystemRandom()
        self._index: Index[Entry] = Index()
        self._creation = Creation(self._parts, self._index, chance)
        self._removal = Removal(self._parts, self._index)
        self._lifecycle = Lifecycle(self._parts, self._removal.at_end)
        self._execs = Execs(self._parts, self._index.find, chance)
        self._clients = Clients(self._parts)
        self._copying = Copying(self._parts)
        self._removal.lifecycle = self._lifecycle
        self._removal.execs = self._execs

    def restore(self) -> Future[None]:
        """At daemon start: finds what runs, and cleans up after what does not.  The result is done when those that
        restart policies or auto-remove concern have been started or removed; nobody needs to wait for that."""
        restorer = Restorer(self._parts, self._lifecycle)
        for container in restorer.load():
            self._index.reserve(container.name, container.id)
            self._index.add(container.id, Entry(container))
        entries = self._index.all()
        restorer.settle(entries)
        self._execs.restore()
        return self._monitor.submit(partial(restorer.apply_policies, entries, self._removal.at_end))

    def close(self) -> None:
        """The daemon ends; the containers go on.  Waits for what is under way."""
        self._monitor.close()

    def shut_down(self) -> None:
        """After `close`, when the machine goes down: all of them end.  See `netd.runtime.shutdown`."""
        runs = [(entry.container, entry.run) for entry in self._index.all() if entry.run is not None]
        shutdown.end(runs, self._parts.runc)

    def create(self, name: str, request: CreateRequest) -> tuple[Container, Names]:
        """The new container and warnings; `name` "" for a made-up one.  NotFound (image), Conflict (name)."""
        return self._creation.create(name, request)

    def get(self, ref: str) -> Container:
        return self._index.find(ref).container

    def list(self) -> All:
        """Oldest first."""
        return sorted((entry.container for entry in self._index.all()), key=lambda container: container.created)

    @contextmanager
    def changing(self, ref: str) -> Iterator[Container]:
        """Nothing else happens to the container meanwhile, and what was changed is on disk afterwards: for connecting
        networks and changing ports."""
        entry = self._index.find(ref)
        with entry.lock:
            if entry.removing:
                raise Conflict(f"removal of container {entry.container.name} is already in progress")
            try:
                yield entry.container
            finally:
                self._parts.store.save(entry.container, durable=True)

    def start(self, ref: str) -> bool:
        """False: it runs already (docker answers 304)."""
        return self._lifecycle.start(self._index.find(ref))

    def stop(self, ref: str, timeout: int | None = None, signal: str = "") -> bool:
        """False: it did not run (304).  Seconds until SIGKILL: `timeout`, or the container's own, or 10; -1: never."""
        return self._lifecycle.stop(self._index.find(ref), timeout, signal)

    def restart(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        self._lifecycle.restart(self._index.find(ref), timeout, signal)

    def kill(self, ref: str, signal: str = "SIGKILL") -> None:
        """Conflict when it does not run."""
        self._lifecycle.kill(self._index.find(ref), parse_signal(signal))

    def pause(self, ref: str) -> None:
        self._lifecycle.pause(self._index.find(ref))

    def unpause(self, ref: str) -> None:
        self._lifecycle.unpause(self._index.find(ref))

    def rename(self, ref: str, new: str) -> None:
        """Conflict when `new` is taken."""
        if not new:
            raise InvalidParameter("Neither old nor new names may be empty")
        entry = self._index.find(ref)
        name = valid_name(new)
        with entry.lock:
            container, old = entry.container, entry.container.name
            if name == old:
                raise InvalidParameter("Renaming a container with the same name as its current name")
            self._index.reserve(name, container.id)
            container.name = name
            try:
                self._parts.sandboxes.renamed(container, old)
                self._parts.store.save(container, durable=True)
            except BaseException:
                container.name = old
                self._index.release(name, container.id)
                raise
            self._index.release(old, container.id)
        self._parts.tell(container, "rename", oldName=f"/{old}")

    def remove(self, ref: str, force: bool = False, volumes: bool = False) -> None:
        self._removal.remove(self._index.find(ref), force, volumes)

    def wait(self, ref: str, condition: str = "not-running") -> Future[int]:
        """Resolves to the exit code; registered before this returns.  `condition`: not-running, next-exit, removed."""
        wanted = check_condition(condition)
        entry = self._index.find(ref)
        with entry.lock:
            future = entry.waits.add(wanted)
            code = entry.container.state.exit_code
            if entry.removing:
                entry.waits.removed(code)
            elif wanted == NOT_RUNNING and entry.run is None and entry.timer is None:
                entry.waits.exited(code)
        return future

    def resize(self, ref: str, height: int, width: int) -> None:
        """Conflict when it does not run."""
        entry = self._index.find(ref)
        with entry.lock:
            if entry.run is None:
                raise Conflict(f"Container {entry.container.id} is not running")
            conmon.resize(entry.run.bundle, height, width)

    def top(self, ref: str, args: str = "-ef") -> tuple[Names, Rows]:
        """Titles, and a row for each process."""
        entry = self._index.find(ref)
        with entry.lock:
            if entry.run is None:
                raise Conflict(f"Container {entry.container.id} is not running")
            return top(entry.run.pid, args)

    def attach(self, ref: str, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> Stream:
        """Also to a container that is created, not started: what it writes first is not lost."""
        wanted = frozenset(number for number, on in ((STDOUT, stdout), (STDERR, stderr)) if on)
        return self._clients.attach(self._index.find(ref), stdin, wanted)

    def log_path(self, ref: str) -> str:
        """Where the log is, for docker's inspect."""
        return f"{self._parts.store.directory(self.get(ref).id)}/{LOG}"

    def logs(
        self,
        ref: str,
        stdout: bool = True,
        stderr: bool = True,
        follow: bool = False,
        tail: int | None = None,
        since_ns: int = 0,
        until_ns: int = 0,
        timestamps: bool = False,
    ) -> LogReader:
        """To be iterated in a thread, and closed from any.  `tail` None: all lines; moments in ns since the epoch,
        0: no limit."""
        wanted = Wanted(
            streams=frozenset(number for number, on in ((STDOUT, stdout), (STDERR, stderr)) if on),
            since_ns=since_ns,
            until_ns=until_ns,
            timestamps=timestamps,
        )
        return self._clients.logs(self._index.find(ref), wanted, tail, follow)

    def exec_create(self, ref: str, options: ExecOptions) -> str:
        """The id of the exec.  Conflict when the container does not run."""
        return self._execs.create(self._index.find(ref), options)

    def exec_start(self, exec_id: str, attached: bool = True, size: tuple[int, int] | None = None) -> Stream | None:
        """Starts it; a Stream that is ready, or None when not `attached`.  `size` is (height, width)."""
        return self._execs.start(exec_id, attached, size)

    def exec_inspect(self, exec_id: str) -> ExecState:
        return self._execs.inspect(exec_id)

    def exec_ended(self, exec_id: str) -> Future[int]:
        """Resolves to the exit code, after which `exec_inspect` has it too."""
        return self._execs.ended(exec_id)

    def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        self._execs.resize(exec_id, height, width)

    def update(self, ref: str, wanted: HostConfig) -> Names:
        """Other limits and restart policy; warnings.  See `netd.runtime.updating`."""
        return update(self._parts, self._index.find(ref), wanted)

    def look(self, ref: str, path: str) -> PathStat:
        """What is at a path in the container; NotFound in docker's words."""
        return self._copying.look(self._index.find(ref), path)

    def read_archive(
        self, ref: str, path: str, found: Callable[[PathStat], object], write: Callable[[bytes], object]
    ) -> None:
        """Calls `found`, then `write` with a tar of what is at the path, piece by piece."""
        self._copying.read(self._index.find(ref), path, found, write)

    def write_archive(
        self, ref: str, path: str, stream: IO[bytes], keep_kinds: bool = False, owned_by_user: bool = False
    ) -> None:
        """Unpacks a tar into a directory of the container; see `netd.files.writing`."""
        self._copying.write(self._index.find(ref), path, stream, keep_kinds, owned_by_user)

    def execs_of(self, container_id: str) -> Names:
        """Ids of its execs that run or wait to be started (inspect's ExecIDs)."""
        return self._execs.of(container_id)
