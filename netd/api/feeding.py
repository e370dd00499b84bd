"""The body of a request into a pipe, for a thread that reads it as a file."""

from __future__ import annotations

import asyncio
import os

from netd.api.exchange import Exchange


async def feed(exchange: Exchange, pipe: int) -> None:
    """The body into a pipe.  A client that leaves in the middle ends it too: an archive cut short is refused by who
    reads it.  A reader that has had enough is no error."""
    loop = asyncio.get_running_loop()
    try:
        async for piece in exchange.chunks():
            view = memoryview(piece)
            while view:
                try:
                    view = view[os.write(pipe, view) :]
                except BlockingIOError:
                    await _writable(loop, pipe)
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        os.close(pipe)


async def _writable(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    writable: asyncio.Future[None] = loop.create_future()

    def happen() -> None:
        if not writable.done():
            writable.set_result(None)

    loop.add_writer(descriptor, happen)
    try:
        await writable
    finally:
        loop.remove_writer(descriptor)
