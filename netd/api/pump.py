"""Copies between a client's connection and the standard streams of a container (contract docker 4.5)."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

from netd.api.detach import Detector
from netd.api.wire import Wire
from netd.runtime.streams import CHUNK, Stream

_FRAME = struct.Struct(">BxxxL")


def frame(stream: int, data: bytes) -> bytes:
    """Docker's frame: 1 standard output, 2 standard error; then the length, big endian; then the data."""
    return _FRAME.pack(stream, len(data)) + data


async def pump(stream: Stream, connection: socket.socket, wire: Wire, early: bytes, keys: bytes) -> bool:
    """Until the process has ended and all of its output is sent, which is when the result is True, or the client has
    typed the detach `keys` at a terminal or is gone.  `early` is input that came behind the client's request."""
    output = asyncio.ensure_future(_output(stream, connection, wire))
    gone = asyncio.ensure_future(_input(stream, connection, wire, early, keys) if stream.stdin else _ignore(wire))
    try:
        # the end of input is not the end of output, so `gone` is more than that
        await asyncio.wait([output, gone], return_when=asyncio.FIRST_COMPLETED)
        if output.done():
            output.result()
        return output.done()
    finally:
        output.cancel()
        gone.cancel()
        await asyncio.gather(output, gone, return_exceptions=True)


async def _output(stream: Stream, connection: socket.socket, wire: Wire) -> None:
    while True:
        try:
            received = stream.receive()
        except BlockingIOError:
            await readable(connection)
            continue
        if received is None:
            return
        number, data = received
        await wire.write(data if stream.tty else frame(number, data))


async def _input(stream: Stream, connection: socket.socket, wire: Wire, early: bytes, keys: bytes) -> None:
    """From the client to the process; the client's end of sending is the process's end of input.  Returns when the
    client has detached itself or is gone."""
    detector = Detector(keys) if stream.tty else None
    data = early or await wire.read()
    try:
        while data:
            detached = False
            if detector:
                data, detached = detector.feed(data)
            await _send(stream, connection, data)
            if detached:
                return
            data = await wire.read()
        stream.end_input()
    except BrokenPipeError:
        pass  # the process is gone; its last output is on its way
    await wire.until_closed()


async def _send(stream: Stream, connection: socket.socket, data: bytes) -> None:
    while data:
        try:
            data = data[stream.send(data[:CHUNK]) :]
        except BlockingIOError:
            await writable(connection)


async def _ignore(wire: Wire) -> None:
    """A client that only listens half closes at once, or never; what it sends all the same is nobody's."""
    while await wire.read():
        pass
    await wire.until_closed()


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
