"""Calls that wait for somebody else, a DHCP server, and are not waited for when the engine stops: they fail, undo what
they did, and their callers do it themselves."""

from __future__ import annotations

from _socket import SHUT_RDWR, socket
from errno import ENOTCONN
from threading import Lock


class Waits:
    """The sockets at which answers are awaited.  `over`: none is any more."""

    def __init__(self) -> None:
        self.over = False
        self._lock = Lock()
        self._sockets: set[socket] = set()

    def begin(self, connection: socket) -> None:
        """An answer is awaited there from now on, until `end`; without success when all is over."""
        with self._lock:
            self._sockets.add(connection)
            if self.over:
                _hang_up(connection)

    def end(self, connection: socket) -> None:
        """Before it is closed."""
        with self._lock:
            self._sockets.discard(connection)

    def interrupt(self) -> None:
        """Nobody gets an answer any more."""
        with self._lock:
            self.over = True
            for each in self._sockets:
                _hang_up(each)


def _hang_up(connection: socket) -> None:
    try:
        connection.shutdown(SHUT_RDWR)
    except OSError as error:
        if error.errno != ENOTCONN:  # the other side was faster
            raise
