"""Receiving a request: what arrives whole is given on, everything else is refused and leaves no descriptor open."""

from __future__ import annotations

import _socket
import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netd.engine import protocol
from netd.engine.connection import peer_of, receive, send
from netd.engine.protocol import ProtocolError

Pair = tuple[_socket.socket, _socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """(the engine's end, the launcher's)."""
    ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    yield ends
    for each in ends:
        each.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def pass_on(sender: _socket.socket, data: bytes, count: int) -> None:
    """Sends data with `count` descriptors of our own network namespace."""
    fds = [os.open("/proc/self/ns/net", os.O_RDONLY) for _ in range(count)]
    rights = b"".join(fd.to_bytes(4, "little") for fd in fds)
    sender.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else [])
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_request_arrives_with_its_descriptors(pair: Pair, count: int) -> None:
    ours, theirs = pair
    pass_on(theirs, protocol.frame(protocol.CALL, b"body", count), count)
    request = receive(ours)
    assert request is not None
    assert (request.header.kind, request.body, len(request.descriptors)) == (protocol.CALL, b"body", count)
    here = os.stat("/proc/self/ns/net").st_ino
    for fd in request.descriptors:
        assert os.fstat(fd).st_ino == here
        assert not os.get_inheritable(fd)
        os.close(fd)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(1, 400), max_size=6))
def test_a_request_may_arrive_in_pieces(body: bytes, cuts: list[int]) -> None:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    frame = protocol.frame(protocol.STATUS, body)
    at = 0
    for cut in sorted(set(cuts)):
        theirs.sendall(frame[at:cut])
        at = cut
    theirs.sendall(frame[at:])
    request = receive(ours)
    ours.close()
    theirs.close()
    assert request is not None
    assert request.body == body


def test_a_peer_that_says_nothing(pair: Pair) -> None:
    pair[1].close()
    assert receive(pair[0]) is None


@pytest.mark.parametrize("kept", [1, protocol.HEADER_SIZE - 1, protocol.HEADER_SIZE, protocol.HEADER_SIZE + 1])
def test_a_request_cut_short(pair: Pair, kept: int) -> None:
    before = open_descriptors()
    pass_on(pair[1], protocol.frame(protocol.CALL, b"body", 1)[:kept], 1)
    pair[1].shutdown(_socket.SHUT_WR)
    with pytest.raises(ProtocolError, match="cut short"):
        receive(pair[0])
    assert open_descriptors() == before


@pytest.mark.parametrize("kept", [0, 5, protocol.HEADER_SIZE + 1])
def test_a_request_that_does_not_come_in_time(pair: Pair, kept: int) -> None:
    before = open_descriptors()
    if kept:
        pass_on(pair[1], protocol.frame(protocol.CALL, b"body", 1)[:kept], 1)
    with pytest.raises(ProtocolError, match="in time"):
        receive(pair[0], seconds=1)
    assert open_descriptors() == before


@pytest.mark.parametrize(("announced", "sent"), [(1, 0), (0, 1), (2, 1), (3, 2), (3, 4), (3, 40)])
def test_descriptors_other_than_announced(pair: Pair, announced: int, sent: int) -> None:
    before = open_descriptors()
    pass_on(pair[1], protocol.frame(protocol.CALL, b"", announced), sent)
    with pytest.raises(ProtocolError, match="descriptors"):
        receive(pair[0])
    assert open_descriptors() == before


def test_descriptors_that_come_late_are_closed(pair: Pair) -> None:
    before = open_descriptors()
    frame = protocol.frame(protocol.STATUS, bytes(80_000))
    pair[1].sendall(frame[:-2])
    pass_on(pair[1], frame[-2:], 2)
    request = receive(pair[0])
    assert request is not None
    assert (len(request.body), request.descriptors) == (80_000, ())
    assert open_descriptors() == before


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", protocol.frame(protocol.STATUS) + b"x"])
def test_foreign_talk(pair: Pair, data: bytes) -> None:
    pass_on(pair[1], data, 2)
    before = open_descriptors()
    with pytest.raises(ProtocolError):
        receive(pair[0])
    assert open_descriptors() == before


def test_the_peer_is_known(pair: Pair) -> None:
    assert peer_of(pair[0]) == (os.getpid(), os.geteuid())


def test_an_answer_nobody_takes_does_not_hold_the_worker(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        send(pair[0], bytes(4 << 20), seconds=1)
