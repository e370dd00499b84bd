"""Receiving a request: what arrives whole is given on, everything else is refused and leaves no descriptor open."""

from __future__ import annotations

import _socket
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from launchers import compiled_front

from netd.engine import protocol
from netd.engine.connection import Request, receive, send
from netd.engine.front import SOURCE, Front, Plain, best, load
from netd.engine.protocol import ProtocolError
from netd.engine.surroundings import Surroundings, mount_of
from pycni_launcher.build import compile_library

Pair = tuple[_socket.socket, _socket.socket]


@pytest.fixture(params=[Plain, compiled_front], ids=["plain", "compiled"])
def front(request: pytest.FixtureRequest) -> Front:
    """Both ways in which a request can be received."""
    made: Front = request.param()
    return made


class Receive(Protocol):
    def __call__(self, connection: _socket.socket, seconds: int = 5) -> Request | None: ...


@pytest.fixture
def received(front: Front) -> Receive:
    return lambda connection, seconds=5: receive(connection, seconds, front.first(connection, seconds))


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
def test_a_request_arrives_with_its_descriptors(received: Receive, pair: Pair, count: int) -> None:
    ours, theirs = pair
    pass_on(theirs, protocol.frame(protocol.CALL, b"body", count), count)
    request = received(ours)
    assert request is not None
    assert (request.header.kind, request.body, len(request.descriptors)) == (protocol.CALL, b"body", count)
    here = os.stat("/proc/self/ns/net").st_ino
    for each in request.descriptors:
        status = os.fstat(each.fd)
        assert each[:3] == (each.fd, (status.st_dev, here), True)
        assert each.mount in (0, mount_of(each.fd)) and mount_of(each.fd)
        assert not os.get_inheritable(each.fd)
        os.close(each.fd)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.lists(st.integers(1, 400), max_size=6))
def test_a_request_may_arrive_in_pieces(received: Receive, body: bytes, cuts: list[int]) -> None:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    frame = protocol.frame(protocol.STATUS, body)
    at = 0
    for cut in sorted(set(cuts)):
        theirs.sendall(frame[at:cut])
        at = cut
    theirs.sendall(frame[at:])
    request = received(ours)
    ours.close()
    theirs.close()
    assert request is not None
    assert request.body == body


def test_a_peer_that_says_nothing(received: Receive, pair: Pair) -> None:
    pair[1].close()
    assert received(pair[0]) is None


@pytest.mark.parametrize("kept", [1, protocol.HEADER_SIZE - 1, protocol.HEADER_SIZE, protocol.HEADER_SIZE + 1])
def test_a_request_cut_short(received: Receive, pair: Pair, kept: int) -> None:
    before = open_descriptors()
    pass_on(pair[1], protocol.frame(protocol.CALL, b"body", 1)[:kept], 1)
    pair[1].shutdown(_socket.SHUT_WR)
    with pytest.raises(ProtocolError, match="cut short"):
        received(pair[0])
    assert open_descriptors() == before


@pytest.mark.parametrize("kept", [0, 5, protocol.HEADER_SIZE + 1])
def test_a_request_that_does_not_come_in_time(received: Receive, pair: Pair, kept: int) -> None:
    before = open_descriptors()
    if kept:
        pass_on(pair[1], protocol.frame(protocol.CALL, b"body", 1)[:kept], 1)
    with pytest.raises(ProtocolError, match="in time"):
        received(pair[0], seconds=1)
    assert open_descriptors() == before


@pytest.mark.parametrize(("announced", "sent"), [(1, 0), (0, 1), (2, 1), (3, 2), (3, 4), (3, 40)])
def test_descriptors_other_than_announced(received: Receive, pair: Pair, announced: int, sent: int) -> None:
    before = open_descriptors()
    pass_on(pair[1], protocol.frame(protocol.CALL, b"", announced), sent)
    with pytest.raises(ProtocolError, match="descriptors"):
        received(pair[0])
    assert open_descriptors() == before


def test_descriptors_that_come_late_are_closed(received: Receive, pair: Pair) -> None:
    before = open_descriptors()
    frame = protocol.frame(protocol.STATUS, bytes(80_000))
    pair[1].sendall(frame[:-2])
    pass_on(pair[1], frame[-2:], 2)
    request = received(pair[0])
    assert request is not None
    assert (len(request.body), request.descriptors) == (80_000, ())
    assert open_descriptors() == before


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", protocol.frame(protocol.STATUS) + b"x"])
def test_foreign_talk(received: Receive, pair: Pair, data: bytes) -> None:
    pass_on(pair[1], data, 2)
    before = open_descriptors()
    with pytest.raises(ProtocolError):
        received(pair[0])
    assert open_descriptors() == before


def test_what_came_along_is_examined(received: Receive, pair: Pair) -> None:
    with open("/etc/hostname") as file:
        rights = file.fileno().to_bytes(4, "little")
        pair[1].sendmsg([protocol.frame(protocol.CALL, b"", 1)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        status = os.fstat(file.fileno())
    request = received(pair[0])
    assert request is not None
    (passed,) = request.descriptors
    assert passed[:3] == (passed.fd, (status.st_dev, status.st_ino), False)
    assert passed.mount in (0, mount_of(passed.fd))
    os.close(passed.fd)


def test_a_caller_is_known(front: Front, tmp_path: Path) -> None:
    ours = Surroundings()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
        listener.bind(str(tmp_path / "sock"))
        listener.listen()
        caller.connect(str(tmp_path / "sock"))
        connection, pid, uid, users = front.accept(listener)
        assert (pid, uid) == (os.getpid(), os.geteuid())
        assert users in (0, ours.users)
        assert not users or not isinstance(front, Plain)
        assert ours.shares_users(connection, pid)
        assert not os.get_inheritable(connection.fileno())
        assert connection.gettimeout() is None
        connection.close()
        listener.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError) as raised:
            front.accept(listener)
        assert raised.value.errno == errno.EINVAL


def test_a_library_of_another_version_is_not_used(tmp_path: Path) -> None:
    source = Path(SOURCE).read_text()
    for name, text in (
        ("same", source),
        ("other", source.replace("front_layout = 2", "front_layout = 1")),
        ("older", "int x;\n"),
    ):
        (tmp_path / f"{name}.c").write_text(text)
        assert compile_library(str(tmp_path / f"{name}.so"), str(tmp_path / f"{name}.c"))
    (tmp_path / "broken.so").write_text("no library")
    assert load(str(tmp_path / "same.so")) is not None
    assert [load(str(tmp_path / f"{name}.so")) for name in ("other", "older", "broken", "missing")] == [None] * 4


def test_without_a_compiler_there_is_no_library(tmp_path: Path) -> None:
    assert not compile_library(str(tmp_path / "libfront.so"), SOURCE, path=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert isinstance(best(None), Plain)


def test_an_answer_nobody_takes_does_not_hold_the_worker(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        send(pair[0], bytes(4 << 20), seconds=1)
