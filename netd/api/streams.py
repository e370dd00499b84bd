"""Attach, logs and wait: answers that last as long as a container (contract docker 4.5)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import msgspec

from netd.api import detach
from netd.api.core import Core
from netd.api.exchange import MULTIPLEXED_STREAM, RAW_STREAM, Call, Exchange
from netd.api.handoff import Closed, Handoff
from netd.api.pump import frame, pump
from netd.api.reply import JSON
from netd.api.router import Route
from netd.api.wire import Wire
from netd.failure import Conflict, InvalidParameter
from netd.runtime.containers import LogReader
from netd.runtime.model import Container
from netd.runtime.streams import Stream
from pycni.spec.errors import CniError

_AHEAD = 512 * 1024
"""Bytes of a log that are read before the client takes them."""


def content_type(tty: bool, version: tuple[int, int]) -> str:
    """From 1.42 on clients are told whether there are frames."""
    return RAW_STREAM if tty or version < (1, 42) else MULTIPLEXED_STREAM


class Streams:
    """The standard streams of containers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.routes = (
            Route("POST", "/containers/{id}/attach", self.attach),
            Route("GET", "/containers/{id}/logs", self.logs),
            Route("POST", "/containers/{id}/wait", self.wait),
        )

    async def attach(self, exchange: Exchange) -> None:
        """Answers at once, also for a container that is not started: its output is the client's from the first byte."""
        call = await exchange.with_body()
        query = call.query
        keys = detach.parse(query.text("detachKeys"))
        container = self._core.containers.get(call["id"])
        if container.state.status == "paused":
            raise Conflict(f"container {container.name} is paused, unpause the container before attach")
        wanted = {name: query.flag(name) for name in ("stdin", "stdout", "stderr")}
        stream = (
            await self._core.run(self._core.containers.attach, container.id, **wanted) if query.flag("stream") else None
        )
        try:
            wire, early = await exchange.take_over(content_type(container.config.tty, call.version))
            await wire.taken()
            if query.flag("logs"):
                reader = self._core.containers.logs(container.id, wanted["stdout"], wanted["stderr"])
                async for piece in self._pieces(reader, container.config.tty, wire.closed):
                    await wire.write(piece)
            if stream is not None:
                await carry(stream, wire, early, keys)
        finally:
            if stream is not None:
                stream.close()

    async def logs(self, exchange: Exchange) -> None:
        call = exchange.call
        container = self._core.containers.get(call["id"])
        reader = await self._core.run(self._reader, call, container)
        try:
            await exchange.begin(content_type(container.config.tty, call.version))
            async for piece in self._pieces(reader, container.config.tty, exchange.gone):
                await exchange.send(piece)
            await exchange.end()
        finally:
            reader.close()

    def _reader(self, call: Call, container: Container) -> LogReader:
        query = call.query
        stdout, stderr = query.flag("stdout"), query.flag("stderr")
        if not (stdout or stderr):
            raise InvalidParameter("Bad parameters: you must choose at least one stream")
        tail = query.text("tail", "all")
        return self._core.containers.logs(
            container.id,
            stdout=stdout,
            stderr=stderr,
            follow=query.flag("follow"),
            # docker takes whatever is no number for "all"
            tail=int(tail) if tail.isdecimal() and tail.isascii() else None,
            since_ns=query.moment("since") or 0,
            until_ns=query.moment("until") or 0,
            timestamps=query.flag("timestamps"),
        )

    async def _pieces(self, reader: LogReader, tty: bool, gone: asyncio.Future[None]) -> AsyncIterator[bytes]:
        """What the reader gives, framed, as fast as the consumer takes it; ends early when the client is gone."""
        handoff: Handoff[bytes] = Handoff(_AHEAD, len)

        def read() -> None:
            try:
                for number, data in reader:
                    handoff.put(data if tty else frame(number, data))
            except Closed:
                pass
            finally:
                handoff.end()

        # a thread of its own: one that follows may last for weeks, and the pool's are counted
        thread = threading.Thread(target=read, name="logs", daemon=True)
        thread.start()
        taking: asyncio.Future[list[bytes]] | None = None
        try:
            while True:
                taking = asyncio.ensure_future(handoff.take())
                await asyncio.wait((taking, gone), return_when=asyncio.FIRST_COMPLETED)
                if not taking.done() or not taking.result():
                    return
                yield b"".join(taking.result())
        finally:
            if taking is not None:
                taking.cancel()
            handoff.close()
            reader.close()

    async def wait(self, exchange: Exchange) -> None:
        """The answer's head comes at once: it tells the client that its waiting is registered, and it starts the
        container only then."""
        call = await exchange.with_body()
        condition = call.query.text("condition") or "not-running"
        if condition not in ("not-running", "next-exit", "removed"):
            raise InvalidParameter(f"invalid condition: {condition!r}")
        ended = await self._core.run(self._core.containers.wait, call["id"], condition)
        ending = asyncio.wrap_future(ended)
        await exchange.begin(JSON)
        await asyncio.wait((ending, exchange.gone), return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            ending.cancel()
            return
        error = ending.exception()
        if error is not None and not isinstance(error, CniError):
            raise error
        answer = {"StatusCode": 125, "Error": {"Message": error.msg}} if error else {"StatusCode": ending.result()}
        await exchange.send(msgspec.json.encode(answer) + b"\n")
        await exchange.end()


async def carry(stream: Stream, wire: Wire, early: bytes, keys: bytes) -> bool:
    """Everything of a stream whose process may not run yet; whether it ran and has ended.  When it cannot be started at
    all, the client that starts it is told so; this one reads the end."""
    ready = asyncio.wrap_future(stream.ready)
    await asyncio.wait((ready, wire.closed), return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        return False
    if ready.cancelled() or ready.exception() is not None:
        return False
    return await pump(stream, ready.result(), wire, early, keys)
