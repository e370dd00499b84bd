"""The standard streams of a container or exec, connected through conmon's attach socket.

conmon's socket is SOCK_SEQPACKET: what the process writes comes as packets of one byte (2 standard output, 3 standard
error; a terminal has output only) and at most 8192 bytes of data; packets sent to it are standard input.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future

STDOUT = 1
STDERR = 2
"""As docker's stream frames number them."""

CHUNK = 8192
"""The most that is sent in a packet: conmon reads 32 KiB of one and drops the rest."""

_FROM_CONMON = {2: STDOUT, 3: STDERR}
_RECEIVE = 8192 + 1


class Stream:
    """One client's connection to the standard streams.

    An attach is possible before the container starts, so that nothing of its output is lost: `ready` resolves when the
    process is about to run, with the connected non-blocking socket, and raises what prevented the start.  Use after
    that: wait until the socket is readable, `receive` until it blocks; wait until it is writable, `send`.
    `close` is allowed at any time and cancels `ready`; `tty` tells whether docker frames the stream."""

    def __init__(
        self,
        tty: bool,
        stdin: bool = True,
        wanted: frozenset[int] = frozenset((STDOUT, STDERR)),
        parting: Callable[[socket.socket], None] = socket.socket.close,
    ) -> None:
        """`parting` gets the socket of a client that leaves while the process may still run."""
        self.tty = tty
        self.stdin = stdin
        self.ready: Future[socket.socket] = Future()
        self._wanted = wanted
        self._parting = parting
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._closed = False
        self._ended = False

    def connected(self, connection: socket.socket) -> None:
        """For the one who made the connection; takes it over."""
        with self._lock:
            # whoever waited may have given up, through either of the two
            if self._closed or not self.ready.set_running_or_notify_cancel():
                connection.close()
                return
            self._socket = connection
            self.ready.set_result(connection)

    def failed(self, error: Exception) -> None:
        """For the one who could not connect: the process will not run."""
        with self._lock:
            if not self._closed and self.ready.set_running_or_notify_cancel():
                self.ready.set_exception(error)

    def receive(self) -> tuple[int, bytes] | None:
        """(STDOUT or STDERR, data), or None at the end: the process has ended, and all it wrote was received.
        BlockingIOError when there is nothing now."""
        assert self._socket is not None
        while True:
            try:
                packet = self._socket.recv(_RECEIVE)
            except ConnectionResetError:
                packet = b""
            if not packet:
                self._ended = True
                return None
            stream = _FROM_CONMON.get(packet[0], 0)
            if stream in self._wanted:
                return stream, packet[1:]

    def send(self, data: bytes) -> int:
        """Hands over standard input, 8192 bytes at most; how many.  BlockingIOError when conmon takes no more now,
        BrokenPipeError when the process is gone."""
        assert self._socket is not None
        return self._socket.send(data[:CHUNK]) if data else 0

    def end_input(self) -> None:
        """Half close: a process whose container has StdinOnce and no terminal reads the end of its input."""
        if self._socket is not None and self.stdin:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._ended = True

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.ready.cancel()
            connection, self._socket = self._socket, None
        if connection is None:
            return
        if self._ended or self.stdin:
            connection.close()
        else:
            self._parting(connection)
