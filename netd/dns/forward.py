"""Asking the upstream servers, with the client's own protocol and bytes (contract docker 2.3).

Each attempt has a connected socket of its own: its port is the kernel's choice, only the server can answer on it, and a
server whose port is closed is known at once.
"""

from __future__ import annotations

import os
import time
from _socket import (
    AF_INET,
    AF_INET6,
    MSG_DONTWAIT,
    SO_MARK,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    if_nametoindex,
    socket,
)
from collections import deque
from collections.abc import Callable, Iterator
from errno import EINPROGRESS

from netd.dns import wire
from netd.dns.streams import Stream
from netd.dns.upstream import TIMEOUT, Health, Server, is_final
from netd.loop import Loop
from pycni.kernel.netns import Inside
from pycni.names import MARK

MAX_OUTSTANDING = 1024
"""Queries of one container that may be waiting for servers; the next ones wait their turn (contract 2.3)."""

MAX_WAITING = 1024
_PORT = 53
_MAX_ANSWER = 65535


class Query:
    """A client's query on its way.  `reply` takes the answer, with the client's id; it is called exactly once."""

    __slots__ = ("message", "question", "reply", "servers", "udp")

    def __init__(
        self,
        message: bytes,
        question: wire.Question,
        udp: bool,
        servers: tuple[Server, ...],
        reply: Callable[[bytes, str], None],
    ) -> None:
        self.message = message
        self.question = question
        self.udp = udp
        self.servers = servers
        self.reply = reply

    def fail(self, code: int, outcome: str) -> None:
        self.reply(wire.error_reply(self.message, self.question, code), outcome)


class Attempt:
    """One query to one server."""

    def __init__(self, loop: Loop, query: Query, sock: socket, done: Callable[[bytes | None, bool], None]) -> None:
        """`done` gets a matching answer, or None and whether the server was silent.  OSError when it cannot be sent."""
        self._loop = loop
        self._query = query
        self._socket = sock
        self._done = done
        # the client's id would let others guess
        self._sent = os.urandom(2) + query.message[2:]
        self.started = time.monotonic()
        self._stream: Stream | None = None
        self._over = False
        if query.udp:
            sock.send(self._sent)
            loop.add(sock.fileno(), self._datagram)
        else:
            self._stream = Stream(loop, sock, self._answer, lambda: self._end(None))
        self._timer = loop.after(TIMEOUT, lambda: self._end(None, silent=True))
        if self._stream is not None:
            self._stream.send(self._sent)

    def _datagram(self) -> None:
        try:
            data = self._socket.recv(_MAX_ANSWER, MSG_DONTWAIT)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end(None)
            return
        self._answer(data)

    def _answer(self, data: bytes) -> None:
        if wire.is_answer_to(data, self._sent, self._query.question):
            self._end(self._query.message[:2] + data[2:])

    def _end(self, answer: bytes | None, silent: bool = False) -> None:
        if self._over:
            return
        self._over = True
        self._timer.cancel()
        if self._stream is not None:
            self._stream.close()
        else:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
        self._done(answer, silent)


class Asker:
    """What one container has under way: at most MAX_OUTSTANDING queries at a time."""

    def __init__(self, loop: Loop, health: Health, namespace: int = -1) -> None:
        """`namespace` is a descriptor of the container's, for servers that are asked from there; the caller's."""
        self._loop = loop
        self._health = health
        self._namespace = namespace
        self._waiting: deque[Query] = deque()
        self._starting = False
        self._closed = False
        self.outstanding = 0

    def submit(self, query: Query) -> None:
        if self.outstanding < MAX_OUTSTANDING:
            self._start(query)
        elif len(self._waiting) < MAX_WAITING:
            self._waiting.append(query)
            self._loop.after(TIMEOUT, lambda: self._give_up(query))
        else:
            query.fail(wire.REFUSED, "overload")

    def _give_up(self, query: Query) -> None:
        try:
            self._waiting.remove(query)
        except ValueError:
            return  # it had its turn
        query.fail(wire.REFUSED, "overload")

    def _start(self, query: Query) -> None:
        now = time.monotonic()
        usable = self._health.usable(query.servers, now)
        if not usable:
            query.fail(wire.SERVFAIL, "no server")
            return
        self.outstanding += 1
        for server in self._health.probes(query.servers, now):
            self._attempt(query, server, lambda _answer, _silent: None)
        self._walk(query, iter(usable))

    def _walk(self, query: Query, following: Iterator[Server]) -> None:
        server = None if self._closed else next(following, None)
        if server is None:
            self._finish()
            query.fail(wire.SERVFAIL, "servfail")
            return

        def done(answer: bytes | None, _silent: bool) -> None:
            if answer is not None and is_final(answer):
                self._finish()
                query.reply(answer, "forwarded")
            else:
                self._walk(query, following)

        self._attempt(query, server, done)

    def _attempt(self, query: Query, server: Server, done: Callable[[bytes | None, bool], None]) -> None:
        sent = time.monotonic()

        def noted(answer: bytes | None, silent: bool) -> None:
            now = time.monotonic()
            if answer is not None:
                self._health.answered(server, now)
            elif silent:
                self._health.timed_out(server, sent, now)
            done(answer, silent)

        try:
            sock = self._open(server, query.udp)
        except (OSError, ValueError):
            done(None, False)
            return
        try:
            Attempt(self._loop, query, sock, noted)
        except OSError:
            sock.close()
            done(None, False)

    def _open(self, server: Server, udp: bool) -> socket:
        """A socket of the right namespace, connected or connecting; OSError."""
        family = AF_INET6 if ":" in server.address else AF_INET
        kind = (SOCK_DGRAM if udp else SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC
        if server.sandbox:
            with Inside(self._namespace):
                sock = socket(family, kind)
        else:
            sock = socket(family, kind)
        try:
            if server.sandbox:
                # past the container's own redirection of port 53, which is there to lead to us
                sock.setsockopt(SOL_SOCKET, SO_MARK, MARK)
            error = sock.connect_ex(_endpoint(server.address))
            if error not in (0, EINPROGRESS):
                raise OSError(error, os.strerror(error))
        except BaseException:
            sock.close()
            raise
        return sock

    def _finish(self) -> None:
        self.outstanding -= 1
        if self._starting:
            return  # a query that failed at once, below in this stack
        self._starting = True
        while self._waiting and self.outstanding < MAX_OUTSTANDING:
            self._start(self._waiting.popleft())
        self._starting = False

    def close(self) -> None:
        """Nothing new is asked; the descriptor may be closed."""
        self._namespace = -1
        self._closed = True
        self._waiting.clear()


def _endpoint(address: str) -> tuple[str, int] | tuple[str, int, int, int]:
    host, _, zone = address.partition("%")
    if ":" not in host:
        return host, _PORT
    return host, _PORT, 0, (int(zone) if zone.isdigit() else if_nametoindex(zone)) if zone else 0
