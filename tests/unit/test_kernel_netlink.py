"""The netlink codec: laws of attributes and messages, and the kernel's answers played back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from errno import EBADF, EEXIST, EMSGSIZE, ENOBUFS, EPERM, EPROTO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import nlmsg

from pycni.kernel import netlink
from pycni.kernel.netlink import NetlinkSocket, Refused

ERROR, DONE = 2, 3
INTERRUPTED = 0x10
CAPPED, TLVS = 0x100, 0x200

kinds = st.integers(1, 0x3FFF)
payloads = st.binary(max_size=64)


@given(st.lists(st.tuples(kinds, payloads)))
def test_attributes_come_back_in_order(items: list[tuple[int, bytes]]) -> None:
    data = b"".join(netlink.attribute(kind, payload) for kind, payload in items)
    assert len(data) % 4 == 0
    assert netlink.attribute_list(data) == items
    assert netlink.attributes(b"head" + data, 4) == dict(items)


@given(kinds, st.lists(st.tuples(kinds, payloads)))
def test_nesting_is_marked_and_transparent(kind: int, items: list[tuple[int, bytes]]) -> None:
    data = netlink.nested(kind, *(netlink.attribute(*item) for item in items))
    assert struct.unpack_from("=HH", data) == (len(data), kind | 0x8000)
    ((found, inner),) = netlink.attribute_list(data)
    assert found == kind
    assert netlink.attribute_list(inner) == items


@given(st.binary(max_size=200))
def test_garbage_is_no_reason_to_fail(data: bytes) -> None:
    assert sum(len(payload) + 4 for _, payload in netlink.attribute_list(data)) <= len(data)
    assert sum(len(payload) + 16 for *_, payload in netlink.decode(data)) <= len(data)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), payloads)))
def test_messages_come_back(messages: list[tuple[int, int, int, bytes]]) -> None:
    data = b"".join(netlink.encode(*message) for message in messages)
    assert list(netlink.decode(data)) == messages


def test_integers_and_texts_have_their_widths() -> None:
    assert netlink.attribute_u8(7, 1) == struct.pack("=HHB3x", 5, 7, 1)
    assert netlink.attribute_u16(7, 515) == struct.pack("=HHH2x", 6, 7, 515)
    assert netlink.attribute_u32(7, 1 << 31) == struct.pack("=HHI", 8, 7, 1 << 31)
    assert netlink.attribute_be16(7, 515)[4:6] == b"\x02\x03"
    assert netlink.attribute_be32(7, 515)[4:] == b"\0\0\x02\x03"
    assert netlink.attribute_be64(7, 515)[4:] == b"\0\0\0\0\0\0\x02\x03"
    assert netlink.attribute_text(7, "eth0")[4:9] == b"eth0\0"
    assert netlink.text(b"eth0\0\0") == netlink.text(b"eth0") == "eth0"
    assert [netlink.u32(struct.pack(form, 200)) for form in ("=B", "=H", "=I")] == [200, 200, 200]


def test_the_header_is_the_oracles() -> None:
    oracle = nlmsg(netlink.encode(18, 0x301, 77, b"abc"))
    oracle.decode()
    header = oracle["header"]
    assert (header["length"], header["type"], header["flags"], header["sequence_number"]) == (19, 18, 0x301, 77)


Answer = Callable[[list[tuple[int, int, int, bytes]]], list[bytes]]


class Wire:
    """A kernel that answers each send by a function of the messages in it."""

    def __init__(self, *answers: Answer) -> None:
        self.sent: list[list[tuple[int, int, int, bytes]]] = []
        self.options: list[tuple[int, int, int]] = []
        self.queue: list[tuple[bytes, int, int]] = []
        self.refusals: list[OSError] = []
        self.closed = False
        self._answers = list(answers)

    def sendto(self, data: bytes, address: tuple[int, int]) -> int:
        assert address == (0, 0)
        if self.refusals:
            raise self.refusals.pop()
        self.sent.append(list(netlink.decode(data)))
        self.queue += [(datagram, 0, 0) for datagram in self._answers.pop(0)(self.sent[-1])]
        return len(data)

    def recvmsg(self, size: int, ancillary: int, flags: int) -> tuple[bytes, list[object], int, tuple[int, int]]:
        assert (size, ancillary, flags) == (65536, 0, 0x40)
        if not self.queue:
            raise BlockingIOError
        data, result, sender = self.queue.pop(0)
        if result < 0:
            raise OSError(-result, "receiving failed")
        return data, [], result, (sender, 0)

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)  # type: ignore[arg-type]

    def bind(self, address: tuple[int, int]) -> None:
        assert address == (0, 0)

    def fileno(self) -> int:
        return 42

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[NetlinkSocket, Wire]]:
    def make(*answers: Answer) -> tuple[NetlinkSocket, Wire]:
        wire = Wire(*answers)
        monkeypatch.setattr(netlink, "socket", lambda *_: wire)
        return NetlinkSocket(), wire

    return make


Connect = Callable[..., tuple[NetlinkSocket, Wire]]


def error(sequence: int, number: int = 0, details: str = "", flags: int = CAPPED) -> bytes:
    payload = struct.pack("=i", -number) + struct.pack("=IHHII", 16, 0, 0, sequence, 0)
    if details:
        flags |= TLVS
        payload += netlink.attribute_text(1, details)
    return netlink.encode(ERROR, flags, sequence, payload)


def acknowledge(messages: list[tuple[int, int, int, bytes]]) -> list[bytes]:
    return [error(sequence) for _, flags, sequence, _ in messages if flags & 4]


def test_errors_are_explained_by_default(connect: Connect) -> None:
    socket, wire = connect()
    assert wire.options == [(270, 11, 1), (270, 10, 1), (270, 12, 1)]
    assert socket.fileno() == 42
    with socket:
        pass
    assert wire.closed


def test_only_one_message_asks_for_an_acknowledgement(connect: Connect) -> None:
    socket, wire = connect(acknowledge, acknowledge)
    assert socket.batch([(1, 0, b""), (2, 0x400, b"abc"), (3, 0, b"")]) == []
    assert [flags for _, flags, _, _ in wire.sent[0]] == [1, 0x401, 5]
    socket.batch([(1, 0, b""), (2, 0, b""), (3, 0, b"")], acknowledged=1)
    assert [flags for _, flags, _, _ in wire.sent[1]] == [1, 5, 1]
    sequences = [sequence for sent in wire.sent for _, _, sequence, _ in sent]
    assert sequences == list(range(1, 7))


def test_replies_before_the_acknowledgement_are_returned(connect: Connect) -> None:
    def answer(messages: list[tuple[int, int, int, bytes]]) -> list[bytes]:
        sequence = messages[0][2]
        return [netlink.encode(16, 0, sequence, b"link") + netlink.encode(1, 0, sequence, b""), error(sequence)]

    assert connect(answer)[0].request((18, 0, b"")) == [(16, b"link")]


def test_the_first_failure_of_a_batch_is_raised(connect: Connect) -> None:
    def answer(messages: list[tuple[int, int, int, bytes]]) -> list[bytes]:
        sequences = [sequence for _, _, sequence, _ in messages]
        return [
            error(sequences[1], EEXIST, "Address already assigned"),
            error(sequences[2], EPERM),
            error(sequences[3]),
        ]

    socket, wire = connect(answer, acknowledge)
    with pytest.raises(Refused) as caught:
        socket.batch([(1, 0, b"")] * 4)
    failure = caught.value
    assert (failure.errno, failure.position, failure.msg) == (EEXIST, 1, "file exists")
    assert failure.details == "Address already assigned"
    assert not wire.queue
    assert socket.request((1, 0, b"")) == []


def test_the_original_message_may_stand_before_the_explanation(connect: Connect) -> None:
    def answer(messages: list[tuple[int, int, int, bytes]]) -> list[bytes]:
        sequence = messages[0][2]
        original = netlink.encode(1, 0, sequence, b"abcdef")
        payload = struct.pack("=i", -EPERM) + original + netlink.attribute_text(1, "why")
        return [netlink.encode(ERROR, TLVS, sequence, payload)]

    with pytest.raises(Refused) as caught:
        connect(answer)[0].request((1, 0, b"abcdef"))
    assert caught.value.details == "why"


def test_a_batch_refused_at_its_first_message_does_not_wait(connect: Connect) -> None:
    socket, _ = connect(lambda messages: [error(messages[0][2], EPERM)])
    with pytest.raises(Refused) as caught:
        socket.batch([(16, 0, b""), (2560, 0, b""), (17, 0, b"")], acknowledged=-2)
    assert (caught.value.errno, caught.value.position) == (EPERM, 0)


def test_silence_is_an_error(connect: Connect) -> None:
    socket, _ = connect(lambda _: [], lambda _: [])
    for call in (socket.request, socket.dump):
        with pytest.raises(Refused) as caught:
            call((18, 0, b""))
        assert caught.value.errno == EPROTO


def test_a_stale_reply_is_nobodys(connect: Connect) -> None:
    """An answer that an interrupted caller left in the queue does not reach the next one."""
    socket, wire = connect(lambda _: [], acknowledge, acknowledge)
    with pytest.raises(Refused):
        socket.request((18, 0, b""))
    wire.queue.append((netlink.encode(16, 0, 1, b"stale") + error(1, EPERM), 0, 0))
    assert socket.request((18, 0, b"")) == []
    wire.queue.append((netlink.encode(16, 0, 3, b"forged") + error(3, EPERM), 0, 4711))
    assert socket.request((18, 0, b"")) == []


def test_sequences_wrap(connect: Connect) -> None:
    socket, wire = connect(acknowledge, acknowledge)
    socket._sequence = 2**32 - 2
    socket.batch([(1, 0, b"")] * 3)
    assert [sequence for _, _, sequence, _ in wire.sent[0]] == [2**32 - 1, 0, 1]
    socket.request((1, 0, b""))


def dump_answer(*payloads: bytes, flags: int = 0, number: int = 0) -> Answer:
    def answer(messages: list[tuple[int, int, int, bytes]]) -> list[bytes]:
        sequence = messages[0][2]
        parts = [netlink.encode(16, flags, sequence, payload) for payload in payloads]
        return [b"".join(parts), netlink.encode(DONE, 0, sequence, struct.pack("=i", -number))]

    return answer


def test_a_dump_collects_all_datagrams(connect: Connect) -> None:
    socket, wire = connect(dump_answer(b"a", b"b"))
    assert socket.dump((18, 0, b"")) == [(16, b"a"), (16, b"b")]
    assert wire.sent[0][0][1] == 0x301


def test_an_interrupted_dump_is_repeated(connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    socket, wire = connect(dump_answer(b"a", flags=INTERRUPTED), dump_answer(b"b"))
    assert socket.dump((18, 0, b"")) == [(16, b"b")]
    assert len(wire.sent) == 2
    assert capsys.readouterr().err == ""


def test_five_interrupted_dumps_are_enough(connect: Connect, capsys: pytest.CaptureFixture[str]) -> None:
    socket, wire = connect(*[dump_answer(b"%d" % turn, flags=INTERRUPTED) for turn in range(6)])
    assert socket.dump((18, 0, b"")) == [(16, b"4")]
    assert len(wire.sent) == 5
    assert capsys.readouterr().err == "netlink dump 18 was interrupted 5 times, its result may be stale\n"


def test_a_dump_may_fail_at_its_end(connect: Connect) -> None:
    socket, _ = connect(dump_answer(b"a", number=EPERM), lambda messages: [error(messages[0][2], EBADF)])
    for number in (EPERM, EBADF):
        with pytest.raises(Refused) as caught:
            socket.dump((18, 0, b""))
        assert caught.value.errno == number


def test_an_abandoned_dump_is_read_to_its_end_first(connect: Connect) -> None:
    def answer(messages: list[tuple[int, int, int, bytes]]) -> list[bytes]:
        assert not wire.queue
        return acknowledge(messages)

    socket, wire = connect(dump_answer(b"old"), answer)
    wire.queue.append((b"", -ENOBUFS, 0))
    with pytest.raises(Refused) as caught:
        socket.dump((18, 0, b""))
    assert caught.value.errno == ENOBUFS
    assert wire.queue
    assert socket.request((1, 0, b"")) == []
    assert not wire.queue


def test_a_cut_answer_is_an_error(connect: Connect) -> None:
    socket, wire = connect(lambda _: [])
    wire.queue.append((b"", 0x20, 0))
    with pytest.raises(Refused, match="larger than 64 KiB"):
        socket.request((18, 0, b""))


def test_a_large_send_makes_room_for_itself(connect: Connect) -> None:
    socket, wire = connect(acknowledge)
    wire.refusals.append(OSError(EMSGSIZE, "Message too long"))
    socket.request((1, 0, bytes(300_000)))
    assert wire.options[-1] == (1, 32, 300_016 + 4096)
    wire.refusals.append(OSError(EBADF, "Bad file descriptor"))
    with pytest.raises(Refused) as caught:
        socket.request((1, 0, b""))
    assert caught.value.errno == EBADF


def test_a_socket_that_cannot_be_set_up_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    monkeypatch.setattr(netlink, "socket", lambda *_: wire)

    def refuse(*_: int) -> None:
        raise OSError(EPERM, "Operation not permitted")

    monkeypatch.setattr(wire, "setsockopt", refuse)
    with pytest.raises(OSError, match="not permitted"):
        NetlinkSocket()
    assert wire.closed
