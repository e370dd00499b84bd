"""The launcher protocol's codec: what is encoded comes back, and nothing but ProtocolError comes of anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.engine import protocol
from netd.engine.protocol import Answer, Call, ProtocolError

names = st.text(st.characters(codec="utf-8", exclude_characters="\0="), max_size=20)
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
calls = st.builds(Call, values, st.dictionaries(names, values, max_size=8), st.binary(max_size=200))
answers = st.builds(Answer, st.integers(0, 255), st.binary(max_size=200), st.binary(max_size=200))


@given(calls)
def test_a_call_survives_the_wire(call: Call) -> None:
    assert protocol.decode_call(protocol.encode_call(call)) == call


@given(calls, st.integers(0, protocol.MAX_DESCRIPTORS))
def test_a_whole_frame_is_taken_at_once(call: Call, descriptors: int) -> None:
    frame = protocol.frame(protocol.CALL, protocol.encode_call(call), descriptors)
    assert protocol.whole_call(frame, descriptors) == call


@given(calls, st.integers(0, 30), st.integers(0, 255))
def test_what_is_taken_at_once_could_be_taken_apart(call: Call, at: int, byte: int) -> None:
    frame = bytearray(protocol.frame(protocol.CALL, protocol.encode_call(call), 3))
    frame[at % len(frame)] = byte
    for data in (bytes(frame), bytes(frame[:-1]), bytes(frame) + b"x"):
        found = protocol.whole_call(data, 3)
        if found is not None:
            header = protocol.decode_header(data)
            assert header == (protocol.VERSION, protocol.CALL, 3, len(data) - protocol.HEADER_SIZE)
            assert protocol.decode_call(data[protocol.HEADER_SIZE :]) == found


@given(answers)
def test_an_answer_survives_the_wire(answer: Answer) -> None:
    assert protocol.decode_answer(protocol.encode_answer(answer)) == answer


@given(st.integers(0, 255), st.binary(max_size=100), st.integers(0, protocol.MAX_DESCRIPTORS))
def test_a_header_tells_what_follows(kind: int, body: bytes, descriptors: int) -> None:
    frame = protocol.frame(kind, body, descriptors)
    header = protocol.decode_header(frame)
    assert header == (protocol.VERSION, kind, descriptors, len(body))
    assert frame[protocol.HEADER_SIZE :] == body


@given(st.binary(max_size=64))
def test_hostile_bytes_are_protocol_errors(data: bytes) -> None:
    for decode in (protocol.decode_header, protocol.decode_call, protocol.decode_answer):
        try:
            decode(data)
        except ProtocolError:
            continue
        assert len(data) >= protocol.HEADER_SIZE


@given(calls, st.integers(1, 12))
def test_a_call_with_a_wrong_length_is_refused(call: Call, excess: int) -> None:
    body = protocol.encode_call(call)
    for wrong in (body + bytes(excess), body[:-excess]):
        with pytest.raises(ProtocolError):
            protocol.decode_call(wrong)


def test_the_first_of_two_equal_variables_counts() -> None:
    body = protocol.encode_call(Call("p", {"A": "1"}, b""))
    twice = body[:7] + b"\x08" + body[8:] + b"A=2\0"
    assert protocol.decode_call(twice).environment == {"A": "1"}
    odd = body[:7] + b"\x06" + body[8:] + b"B\0"
    assert protocol.decode_call(odd).environment == {"A": "1"}, "an entry without a value"


def test_bytes_that_are_no_text_survive() -> None:
    call = Call("p", {"A": "\udcff"}, b"\xff")
    assert b"A=\xff\0" in protocol.encode_call(call)
    assert protocol.decode_call(protocol.encode_call(call)) == call


@pytest.mark.parametrize(
    "header",
    [
        b"HTTP/1.1 200",
        b"PYNT\1\1\0\4\0\0\0\0",
        b"PYNT\1\1\0\0\1\0\0\1",
        b"PYNT\1\2\0\0\4\0\0\1",
        b"PYNT\1\1\0\0\0\0\0",
    ],
)
def test_headers_beyond_the_limits_are_refused(header: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_header(header)


def test_an_exit_status_no_process_can_have_is_refused() -> None:
    body = protocol.encode_answer(Answer(256, b"", b""))
    with pytest.raises(ProtocolError):
        protocol.decode_answer(body)
