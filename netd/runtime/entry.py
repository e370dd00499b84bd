"""A container in memory: its model, and what of it is under way."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from netd.runtime.model import Container
from netd.runtime.monitor import Timer
from netd.runtime.restart import Backoff
from netd.runtime.streams import Stream
from netd.runtime.waits import Waits


class Run:
    """One life of a container's process, from conmon's start until it is cleaned up after.

    `over` resolves to the exit code when that is done.  `began` is on the clock of `time.monotonic`."""

    def __init__(self, bundle: str, pid: int) -> None:
        self.bundle = bundle
        self.pid = pid
        self.began = time.monotonic()
        self.over: Future[int] = Future()
        self.connections: list[socket.socket] = []
        try:
            self.process = os.pidfd_open(pid)
            """Of the container's first process, open until `forget`; -1 when it has ended."""
        except ProcessLookupError:
            self.process = -1

    def signal(self, number: int) -> None:
        """Without effect on a process that has ended."""
        if self.process >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.process, number)

    def cut_connections(self) -> None:
        """conmon, which may be waiting for a client that does not read, goes on."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        if self.process >= 0:
            os.close(self.process)
            self.process = -1


class Entry:
    """`lock` is held by whoever changes or reads more than one thing here or in the model."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.lock = threading.RLock()
        self.waits = Waits()
        self.run: Run | None = None
        self.attached: list[Stream] = []
        """Clients that came before the start."""
        self.log_readers: set[Callable[[], None]] = set()
        self.backoff = Backoff()
        self.timer: Timer | None = None
        self.removing = False
        self.kept_by_restart = False
        """The user restarts it: its end is no reason to remove or restart it."""
