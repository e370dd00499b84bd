"""DNS messages as bytes: a question read, answers built; pure (RFC 1035 section 4, RFC 6891 section 6).

Only what a server of A, AAAA and PTR records needs.  Input is a stranger's: every length is checked, and a message
takes time in proportion to its size, which is at most 64 KiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from struct import error as _StructError  # noqa: N812  # a class under a lower-case name

from pycni.record import Record

A = 1
PTR = 12
MX = 15
AAAA = 28
IN = 1

NOERROR = 0
FORMERR = 1
SERVFAIL = 2
NXDOMAIN = 3
NOTIMP = 4
REFUSED = 5

MIN_UDP = 512
"""What every client of UDP takes (RFC 1035 4.2.1); an EDNS client says how much more."""

MAX_UDP = 65507
"""The payload of the largest IPv4 datagram."""

HEADER_SIZE = 12
MAX_NAME = 255
MAX_LABEL = 63

_QR = 0x8000
_OPCODE = 0x7800
_TC = 0x0200
_RD = 0x0100
_RA = 0x0080
_RCODE = 0x000F
_OPT = 41
_POINTER = 0xC0
_TO_QUESTION = b"\xc0\x0c"
"""A pointer to the name at offset 12, the question's."""

_HEADER = Struct("!6H")
_TWO = Struct("!HH")
_RECORD = Struct("!HHIH")


class Malformed(Exception):
    """No question can be read.  `reply` is what to answer, None when silence is right (an answer, or not even a
    header)."""

    def __init__(self, reason: str, reply: bytes | None = None) -> None:
        super().__init__(reason)
        self.reply = reply


class Question(Record):
    """A query's question.  `labels` are in lower case, without the root; `end` is the offset behind the question;
    `limit` the bytes a UDP answer may have."""

    labels: tuple[bytes, ...]
    kind: int
    kind_class: int
    end: int
    limit: int

    @property
    def name(self) -> str:
        """For people: labels joined by dots, odd bytes escaped as in RFC 1035 5.1."""
        return ".".join(_printable(label) for label in self.labels) or "."


def _printable(label: bytes) -> str:
    return "".join(chr(byte) if 33 <= byte <= 126 and byte not in b'.\\"' else f"\\{byte:03d}" for byte in label)


def read_question(message: bytes) -> Question:
    """The question of a query; Malformed."""
    if len(message) < HEADER_SIZE:
        raise Malformed("shorter than a header")
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(message)
    if flags & _QR:
        raise Malformed("an answer, not a query")
    if flags & _OPCODE:
        raise Malformed("not a standard query", _bare(message, NOTIMP))
    if questions != 1:
        raise Malformed(f"{questions} questions", _bare(message, FORMERR))
    try:
        labels, end = _read_name(message, HEADER_SIZE)
        kind, kind_class = _TWO.unpack_from(message, end)
        end += 4
        limit = _limit(message, end, answers + authorities, additionals)
    except (IndexError, ValueError, OverflowError, _StructError) as error:
        raise Malformed(f"question: {error}", _bare(message, FORMERR)) from None
    return Question(labels, kind, kind_class, end, limit)


def _read_name(message: bytes, offset: int) -> tuple[tuple[bytes, ...], int]:
    """A name that is not compressed: in a query nothing stands before the question to point at."""
    labels = []
    start = offset
    while size := message[offset]:
        if size > MAX_LABEL:
            raise ValueError("compressed or unknown label")
        label = message[offset + 1 : offset + 1 + size]
        if len(label) < size:
            raise ValueError("name cut short")
        labels.append(label.lower())
        offset += size + 1
        if offset - start >= MAX_NAME:
            raise ValueError("name too long")
    return tuple(labels), offset + 1


def _limit(message: bytes, offset: int, others: int, additionals: int) -> int:
    """The size a UDP answer may have: the OPT record's when there is one."""
    for number in range(others + additionals):
        offset = _skip_name(message, offset)
        kind, size, _ttl, length = _RECORD.unpack_from(message, offset)
        room: int = size
        offset += 10 + length
        if offset > len(message):
            raise ValueError("record cut short")
        if kind == _OPT and number >= others:
            return min(max(room, MIN_UDP), MAX_UDP)
    return MIN_UDP


def _skip_name(message: bytes, offset: int) -> int:
    while size := message[offset]:
        if size & _POINTER:
            return offset + 2
        offset += size + 1
    return offset + 1


def _bare(message: bytes, code: int) -> bytes:
    """An error without a question; RA is clear, as nothing was looked up."""
    kept = int.from_bytes(message[2:4], "big") & (_OPCODE | _RD)
    return message[:2] + (_QR | kept | code).to_bytes(2, "big") + bytes(8)


def error_reply(message: bytes, question: Question, code: int) -> bytes:
    """An error with the question repeated; RA is clear (contract docker 2.3)."""
    flags = _QR | (int.from_bytes(message[2:4], "big") & _RD) | code
    return message[:2] + _HEADER.pack(0, flags, 1, 0, 0, 0)[2:] + message[HEADER_SIZE : question.end]


def reply(message: bytes, question: Question, rdata: Sequence[bytes], ttl: int, limit: int) -> bytes:
    """NOERROR with one record for each `rdata`, of the question's kind; those that do not fit `limit` bytes are left
    out and TC says so (RFC 2181 section 9: a client asks again over TCP)."""
    flags = _QR | (int.from_bytes(message[2:4], "big") & _RD) | _RA
    parts: list[bytes] = []
    size = question.end
    for data in rdata:
        size += len(_TO_QUESTION) + 10 + len(data)
        if size > limit or len(parts) == 0xFFFF:
            flags |= _TC
            break
        parts.append(_TO_QUESTION + _RECORD.pack(question.kind, IN, ttl, len(data)) + data)
    head = message[:2] + _HEADER.pack(0, flags, 1, len(parts), 0, 0)[2:]
    return head + message[HEADER_SIZE : question.end] + b"".join(parts)


def encode_name(name: str) -> bytes:
    """A name's labels in wire form, case kept; ValueError when it is empty, has an empty label or is too long."""
    encoded = b""
    for label in name.removesuffix(".").split("."):
        raw = label.encode()
        if not 0 < len(raw) <= MAX_LABEL:
            raise ValueError(f"{name!r} is no domain name")
        encoded += bytes((len(raw),)) + raw
    if len(encoded) >= MAX_NAME:
        raise ValueError(f"{name!r} is longer than a domain name may be")
    return encoded + b"\0"


def code_of(message: bytes) -> int:
    """The response code in a header."""
    return message[3] & _RCODE


def is_answer_to(message: bytes, query: bytes, question: Question) -> bool:
    """Whether a server's message answers this query: same id, an answer, and the same question, letter case aside.
    Servers may leave the question out of an error."""
    if len(message) < HEADER_SIZE or message[:2] != query[:2] or not message[2] & 0x80:
        return False
    if message[4:6] == b"\0\0":
        return code_of(message) != NOERROR
    asked = query[HEADER_SIZE : question.end]
    return message[HEADER_SIZE : question.end].lower() == asked.lower()
