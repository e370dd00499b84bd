"""DHCP's messages, names, frames: what is written is read, and nothing that comes in can do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.dhcp import domains, frames, messages4, messages6
from netd.dhcp.messages4 import Message

octets4 = st.binary(min_size=4, max_size=4)
options4 = st.dictionaries(
    st.integers(1, 254).filter(lambda code: code not in (messages4.OVERLOAD, messages4.TYPE)),
    st.binary(max_size=600),
    max_size=5,
)


@given(
    st.booleans(),
    st.integers(0, (1 << 32) - 1),
    st.binary(min_size=6, max_size=6),
    options4,
    st.integers(1, 8),
    st.integers(0, 0xFFFF),
    st.booleans(),
    octets4,
    octets4,
)
def test_dhcpv4_is_read_as_written(
    answer: bool, xid: int, mac: bytes, options: dict[int, bytes], kind: int, secs: int, cast: bool, a: bytes, b: bytes
) -> None:
    message = Message(answer, xid, mac, {**options, messages4.TYPE: bytes((kind,))}, secs, cast, a, b)
    data = messages4.encode(message)
    assert messages4.decode(data) == message
    assert messages4.decode(data).type == kind
    assert len(data) >= 300 and data[240] == messages4.TYPE


@given(st.binary(max_size=400))
def test_dhcpv4_garbage_is_refused(data: bytes) -> None:
    try:
        messages4.decode(data)
    except messages4.Malformed:
        return


@given(st.binary(max_size=300))
def test_dhcpv4_options_of_garbage_are_read_or_refused(tail: bytes) -> None:
    head = messages4.encode(Message(True, 1, bytes(6), {}))[:240]
    try:
        messages4.decode(head + tail)
    except messages4.Malformed:
        return


def test_options_go_on_in_the_fields_of_boot_files() -> None:
    data = bytearray(messages4.encode(Message(True, 1, bytes(6), {messages4.TYPE: b"\5", messages4.OVERLOAD: b"\3"})))
    data[108:114] = bytes((3, 4, 10, 0, 0, 1))  # file
    data[44:50] = bytes((6, 4, 10, 0, 0, 2))  # sname
    found = messages4.decode(bytes(data)).options
    assert found == {messages4.TYPE: b"\5", 3: b"\x0a\0\0\1", 6: b"\x0a\0\0\2"}


codes6 = st.integers(1, 300).filter(lambda code: code != messages6.IA_NA)
assigned = st.builds(
    lambda address, a, b: messages6.Assigned(address, min(a, b), max(a, b)),
    st.binary(min_size=16, max_size=16),
    st.integers(0, messages6.INFINITE),
    st.integers(0, messages6.INFINITE),
)
associations = st.builds(
    messages6.Association,
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 32) - 1),
    st.lists(assigned, max_size=2).map(tuple),
    st.integers(0, 6),
)


@given(
    st.integers(1, 9),
    st.integers(0, (1 << 24) - 1),
    st.lists(st.tuples(codes6, st.binary(max_size=50)), max_size=4).map(tuple),
    st.lists(associations, max_size=2).map(tuple),
)
def test_dhcpv6_is_read_as_written(
    kind: int, xid: int, options: tuple[tuple[int, bytes], ...], found: tuple[messages6.Association, ...]
) -> None:
    message = messages6.Message(kind, xid, options, found)
    assert messages6.decode(messages6.encode(message)) == message


@given(st.binary(max_size=200))
def test_dhcpv6_garbage_is_refused(data: bytes) -> None:
    try:
        messages6.decode(b"\7" + data)
    except messages6.Malformed:
        return


def test_an_address_preferred_beyond_its_life_is_void() -> None:
    wrong = messages6.Assigned(bytes(16), 20, 10)
    message = messages6.Message(messages6.REPLY, 1, (), (messages6.Association(1, addresses=(wrong,)),))
    assert messages6.decode(messages6.encode(message)).associations[0].addresses == ()


# --- names -----------------------------------------------------------------------------------------------------------


def wire(*names: str) -> bytes:
    return b"".join(b"".join(bytes((len(each),)) + each.encode() for each in name.split(".")) + b"\0" for name in names)


labels = st.text("abcxyz0-_", min_size=1, max_size=20)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)


@given(st.lists(names, max_size=4))
def test_names_are_read(wanted: list[str]) -> None:
    assert domains.decode(wire(*wanted)) == tuple(wanted)


def test_names_may_point_back() -> None:
    # RFC 3397 section 2's example of compression
    data = wire("eng.apple.com") + b"\x09marketing\xc0\x04"
    assert domains.decode(data) == ("eng.apple.com", "marketing.apple.com")


@pytest.mark.parametrize(
    "data",
    [b"\x03ab", b"\xc0\x00", b"\x01a\xc0\x02", b"\xc0", b"\x40a\0", b"\x03a b\0", b"\x01\n\0", b"\x3f" + b"a" * 9],
)
def test_what_is_no_name_is_refused(data: bytes) -> None:
    with pytest.raises(domains.Malformed):
        domains.decode(data)


@given(st.binary(max_size=100))
def test_garbage_ends(data: bytes) -> None:
    try:
        for name in domains.decode(data):
            assert name.isascii() and not any(char.isspace() for char in name)
    except domains.Malformed:
        return


# --- frames ----------------------------------------------------------------------------------------------------------


def answer(payload: bytes, source: bytes, target: bytes) -> bytes:
    """A packet of a server: ours with the ports exchanged, which no sum notices."""
    packet = bytearray(frames.wrap(payload, source, target))
    packet[20:24] = packet[22:24] + packet[20:22]
    return bytes(packet)


@given(st.binary(max_size=600), octets4, octets4)
def test_packets_are_read_as_written(payload: bytes, source: bytes, target: bytes) -> None:
    packet = answer(payload, source, target)
    assert frames.unwrap(packet) == payload
    assert frames.unwrap(packet + bytes(18)) == payload  # Ethernet's padding
    assert frames.unwrap(frames.wrap(payload, source, target)) is None  # to a server


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_flipped_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    packet = bytearray(answer(payload, b"\x0a\0\0\1", b"\xff" * 4))
    at = data.draw(st.integers(0, len(packet) - 1))
    packet[at] ^= 1 << data.draw(st.integers(0, 7))
    assert frames.unwrap(bytes(packet)) != payload or at in (26, 27)


def test_a_sum_left_to_hardware_is_not_looked_at() -> None:
    packet = bytearray(answer(b"hello", b"\x0a\0\0\1", b"\xff" * 4))
    packet[26] ^= 0xFF
    assert frames.unwrap(bytes(packet)) is None
    assert frames.unwrap(bytes(packet), checked=False) == b"hello"


@given(st.binary(max_size=80))
def test_any_packet_is_read_or_left(packet: bytes) -> None:
    assert frames.unwrap(packet) is None or len(packet) >= 28


@given(st.binary(max_size=101))
def test_the_checksum_makes_the_sum_whole(data: bytes) -> None:
    padded = data + bytes(len(data) % 2)
    assert frames.checksum(padded + frames.checksum(data).to_bytes(2, "big")) == 0
