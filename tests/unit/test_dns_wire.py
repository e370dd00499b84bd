"""DNS messages, with dnspython as the oracle."""

from __future__ import annotations

import struct

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from dns_town import query
from hypothesis import given
from hypothesis import strategies as st

from netd.dns import wire

labels = st.binary(min_size=1, max_size=63)
names = st.lists(labels, max_size=8).filter(lambda parts: sum(map(len, parts)) + len(parts) < 255)


@given(names, st.sampled_from(["A", "AAAA", "PTR", "MX", "HTTPS"]), st.one_of(st.none(), st.integers(0, 65535)))
def test_a_question_is_read_as_dnspython_wrote_it(parts: list[bytes], kind: str, payload: int | None) -> None:
    edns = {} if payload is None else {"use_edns": 0, "payload": payload}
    message = dns.message.make_query(dns.name.Name([*parts, b""]), kind, **edns).to_wire()  # type: ignore[arg-type]
    question = wire.read_question(message)
    assert question.labels == tuple(part.lower() for part in parts)
    assert (question.kind, question.kind_class) == (dns.rdatatype.from_text(kind), wire.IN)
    assert question.limit == min(max(payload or 0, 512), wire.MAX_UDP)
    if payload is None:
        assert question.end == len(message)


@given(st.binary(max_size=600))
def test_any_bytes_give_a_question_or_malformed(message: bytes) -> None:
    try:
        question = wire.read_question(message)
    except wire.Malformed as malformed:
        if malformed.reply is not None:
            assert malformed.reply[:2] == message[:2]
            assert len(malformed.reply) == 12
            assert dns.message.from_wire(malformed.reply).rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP)
        return
    assert 12 < question.end <= len(message)
    assert question.name


@given(st.data())
def test_a_damaged_query_gives_a_question_or_malformed(data: st.DataObject) -> None:
    message = bytearray(query("web.mynet", "A", use_edns=0))
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(message[: data.draw(st.integers(0, len(message)))])
    try:
        question = wire.read_question(cut)
    except wire.Malformed:
        return
    assert question.end <= len(cut)
    assert sum(map(len, question.labels)) + len(question.labels) < 255


def header(flags: int = 0x0100, questions: int = 1, others: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    return struct.pack("!6H", 7, flags, questions, *others)


WEB = b"\x03web\0\0\1\0\1"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", None),
        (b"\0" * 11, None),
        (header(0x8000) + WEB, None),
        (header(0x2900) + WEB, wire.NOTIMP),
        (header(questions=0), wire.FORMERR),
        (header(questions=2) + WEB + WEB, wire.FORMERR),
        (header() + WEB[:-1], wire.FORMERR),
        (header() + b"\xc0\x0c\0\1\0\1", wire.FORMERR),
        (header() + b"\x41" + b"a" * 65 + b"\0\0\1\0\1", wire.FORMERR),
        (header() + b"\x01a" * 128 + b"\0\0\1\0\1", wire.FORMERR),
        (header(others=(0, 0, 1)) + WEB, wire.FORMERR),
        (header(others=(0, 0, 0xFFFF)) + WEB, wire.FORMERR),
        (header(others=(0, 0, 1)) + WEB + b"\0\0\x29\x10\0\0\0\0\0\xff\xff", wire.FORMERR),
    ],
)
def test_what_is_refused_and_what_is_not_even_answered(message: bytes, code: int | None) -> None:
    with pytest.raises(wire.Malformed) as caught:
        wire.read_question(message)
    reply = caught.value.reply
    assert (None if reply is None else wire.code_of(reply)) == code


@given(
    st.sampled_from([("A", 4), ("AAAA", 16)]), st.integers(0, 200), st.integers(512, 5000), st.booleans(), st.booleans()
)
def test_replies_are_what_dnspython_reads(
    kind: tuple[str, int], count: int, limit: int, recursion: bool, edns: bool
) -> None:
    message = query("Web.MyNet", kind[0], use_edns=0 if edns else False, flags=dns.flags.RD if recursion else 0)
    question = wire.read_question(message)
    rdata = [number.to_bytes(kind[1], "big") for number in range(count)]
    reply = wire.reply(message, question, rdata, 5, limit)
    parsed = dns.message.from_wire(reply)
    assert dns.message.from_wire(message).is_response(parsed)
    assert parsed.question[0].name.to_text() == "Web.MyNet."
    assert bool(parsed.flags & dns.flags.RD) is recursion
    assert parsed.flags & dns.flags.RA
    assert not parsed.flags & dns.flags.AA
    assert parsed.edns == -1
    held = [item for rrset in parsed.answer for item in rrset]
    assert len(reply) <= limit
    assert bool(parsed.flags & dns.flags.TC) is (len(held) < count)
    if held:
        assert parsed.answer[0].ttl == 5
        size = len(reply) - question.end
        assert len(held) == count or len(reply) + size // len(held) > limit


def test_thirty_addresses_fit_the_smallest_datagram() -> None:
    """Contract docker 2.2: 40 A records, 30 fit in 512 bytes."""
    message = query("a.b")
    rdata = [bytes(4)] * 40
    reply = wire.reply(message, wire.read_question(message), rdata, 600, 512)
    assert int.from_bytes(reply[6:8], "big") == 30
    assert reply[2] & 0x02


@given(st.sampled_from([wire.SERVFAIL, wire.REFUSED, wire.FORMERR]))
def test_errors_repeat_the_question_and_offer_no_recursion(code: int) -> None:
    message = query("web", "A", use_edns=0)
    parsed = dns.message.from_wire(wire.error_reply(message, wire.read_question(message), code))
    assert parsed.rcode() == code
    assert not parsed.flags & dns.flags.RA
    assert parsed.question == dns.message.from_wire(message).question


@given(st.text("abcXYZ-_.", min_size=1, max_size=300))
def test_names_are_encoded_as_dnspython_does_or_refused(name: str) -> None:
    try:
        expected = dns.name.from_text(name).to_wire()
    except dns.exception.DNSException:
        expected = None
    if expected is None or expected == b"\0":
        with pytest.raises(ValueError, match="domain name"):
            wire.encode_name(name)
    else:
        assert wire.encode_name(name) == expected


def test_an_answer_is_told_from_others() -> None:
    message = query("web.example")
    question = wire.read_question(message)
    answer = dns.message.make_response(dns.message.from_wire(message)).to_wire()
    other = dns.message.make_response(dns.message.from_wire(query("web.example", id=1))).to_wire()
    stranger = dns.message.make_response(dns.message.from_wire(query("xeb.example"))).to_wire()
    assert wire.is_answer_to(answer, message, question)
    assert wire.is_answer_to(answer.replace(b"web", b"WEB"), message, question)
    assert not wire.is_answer_to(message[:2] + other[2:3] + message[3:], query("other"), question)
    assert not wire.is_answer_to(message, message, question)
    assert not wire.is_answer_to(message[:2] + stranger[2:], message, question)
    assert not wire.is_answer_to(answer[:11], message, question)
    bare = wire.error_reply(message, question, wire.SERVFAIL)[:4] + bytes(8)
    assert wire.is_answer_to(bare, message, question)
    assert not wire.is_answer_to(bare[:3] + b"\0" + bare[4:], message, question)


def test_names_for_people() -> None:
    assert wire.read_question(query("Web.MyNet")).name == "web.mynet"
    assert wire.read_question(query(".")).name == "."
    odd = wire.read_question(header() + b"\x05a.b\x00\xff\0\0\1\0\1")
    assert odd.name == "a\\046b\\000\\255"
