"""One client's socket under asyncio: bytes in, bytes out, and the news that the client is gone.

Reading never loses a byte when its reader is cancelled, and goes on while nobody reads, so that the end of a client is
seen at once; what a client sends beyond `_AHEAD` stays in the kernel until somebody reads.  Writing waits for a slow
client and for nobody else.
"""

from __future__ import annotations

import asyncio
import fcntl
import select
import struct
import termios
from collections.abc import Callable, Coroutine
from typing import Any, cast

_AHEAD = 256 * 1024
"""Bytes taken in beyond what was asked for: many requests in a row, or one piece of a large body."""

_LOOKS, _LOOK = 20, 0.001
"""How often, and how far apart in seconds, to look whether a client has read an answer's head."""


class Hangups:
    """Tells when a client that has half closed its connection closes the other half too.

    The loop itself no longer looks at such a connection: it would find it readable for ever.  The kernel reports a hang
    up to an epoll that asks for nothing, and an epoll can itself be waited for."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, descriptor: int, hung_up: Callable[[], None]) -> None:
        """Calls `hung_up` once, soon if it has happened already."""
        self._watched[descriptor] = hung_up
        self._epoll.register(descriptor, select.EPOLLET)

    def forget(self, descriptor: int) -> None:
        """To be called before the descriptor is closed."""
        if self._watched.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def _look(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            hung_up = self._watched.get(descriptor)
            self.forget(descriptor)
            if hung_up is not None:
                hung_up()

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._watched.clear()
        self._epoll.close()


class Wire(asyncio.Protocol):
    """Becomes a connection's only user; `serve` runs as the connection's task, and its end closes the socket."""

    def __init__(self, serve: Callable[[Wire], Coroutine[Any, Any, None]], hangups: Hangups) -> None:
        self._serve = serve
        self._hangups = hangups
        self._descriptor = -1
        self._loop = asyncio.get_running_loop()
        self._incoming = bytearray()
        self._ended = False
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._readable = asyncio.Event()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when the client has closed, or half closed, its side."""
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is closed both ways."""
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self.task = self._loop.create_task(self._serve(self))

    def data_received(self, data: bytes) -> None:
        self._incoming += data
        self._readable.set()
        if len(self._incoming) >= _AHEAD and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end()
        self._hangups.watch(self._descriptor, self._transport.abort)
        return True  # a client that is done sending may still want to read

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # a client that was killed is no error of ours
        self._hangups.forget(self._descriptor)
        if not self.closed.done():
            self.closed.set_result(None)
        self._end()
        self._writable.set()

    async def until_closed(self) -> None:
        """Unlike awaiting `closed`, this may be cancelled: that would cancel the future, for everybody."""
        await asyncio.wait((self.closed,))

    @property
    def lost(self) -> bool:
        return self.closed.done()

    def _end(self) -> None:
        self._ended = True
        self._readable.set()
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def read(self) -> bytes:
        """What has come, at least one byte; b"" at the end of what the client sends."""
        while not self._incoming and not self._ended:
            self._readable.clear()
            await self._readable.wait()
        taken = bytes(self._incoming)
        self._incoming.clear()
        if self._paused and not self.lost:
            self._paused = False
            self._transport.resume_reading()
        return taken

    async def write(self, data: bytes) -> None:
        """Sent, or taken for sending; waits while the client has more than enough to read.  ConnectionError when the
        client is gone for good."""
        if self.lost or self._transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()
            if self.lost:
                raise ConnectionResetError("the client closed the connection")

    async def taken(self) -> None:
        """Returns once the client has read everything, or takes its time.

        docker-py reads an answer's head through a buffer and then the connection without it: what came together with
        the head is lost to it.  docker's server is slow enough between the two."""
        for _ in range(_LOOKS):
            if self.lost or not struct.unpack("i", fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4)))[0]:
                return
            await asyncio.sleep(_LOOK)

    def close(self) -> None:
        """Closes once everything written is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Closes at once, so that the client knows that its answer is not whole."""
        self._transport.abort()
