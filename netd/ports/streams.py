"""The proxy's TCP side: accepts on host ports and relays each connection to a container.

Each direction holds at most one chunk that its receiver has not taken; until then nothing more is read from the sender,
so a slow reader slows its sender down and not the proxy.  An end that has finished sending is passed on as such
(half-close); a reset is passed on as a reset.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from errno import EINPROGRESS, EMFILE, ENFILE, ENOBUFS, ENOMEM

from netd.loop import READ, WRITE, Loop

Target = tuple[int, tuple[str, int]]
"""An address family of the socket module, and where to connect to."""

_CHUNK = 1 << 16
_BATCH = 64
_OUT_OF_RESOURCES = (EMFILE, ENFILE, ENOBUFS, ENOMEM)
_PAUSE = 0.1
_RESET = struct.pack("ii", 1, 0)
"""struct linger: closing discards what is unsent and resets the connection."""

_KEEPALIVE_SECONDS = 30


class StreamListener:
    """A listening socket (not ours to close) whose connections go to `target`.  Used by the loop's thread only."""

    def __init__(self, loop: Loop, sock: socket.socket, target: Target) -> None:
        self._loop = loop
        self._socket = sock
        self.target = target
        self._relays: set[Relay] = set()
        self._serving = True
        loop.add(sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(_BATCH):
            try:
                client, _peer = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    self._pause()
                    return
                continue  # that connection is gone already (accept(2), "Error handling")
            self._relay(client)

    def _pause(self) -> None:
        """Others have to end first; a listening socket stays ready, so it must not be waited for meanwhile."""
        self._loop.remove(self._socket.fileno())
        self._loop.after(_PAUSE, self._resume)

    def _resume(self) -> None:
        if self._serving:
            self._loop.add(self._socket.fileno(), self._accept)

    def _relay(self, client: socket.socket) -> None:
        try:
            server = _connecting(self.target)
        except OSError:
            _reset(client)
            return
        try:
            for sock in (client, server):
                _prepare(sock)
        except OSError:
            server.close()
            _reset(client)
            return
        self._relays.add(Relay(self._loop, client, server, self._relays.discard))

    def stop(self) -> None:
        """No connection is accepted any more, and those relayed end."""
        self._serving = False
        self._loop.remove(self._socket.fileno())
        for relay in tuple(self._relays):
            relay.abort()

    @property
    def connections(self) -> int:
        return len(self._relays)


def _connecting(target: Target) -> socket.socket:
    family, address = target
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    problem = sock.connect_ex(address)
    if problem not in (0, EINPROGRESS):
        sock.close()
        raise OSError(problem, "connecting")
    return sock


def _prepare(sock: socket.socket) -> None:
    """An end that vanished without a word is noticed within minutes."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)


class _End:
    """One side of a relayed connection.  `unsent` is what the other side sent and this one has not taken."""

    __slots__ = ("_events", "_handler", "_loop", "connecting", "finished", "finishing", "socket", "unsent")

    def __init__(self, loop: Loop, sock: socket.socket, handler: Callable[[], None], connecting: bool) -> None:
        self._loop = loop
        self._handler = handler
        self._events = -1
        self.socket = sock
        self.connecting = connecting
        self.unsent = memoryview(b"")
        self.finished = False
        """It has said that it will send no more."""
        self.finishing = False
        """It has been told that no more will come, or will be once it took what is unsent."""

    def want(self, events: int) -> None:
        """-1: nothing, not even that the connection broke.  That is reported as long as anything is waited for."""
        if events == self._events:
            return
        number = self.socket.fileno()
        if events < 0:
            self._loop.remove(number)
        elif self._events < 0:
            self._loop.add(number, self._handler, events)
        else:
            self._loop.modify(number, events)
        self._events = events

    def has_connected(self) -> bool:
        """False for an event that was meant for an earlier socket of this number; OSError when connecting failed."""
        problem = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            raise OSError(problem, "connecting")
        try:
            self.socket.getpeername()
        except OSError:
            return False
        self.connecting = False
        return True

    def flush(self) -> None:
        """Sends what is unsent as far as possible; OSError when the connection broke."""
        if self.unsent:
            try:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
            except (BlockingIOError, InterruptedError):
                return
        if not self.unsent and self.finishing:
            self.socket.shutdown(socket.SHUT_WR)


class Relay:
    """Two connected sockets, relayed to each other until both have finished or one broke; it closes them."""

    def __init__(
        self, loop: Loop, client: socket.socket, server: socket.socket, on_end: Callable[[Relay], None]
    ) -> None:
        self._on_end = on_end
        self._closed = False
        self._client = _End(loop, client, lambda: self._ready(self._client, self._server), False)
        self._server = _End(loop, server, lambda: self._ready(self._server, self._client), True)
        self._server.want(WRITE)

    def _ready(self, end: _End, other: _End) -> None:
        try:
            self._serve(end, other)
        except OSError:
            self.abort()

    def _serve(self, end: _End, other: _End) -> None:
        if end.connecting:
            if not end.has_connected():
                return
        elif end.finished and not end.unsent:
            raise OSError("broken")  # nothing but that is waited for
        if end.unsent:
            end.flush()
        if not other.unsent and not end.finished:
            self._pass_on(end, other)
        if end.finished and other.finished and not end.unsent and not other.unsent:
            self._close()
            return
        self._wait(end, other)
        self._wait(other, end)

    @staticmethod
    def _pass_on(end: _End, other: _End) -> None:
        """One chunk: whoever sends for ever does not keep others waiting."""
        try:
            data = end.socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if data:
            other.unsent = memoryview(data)
        else:
            end.finished = other.finishing = True
        other.flush()

    @staticmethod
    def _wait(end: _End, other: _End) -> None:
        if end.connecting:
            end.want(WRITE)
            return
        reading = not end.finished and not other.unsent and not other.connecting
        events = (READ if reading else 0) | (WRITE if end.unsent else 0)
        if not events and (end.finishing or not end.finished):
            # one that has finished both ways looks broken, and one that sent and left may have data still to be read
            events = -1
        end.want(events)

    def abort(self) -> None:
        """Both are reset."""
        if not self._closed:
            for end in (self._client, self._server):
                end.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._close()

    def _close(self) -> None:
        self._closed = True
        for end in (self._client, self._server):
            end.want(-1)
            end.socket.close()
        self._on_end(self)


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
