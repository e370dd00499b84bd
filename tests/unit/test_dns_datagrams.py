"""Answers over UDP: what leaves together, and whose turn it is."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from errno import EAGAIN, EMSGSIZE, EPERM
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.dns.datagrams import BURST, MAX_CACHED, MAX_QUERY, Datagrams, Recent
from netd.dns.wire import MAX_UDP

Datagram = tuple[bytes, Any]
SEGMENT = 103


class Line:
    """A socket as far as it is used: datagrams in, datagrams out.  `refuses` answers of more bytes than that."""

    def __init__(self, *incoming: Datagram, joins: bool = True, refuses: int = MAX_UDP) -> None:
        self.incoming = list(incoming)
        self.sent: list[Datagram] = []
        self.calls = 0
        self.joins, self.refuses = joins, refuses

    def getsockopt(self, level: int, option: int) -> int:
        assert (level, option) == (17, SEGMENT)
        if not self.joins:
            raise OSError("unknown option")
        return 0

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, Any]:
        if not self.incoming:
            raise BlockingIOError(EAGAIN, "nothing")
        message, peer = self.incoming.pop(0)
        message = message[: len(buffer)]
        buffer[: len(message)] = message
        return len(message), peer

    def sendmsg(self, parts: tuple[bytes, ...], options: Any, flags: int, peer: Any) -> None:
        """As the kernel does: the last datagram may be smaller, at most 64 of them, none larger than the device's."""
        ((level, option, packed),) = options
        assert (level, option, flags) == (17, SEGMENT, 0)
        assert self.joins
        size, joined = int.from_bytes(packed, sys.byteorder), b"".join(parts)
        assert size < len(joined) <= min(MAX_UDP, 64 * size)
        if size > self.refuses:
            raise OSError(EMSGSIZE, "too large")
        self.calls += 1
        self.sent += [(joined[start : start + size], peer) for start in range(0, len(joined), size)]

    def sendto(self, message: bytes, peer: Any) -> None:
        self.calls += 1
        self.sent.append((message, peer))


def serve(line: Line, recent: Recent, *known: tuple[bytes, tuple[bytes, ...]]) -> tuple[Datagrams, list[bytes]]:
    """The server of a socket at which `known` questions were asked before, and what it hands on."""
    handed: list[bytes] = []

    def answer(message: bytes, reply: Callable[[bytes], None]) -> None:
        handed.append(message)
        reply(message[:2] + b"new")

    def trouble(error: OSError) -> None:
        raise AssertionError(error)

    recent.valid_for(0, True)
    for key, replies in known:
        recent.turn(key, replies)
    return Datagrams(line, recent, answer, trouble), handed  # type: ignore[arg-type]


PEERS = st.sampled_from([("127.0.0.1", 1), ("127.0.0.1", 2), ("::1", 1, 0, 0)])
SIZES = {b"small": 3, b"other": 3, b"large": 900, b"huge": 9000}


@given(
    asked=st.lists(st.tuples(st.sampled_from([*SIZES, b"new", b""]), PEERS), max_size=3 * BURST),
    joins=st.booleans(),
    refuses=st.sampled_from([100, MAX_UDP]),
)
def test_every_question_is_answered_once_however_the_answers_leave(
    asked: list[tuple[bytes, Any]], joins: bool, refuses: int
) -> None:
    incoming = [(number.to_bytes(2, "big") + key, peer) for number, (key, peer) in enumerate(asked)]
    line = Line(*incoming, joins=joins, refuses=refuses)
    server, handed = serve(line, Recent(), *((key, (key * size,)) for key, size in SIZES.items()))
    hits = 0
    while line.incoming:
        left = len(line.incoming)
        hits += server.take()
        assert left - len(line.incoming) == min(left, BURST)
    wanted = [(message[:2] + message[2:] * SIZES.get(message[2:], 0), peer) for message, peer in incoming]
    wanted = [(message if message[2:] else message + b"new", peer) for message, peer in wanted]
    assert Counter(line.sent) == Counter(wanted)
    assert handed == [message for message, _ in incoming if message[2:] not in SIZES]
    assert hits == len(asked) - len(handed)


