"""Containers: create, start, stop, attach, exec, logs, remove.  Synchronous and safe for threads; one lock a container."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from netd.runtime.bus import Events
from netd.runtime.model import Container, CreateRequest, ExecOptions
from netd.runtime.places import RuntimePlaces
from netd.runtime.streams import Stream


class ExecState(Struct):
    """One exec.  `exit_code` None while it has not ended."""

    id: str
    container_id: str
    options: ExecOptions
    running: bool = False
    exit_code: int | None = None
    pid: int = 0


class LogReader(Protocol):
    """Iterate in a thread: (1 or 2, bytes as docker would send them in one frame); `close` from any thread ends it."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]: ...
    def close(self) -> None: ...


class Containers:
    """All containers.  `ref` is a full id, a name, or a unique prefix of an id (NotFound, InvalidParameter if ambiguous)."""

    def __init__(self, places: RuntimePlaces, images: object, sandboxes: object, events: Events) -> None:
        raise NotImplementedError

    def restore(self) -> None:
        """At daemon start: finds what runs, cleans up what is half done, applies restart policies."""
        raise NotImplementedError

    def close(self) -> None:
        """Stops watching; the containers go on."""
        raise NotImplementedError

    def create(self, name: str, request: CreateRequest) -> tuple[Container, list[str]]:
        """The new container and warnings.  `name` "" for a random one."""
        raise NotImplementedError

    def get(self, ref: str) -> Container:
        raise NotImplementedError

    def list(self) -> list[Container]:
        raise NotImplementedError

    def changing(self, ref: str) -> AbstractContextManager[Container]:
        """Holds the container's lock and writes it to disk afterwards: for network connect, port changes."""
        raise NotImplementedError

    def start(self, ref: str) -> bool:
        """False: it ran already (docker answers 304)."""
        raise NotImplementedError

    def stop(self, ref: str, timeout: int | None = None, signal: str = "") -> bool:
        """False: it did not run (304).  `timeout` seconds until SIGKILL; None: the container's own, or 10; -1: never."""
        raise NotImplementedError

    def restart(self, ref: str, timeout: int | None = None, signal: str = "") -> None:
        raise NotImplementedError

    def kill(self, ref: str, signal: str = "SIGKILL") -> None:
        raise NotImplementedError

    def pause(self, ref: str) -> None:
        raise NotImplementedError

    def unpause(self, ref: str) -> None:
        raise NotImplementedError

    def rename(self, ref: str, new: str) -> None:
        raise NotImplementedError

    def remove(self, ref: str, force: bool = False, volumes: bool = False) -> None:
        raise NotImplementedError

    def wait(self, ref: str, condition: str = "not-running") -> Future[int]:
        """Resolves to the exit code; registered before this returns.  `condition`: not-running, next-exit, removed."""
        raise NotImplementedError

    def resize(self, ref: str, height: int, width: int) -> None:
        raise NotImplementedError

    def top(self, ref: str, args: str = "-ef") -> tuple[list[str], list[list[str]]]:
        """Titles, and one row a process."""
        raise NotImplementedError

    def attach(self, ref: str, stdin: bool = False, stdout: bool = True, stderr: bool = True) -> Stream:
        """Also to a container that is created, not started: what it writes first is not lost."""
        raise NotImplementedError

    def log_path(self, ref: str) -> str:
        """Where `docker inspect` says the log is."""
        raise NotImplementedError

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
        """`tail` None: all lines; times in ns since the epoch, 0: no limit."""
        raise NotImplementedError

    def exec_create(self, ref: str, options: ExecOptions) -> str:
        """The id of the exec."""
        raise NotImplementedError

    def exec_start(self, exec_id: str, attached: bool = True, size: tuple[int, int] | None = None) -> Stream | None:
        """Starts it; a Stream that is ready, or None when not `attached`.  `size` is (height, width)."""
        raise NotImplementedError

    def exec_inspect(self, exec_id: str) -> ExecState:
        raise NotImplementedError

    def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        raise NotImplementedError

    def execs_of(self, container_id: str) -> list[str]:
        """Ids of its execs that run or wait to be started (inspect's ExecIDs)."""
        raise NotImplementedError
