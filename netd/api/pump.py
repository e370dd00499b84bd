"""Copies between a client's connection and the standard streams of a container (contract docker 4.5)."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from netd.api.wire import Wire
from netd.runtime.streams import CHUNK, Stream

_FRAME = struct.Struct(">BxxxL")


def frame(stream: int, data: bytes) -> bytes:
    """Docker's frame: 1 standard output, 2 standard error; then the length, big endian; then the data."""
    return _FRAME.pack(stream, len(data)) + data


async def pump(stream: Stream, connection: socket.socket, wire: Wire, early: bytes) -> None:
    """Until the process has ended and all of its output is sent, or the client is gone.  `early` is input that came
    behind the client's request."""
    output = asyncio.ensure_future(_output(stream, connection, wire))
    both = [output]
    if stream.stdin:
        both.append(asyncio.ensure_future(_input(stream, connection, wire, early)))
    watched = asyncio.ensure_future(_lost(wire, read=not stream.stdin))
    try:
        # input may end long before output does, and a client that only listens may leave at any time
        await asyncio.wait([output, watched], return_when=asyncio.FIRST_COMPLETED)
        if output.done():
            output.result()
    finally:
        for task in (*both, watched):
            task.cancel()
        await asyncio.gather(*both, watched, return_exceptions=True)


async def _output(stream: Stream, connection: socket.socket, wire: Wire) -> None:
    while True:
        try:
            received = stream.receive()
        except BlockingIOError:
            await readable(connection)
            continue
        if received is None:
            wire.write_eof()
            return
        number, data = received
        await wire.write(data if stream.tty else frame(number, data))


async def _input(stream: Stream, connection: socket.socket, wire: Wire, early: bytes) -> None:
    """From the client to the process; the client's end of sending is the process's end of input."""
    data = early or await wire.read()
    try:
        while data:
            view = memoryview(data)
            while view:
                try:
                    view = view[stream.send(bytes(view[:CHUNK])) :]
                except BlockingIOError:
                    await writable(connection)
            data = await wire.read()
        stream.end_input()
    except BrokenPipeError:
        return  # the process is gone; its last output is on its way


async def _lost(wire: Wire, read: bool) -> None:
    """Returns when the client is gone for good.  A half close is the end of input only, of which a client that gives
    none cannot tell; then its silence is taken for interest."""
    while read and await wire.read():
        pass
    await wire.closed


async def readable(connection: socket.socket) -> None:
    """Returns once there is something to receive."""
    loop = asyncio.get_running_loop()
    await _once(connection, loop.add_reader, loop.remove_reader)


async def writable(connection: socket.socket) -> None:
    """Returns once something can be sent."""
    loop = asyncio.get_running_loop()
    await _once(connection, loop.add_writer, loop.remove_writer)


async def _once(
    connection: socket.socket, add: Callable[..., object], remove: Callable[[socket.socket], object]
) -> None:
    happened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def happen() -> None:
        if not happened.done():
            happened.set_result(None)

    add(connection, happen)
    try:
        await happened
    finally:
        remove(connection)
