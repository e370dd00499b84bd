"""A client of a container's standard streams, and waiting for what a daemon does in its own time."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from netd.runtime.bus import Event, Subscription
from netd.runtime.streams import Stream

PATIENCE = 20.0
"""Seconds after which something that should have happened has not."""


def receive_all(stream: Stream) -> dict[int, bytes]:
    """What the process writes until it has ended, by stream (1 and 2)."""
    received = {1: b"", 2: b""}
    while True:
        piece = receive(stream)
        if piece is None:
            return received
        received[piece[0]] += piece[1]


def receive(stream: Stream) -> tuple[int, bytes] | None:
    """The next piece; None at the end."""
    connection = stream.ready.result(PATIENCE)
    while True:
        try:
            return stream.receive()
        except BlockingIOError:
            assert select.select([connection], [], [], PATIENCE)[0], "nothing came"


def receive_until(stream: Stream, end: bytes) -> bytes:
    """Output until `end` is in it: a shell at a terminal asks for more behind its prompt."""
    received = b""
    while end not in received:
        piece = receive(stream)
        assert piece is not None, f"the process ended after {received!r}"
        received += piece[1]
    return received


def await_output(stream: Stream, question: bytes, answer: bytes) -> None:
    """Asks until the answer is this one: a terminal's size travels by another way than its input."""
    deadline = time.monotonic() + PATIENCE
    received = b""
    while answer not in received:
        assert time.monotonic() < deadline, f"{answer!r} is not in {received!r}"
        send_all(stream, question)
        receive_until(stream, question.strip() + b"\r\n")
        received = receive_until(stream, b"> ")


def send_all(stream: Stream, data: bytes) -> None:
    connection = stream.ready.result(PATIENCE)
    while data:
        try:
            data = data[stream.send(data) :]
        except BlockingIOError:
            assert select.select([], [connection], [], PATIENCE)[1], "nothing is taken"


def await_event(listener: Subscription, action: str) -> Event:
    """The next event of that action; others before it are passed over."""
    deadline = time.monotonic() + PATIENCE
    while True:
        event = listener.get(max(0.0, deadline - time.monotonic()))
        assert event is not None, f"no {action!r} came"
        if event.action == action:
            return event


def until(condition: Callable[[], bool]) -> None:
    """Returns when `condition` holds; for what gives no event."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
