"""DNS over a stream: messages with their length in front (RFC 1035 4.2.2, RFC 7766), on non-blocking sockets."""

from __future__ import annotations

from _socket import MSG_NOSIGNAL, socket
from collections.abc import Callable

from netd.loop import READ, WRITE, Loop

MAX_UNSENT = 1 << 18
"""Bytes kept for a peer that does not read, then the connection ends."""

_CHUNK = 65536


class Stream:
    """One connection.  `on_message` gets each message, `on_end` is called once when the connection is over, by
    whichever side.  A socket that is still connecting may be handed in: what is sent waits for it."""

    def __init__(
        self, loop: Loop, sock: socket, on_message: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._on_message = on_message
        self._on_end = on_end
        self._received = b""
        self._unsent = b""
        self.closed = False
        loop.add(sock.fileno(), self._ready)

    def send(self, message: bytes) -> None:
        if self.closed:
            return
        self._unsent += len(message).to_bytes(2, "big") + message
        if len(self._unsent) > MAX_UNSENT:
            self.close()
        else:
            self._flush()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._unsent, MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.close()
            return
        self._unsent = self._unsent[sent:]
        self._loop.modify(self._socket.fileno(), READ | WRITE if self._unsent else READ)

    def _ready(self) -> None:
        if self._unsent:
            self._flush()
        if self.closed:
            return
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        self._split()

    def _split(self) -> None:
        while not self.closed and len(self._received) >= 2:
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                return
            message, self._received = self._received[2:end], self._received[end:]
            self._on_message(message)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._on_end()
