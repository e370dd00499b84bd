"""A client's end of conmon's attach socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from netd.failure import Failure
from netd.runtime.streams import CHUNK, STDERR, STDOUT, Stream


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, conmon = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, conmon:
        yield ours, conmon


def connected(ours: socket.socket, **options: object) -> Stream:
    stream = Stream(tty=False, **options)  # type: ignore[arg-type]
    stream.connected(ours)
    assert stream.ready.result(0) is ours
    return stream


def test_packets_come_with_their_stream(pair: tuple[socket.socket, socket.socket]) -> None:
    stream = connected(pair[0])
    pair[1].send(b"\x02out")
    pair[1].send(b"\x03err")
    assert stream.receive() == (STDOUT, b"out")
    assert stream.receive() == (STDERR, b"err")
    with pytest.raises(BlockingIOError):
        stream.receive()
    pair[1].close()
    assert stream.receive() is None


def test_unwanted_streams_are_passed_over(pair: tuple[socket.socket, socket.socket]) -> None:
    stream = connected(pair[0], wanted=frozenset((STDERR,)))
    pair[1].send(b"\x02out")
    pair[1].send(b"\x03err")
    assert stream.receive() == (STDERR, b"err")


def test_input_goes_in_packets_that_conmon_reads_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    stream = connected(pair[0])
    assert stream.send(b"x" * 20000) == CHUNK
    assert stream.send(b"") == 0
    assert len(pair[1].recv(1 << 16)) == CHUNK
    stream.end_input()
    assert pair[1].recv(1) == b""
    pair[1].send(b"\x02still")
    assert stream.receive() == (STDOUT, b"still")


def test_a_listener_does_not_end_the_input(pair: tuple[socket.socket, socket.socket]) -> None:
    stream = connected(pair[0], stdin=False)
    stream.end_input()
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        pair[1].recv(1)


def test_closing_before_the_start_cancels_and_refuses_the_connection(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    stream = Stream(tty=False)
    stream.close()
    stream.close()
    assert stream.ready.cancelled()
    stream.connected(pair[0])
    stream.failed(Failure("too late"))
    assert pair[0].fileno() == -1


def test_whoever_gave_up_waiting_is_not_connected(pair: tuple[socket.socket, socket.socket]) -> None:
    stream = Stream(tty=False)
    stream.ready.cancel()
    stream.connected(pair[0])
    assert pair[0].fileno() == -1


def test_a_failed_start_is_told() -> None:
    stream = Stream(tty=False)
    stream.failed(Failure("no such program"))
    with pytest.raises(Failure, match="no such program"):
        stream.ready.result(0)


def test_only_a_listener_that_leaves_early_parts_with_its_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    parted: list[socket.socket] = []
    stream = connected(pair[0], stdin=False, parting=parted.append)
    stream.close()
    assert parted == [pair[0]]
    again = connected(pair[0], stdin=False, parting=parted.append)
    pair[1].close()
    assert again.receive() is None
    again.close()
    assert parted == [pair[0]]
    assert pair[0].fileno() == -1