def test_answers_of_one_size_for_one_client_leave_together() -> None:
    near, far = ("127.0.0.1", 1), ("127.0.0.2", 1)
    keys = (b"a", b"b", b"a", b"c", b"a", b"c")
    line = Line(*((bytes(2) + key, peer) for key in keys for peer in (near, far)))
    server, _ = serve(line, Recent(), (b"a", (b"12",)), (b"b", (b"34",)), (b"c", (b"5",)))
    assert server.take() == 12
    assert line.calls == 4
    assert [message[2:] for message, peer in line.sent if peer == far] == [b"12", b"34", b"12", b"12", b"5", b"5"]


def test_a_client_with_one_question_gets_an_ordinary_datagram() -> None:
    line = Line((b"idq", ("127.0.0.1", 1)))
    server, _ = serve(line, Recent(), (b"q", (b"answer",)))
    line.sendmsg = None  # type: ignore[assignment, method-assign]
    assert server.take() == 1
    assert line.sent == [(b"idanswer", ("127.0.0.1", 1))]


def test_what_the_kernel_says_against_an_answer_is_told_unless_there_is_just_no_room() -> None:
    told: list[OSError] = []

    class Refusing(Line):
        def sendto(self, message: bytes, peer: Any) -> None:
            assert message == bytes(2) + b"answer"
            raise BlockingIOError(EAGAIN, "full") if peer[1] == 1 else PermissionError(EPERM, "not permitted")

    line = Refusing(*((bytes(2) + b"q", ("127.0.0.1", port)) for port in (1, 2, 2)), joins=False)
    recent = Recent()
    recent.valid_for(0, True)
    recent.turn(b"q", (b"answer",))
    assert Datagrams(line, recent, lambda _message, _reply: None, told.append).take() == 3  # type: ignore[arg-type]
    assert [error.errno for error in told] == [EPERM, EPERM]


def test_each_question_has_a_turn_of_its_own() -> None:
    """glibc asks for A and AAAA by turns."""
    recent = Recent()
    four, six = (b"1", b"2"), (b"3", b"4", b"5", b"6")
    asked = [(recent.turn(b"A", four), recent.turn(b"AAAA", six)) for _ in range(8)]
    assert Counter(first for first, _ in asked) == dict.fromkeys(four, 4)
    assert Counter(second for _, second in asked) == dict.fromkeys(six, 2)


def test_turns_begin_anywhere() -> None:
    """Names change often where many containers come and go."""
    begins = {Recent().turn(b"A", tuple(b"%d" % n for n in range(4))) for _ in range(200)}
    assert begins == {b"0", b"1", b"2", b"3"}


def test_a_new_generation_of_names_forgets_all() -> None:
    recent = Recent()
    recent.valid_for(1, True)
    assert recent.turn(b"A", (b"old",)) == b"old"
    recent.valid_for(1, True)
    assert recent.at_once[b"A"]() == b"old"
    recent.valid_for(2, True)
    assert b"A" not in recent.at_once
    assert recent.turn(b"A", (b"new",)) == b"new"


def test_without_memory_only_the_turn_is_kept() -> None:
    recent = Recent()
    recent.valid_for(1, False)
    assert {recent.turn(b"A", (b"1", b"2")) for _ in range(2)} == {b"1", b"2"}
    assert recent.at_once == {}


def test_what_is_remembered_is_bounded() -> None:
    recent = Recent()
    recent.valid_for(1, True)
    for number in range(3000):
        recent.turn(b"%d" % number, (bytes(1000),))
        assert len(recent.at_once) <= MAX_CACHED // 1000
    assert b"2999" in recent.at_once


def test_a_question_larger_than_the_buffer_is_cut() -> None:
    line = Line((bytes(MAX_QUERY + 1), ("127.0.0.1", 1)))
    server, handed = serve(line, Recent())
    assert server.take() == 0
    assert handed == [bytes(MAX_QUERY)]


@pytest.mark.parametrize("joins", [True, False])
def test_a_full_burst_of_the_largest_answers_fits(joins: bool) -> None:
    answer = bytes(MAX_UDP - 2)
    line = Line(*((bytes(2) + b"q", ("127.0.0.1", 1)) for _ in range(3)), joins=joins)
    server, _ = serve(line, Recent(), (b"q", (answer,)))
    assert server.take() == 3
    assert [len(message) for message, _ in line.sent] == [MAX_UDP] * 3
