"""Those who listen to a container: attached clients and readers of its log."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from netd.failure import Conflict
from netd.runtime import conmon
from netd.runtime.entry import Entry
from netd.runtime.launch import LOG
from netd.runtime.log_reader import LogReader
from netd.runtime.logs import Wanted
from netd.runtime.parts import Parts
from netd.runtime.streams import Stream

_PACKET = 8193


class Clients:
    """Attach and logs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def attach(self, entry: Entry, stdin: bool, wanted: frozenset[int]) -> Stream:
        """To a running container now, to another one as soon as it runs.  Conflict: paused, restarting, just ended."""
        config = entry.container.config
        with entry.lock:
            status = entry.container.state.status
            if status == "paused":
                raise Conflict(f"Container {entry.container.name} is paused, unpause the container before attach")
            if status == "restarting":
                raise Conflict(f"Container {entry.container.name} is restarting, wait until the container is running")
            once = config.open_stdin and config.stdin_once and not config.tty
            stream = Stream(
                config.tty,
                stdin=stdin and config.open_stdin,
                wanted=wanted,
                parting=_drain if once else socket.socket.close,
            )
            if entry.run is None:
                entry.attached.append(stream)
            else:
                stream.connected(self._connect(entry))
        self._parts.tell(entry.container, "attach")
        return stream

    def _connect(self, entry: Entry) -> socket.socket:
        assert entry.run is not None
        try:
            connection = conmon.connect(entry.run.bundle)
        except (FileNotFoundError, ConnectionRefusedError):
            raise Conflict(f"container {entry.container.name} has just ended") from None
        entry.run.connections.append(connection)
        return connection

    def logs(self, entry: Entry, wanted: Wanted, tail: int | None, follow: bool) -> LogReader:
        """A reader to be iterated; following ends when the container does for good."""
        path = f"{self._parts.store.directory(entry.container.id)}/{LOG}"
        with entry.lock:
            lives = entry.run is not None or entry.timer is not None
            reader = LogReader(
                path, wanted, tail, follow and lives, left=lambda one: entry.log_readers.discard(one.finish)
            )
            if follow and lives:
                entry.log_readers.add(reader.finish)
        return reader


def _drain(connection: socket.socket) -> None:
    """A client that only listened leaves a container whose input ends with the first client that goes (conmon does not
    tell which one gave it): its connection stays, until the container ends."""

    def read() -> None:
        connection.setblocking(True)
        with connection, suppress(OSError):
            while connection.recv(_PACKET):
                pass

    threading.Thread(target=read, name="drain", daemon=True).start()
