"""The standard streams of a container or exec, connected through conmon's attach socket.

conmon's socket is SOCK_SEQPACKET: what the process writes comes as packets of one byte (2 standard output, 3 standard
error; a terminal has output only) and at most 8192 bytes of data; packets sent to it are standard input.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future

STDOUT = 1
STDERR = 2
"""As docker's stream frames number them."""

_CONMON_TO_DOCKER = {2: STDOUT, 3: STDERR}
_RECEIVE = 8192 + 1
CHUNK = 8192
"""conmon reads 32 KiB a packet and drops what is beyond."""


class Stream:
    """One client's connection to the standard streams.

    An attach is possible before the container starts (so that nothing of its output is lost): `ready` resolves when the
    process is about to run, with the connected non-blocking socket, and raises what prevented the start.  Use after that:
    wait until `socket` is readable, `receive` until it blocks; wait until writable, `send`.
    `ready` is cancelled by `close`, which is allowed at any time."""

    def __init__(
        self,
        tty: bool,
        stdin: bool = True,
        wanted: frozenset[int] = frozenset((STDOUT, STDERR)),
        parting: Callable[[Stream, socket.socket], None] | None = None,
    ) -> None:
        self.tty = tty
        self.stdin = stdin
        self.ready: Future[socket.socket] = Future()
        self._wanted = wanted
        self._socket: socket.socket | None = None
        self._parting = parting

    def connected(self, connection: socket.socket) -> None:
        """For the one who made the connection; takes ownership."""
        raise NotImplementedError

    def receive(self) -> tuple[int, bytes] | None:
        """(STDOUT or STDERR, data), or None at the end: the process and all that held its output are gone.
        Raises BlockingIOError when there is nothing now.  Unwanted streams are skipped."""
        raise NotImplementedError

    def send(self, data: bytes) -> int:
        """Hands over at most 8192 bytes of standard input; how many.  Raises BlockingIOError when conmon cannot take
        more now, BrokenPipeError when the process is gone."""
        raise NotImplementedError

    def end_input(self) -> None:
        """Half close: the process reads the end of its input, if its container has StdinOnce and no terminal."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
