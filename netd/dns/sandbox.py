"""A container's resolver: its sockets inside the container's namespace."""

from __future__ import annotations

import os
import time
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from collections.abc import Callable
from functools import partial
from typing import Protocol

from netd.dns import wire
from netd.dns.answers import Local
from netd.dns.datagrams import Datagrams, Recent
from netd.dns.forward import Asker, Query
from netd.dns.streams import Stream
from netd.dns.upstream import Health, Server
from netd.loop import Loop
from pycni.kernel.netns import Inside, identity, open_netns
from pycni.names import RESOLVER, RESOLVER6, sandbox_of
from pycni.spec.errors import CniError

MAX_STREAMS = 64
IDLE_SECONDS = 10.0
_BACKLOG = 64
_IP_FREEBIND = 15


class Decider(Protocol):
    """What a sandbox asks of the service."""

    @property
    def generation(self) -> int: ...
    @property
    def remembers(self) -> bool: ...
    def decide(
        self, sandbox: str, message: bytes, question: wire.Question, udp: bool
    ) -> Local | tuple[Server, ...]: ...
    def note(self, sandbox: str, question: wire.Question | None, outcome: str, count: int = 1) -> None: ...


class Gone(Exception):
    """The sandbox's namespace is not where it was, or another one is there now."""


class Place:
    """A container's namespace, held open.  An open descriptor keeps a namespace alive, so `is_alive` is asked often."""

    def __init__(self, sandbox: str, path: str) -> None:
        """Gone."""
        self.path = path
        self.pidfd = _process_of(path)
        try:
            self.fd = open_netns(path)
        except CniError as error:
            self._close_pidfd()
            raise Gone(str(error)) from None
        self.identity = identity(self.fd)
        try:
            found = sandbox_of(self)
        except CniError as error:
            self.close()
            raise Gone(str(error)) from None
        if found != sandbox:
            self.close()
            raise Gone(f"another namespace is at {path}")

    def entered(self) -> Inside:
        return Inside(self.fd)

    def is_alive(self) -> bool:
        """Whether the path still leads to it; a process is watched through `pidfd` besides."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def _close_pidfd(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def close(self) -> None:
        self._close_pidfd()
        os.close(self.fd)


def _process_of(path: str) -> int:
    """A descriptor of the process whose namespace the path is, -1 when it names none; Gone when it has ended."""
    parts = path.split("/")
    if len(parts) < 3 or parts[1] != "proc" or not parts[2].isdigit():
        return -1
    try:
        return os.pidfd_open(int(parts[2]))
    except OSError as error:
        raise Gone(f"process {parts[2]}: {error.strerror}") from None


class Sandbox:
    """Serves one container until `close`; OSError when its sockets cannot be opened, Gone when it has ended.  With
    `ipv6` also those of its questions that were meant for servers with IPv6 addresses."""

    def __init__(
        self, loop: Loop, decider: Decider, health: Health, name: str, path: str, port: int, ipv6: bool = False
    ) -> None:
        self.name = name
        self.port = port
        self.ipv6 = ipv6
        self._loop = loop
        self._decider = decider
        self._health = health
        self._over_udp, self._over_tcp = Recent(), Recent()
        self._streams: set[Stream] = set()
        self.place = Place(name, path)
        self._sockets: list[socket] = []
        try:
            self._open(AF_INET, RESOLVER)
            if ipv6:
                self._open(AF_INET6, RESOLVER6)
        except BaseException:
            self._close_sockets()
            raise
        self._asker = Asker(loop, health, self.place.fd)
        for udp, tcp in zip(self._sockets[::2], self._sockets[1::2], strict=True):
            datagrams = Datagrams(udp, self._over_udp, partial(self._answer, True), self._trouble)
            loop.add(udp.fileno(), partial(self._asked, datagrams))
            loop.add(tcp.fileno(), partial(self._connection, tcp))

    def _open(self, family: int, address: str) -> None:
        with self.place.entered():
            udp = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
            self._sockets.append(udp)
            tcp = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
            self._sockets.append(tcp)
        tcp.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        for each in (udp, tcp):
            # the loopback device may still be down
            each.setsockopt(IPPROTO_IP, _IP_FREEBIND, 1)
            each.bind((address, self.port))
        tcp.listen(_BACKLOG)

    def _asked(self, datagrams: Datagrams) -> None:
        self._over_udp.valid_for(self._decider.generation, self._decider.remembers)
        hits = datagrams.take()
        if hits:
            self._decider.note(self.name, None, "cached", hits)

    def _trouble(self, error: OSError) -> None:
        self._decider.note(self.name, None, f"socket: {error.strerror}")

    def _answer(self, udp: bool, message: bytes, reply: Callable[[bytes], None]) -> None:
        try:
            question = wire.read_question(message)
        except wire.Malformed as malformed:
            self._decider.note(self.name, None, "malformed")
            if malformed.reply is not None:
                reply(malformed.reply)
            return
        action = self._decider.decide(self.name, message, question, udp)
        if isinstance(action, Local):
            self._decider.note(self.name, question, action.outcome)
            recent = self._over_udp if udp else self._over_tcp
            recent.valid_for(self._decider.generation, self._decider.remembers)
            reply(message[:2] + recent.turn(message[2:], action.replies))
            return

        def answered(answer: bytes, outcome: str) -> None:
            self._decider.note(self.name, question, outcome)
            reply(answer)

        self._asker.submit(Query(message, question, udp, action, answered))

    def _connection(self, tcp: socket) -> None:
        try:
            # the part of accept(2) that the socket module wraps; importing that costs a megabyte
            fd, _ = tcp._accept()  # type: ignore[attr-defined]
        except OSError:
            return  # the client has gone again
        sock = socket(fileno=fd)
        sock.setblocking(False)
        if len(self._streams) >= MAX_STREAMS:
            sock.close()
            self._decider.note(self.name, None, "overload")
            return
        self._serve(sock)

    def _serve(self, sock: socket) -> None:
        last = time.monotonic()

        def received(message: bytes) -> None:
            nonlocal last
            last = time.monotonic()
            self._answer(False, message, stream.send)

        def look() -> None:
            idle = time.monotonic() - last
            if idle >= IDLE_SECONDS:
                stream.close()
            elif not stream.closed:
                self._loop.after(IDLE_SECONDS - idle, look)

        stream = Stream(self._loop, sock, received, lambda: self._streams.discard(stream))
        self._streams.add(stream)
        self._loop.after(IDLE_SECONDS, look)

    def close(self) -> None:
        self._asker.close()
        for stream in list(self._streams):
            stream.close()
        for each in self._sockets:
            self._loop.remove(each.fileno())
        self._health.forget_sandbox(self.name)
        self._close_sockets()

    def _close_sockets(self) -> None:
        for each in self._sockets:
            each.close()
        self.place.close()
