"""The launcher protocol's frames: encoding and decoding only (docs/launcher-protocol.md).

A frame is a header (magic, version, kind, number of descriptors, length of the body) and a body.  Bodies of calls and
answers are three lengths and what they measure; the others are JSON text or empty.  Everything is big-endian.
"""

from __future__ import annotations

from _operator import methodcaller
from struct import Struct
from typing import NamedTuple

MAGIC = b"PYNT"
VERSION = 2

CALL = 1
ANSWER = 2
NOT_MINE = 3
STATUS = 4
SYNC = 5

MAX_REQUEST = 16 << 20
"""Bytes in a request's body.  A previous result of thousands of routes has some 100 KiB; the launcher runs a larger
call in-process instead of sending it."""

MAX_ANSWER = 64 << 20

MAX_DESCRIPTORS = 3
"""The caller's root directory, its network namespace and, when it could be opened, the container's."""

_HEADER = Struct("!4sBBHI")
_PARTS = Struct("!III")
_WHOLE = Struct("!4sBBHIIII")
HEADER_SIZE = _HEADER.size
_KEY_AND_VALUE = methodcaller("split", "=", 1)

quickly = tuple.__new__
"""quickly(Kind, values): what calling this kind of NamedTuple with the values gives, without a function of Python's in
between, of which each takes some 3 us in an engine that was asleep."""


class ProtocolError(Exception):
    """The peer does not speak this protocol; the connection is of no further use."""


class Header(NamedTuple):
    """A frame's header; `descriptors` counts what came with it, `length` the bytes of body that follow."""

    version: int
    kind: int
    descriptors: int
    length: int


class Call(NamedTuple):
    """One plugin execution: the name it was called by, its whole environment, and its standard input."""

    plugin: str
    environment: dict[str, str]
    stdin: bytes


class Answer(NamedTuple):
    """What an execution leaves behind: exit status (0..255) and the bytes for its two streams."""

    status: int
    stdout: bytes
    stderr: bytes


def frame(kind: int, body: bytes = b"", descriptors: int = 0) -> bytes:
    """A whole frame."""
    return _HEADER.pack(MAGIC, VERSION, kind, descriptors, len(body)) + body


def decode_header(data: bytes) -> Header:
    """The first HEADER_SIZE bytes of a frame.

    The layout of the header is the same in every version, so that a peer of another version can be told so.
    ProtocolError when this is not our protocol or the limits are passed."""
    if len(data) < HEADER_SIZE:
        raise ProtocolError(f"header of {len(data)} bytes")
    magic, version, kind, descriptors, length = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ProtocolError(f"magic {magic!r}")
    if descriptors > MAX_DESCRIPTORS:
        raise ProtocolError(f"{descriptors} descriptors announced")
    if length > (MAX_ANSWER if kind == ANSWER else MAX_REQUEST):
        raise ProtocolError(f"body of {length} bytes announced")
    return Header(version, kind, descriptors, length)


def encode_call(call: Call) -> bytes:
    """A call's body.  Names and values are bytes with surrogate escapes, as `os.environ` has them."""
    name = call.plugin.encode("utf-8", "surrogateescape")
    environment = b"".join(
        f"{key}={value}\0".encode("utf-8", "surrogateescape") for key, value in call.environment.items()
    )
    return b"".join((_PARTS.pack(len(name), len(environment), len(call.stdin)), name, environment, call.stdin))


def decode_call(body: bytes) -> Call:
    """The call in a body; ProtocolError when its lengths do not add up."""
    if len(body) < _PARTS.size:
        raise ProtocolError("call without lengths")
    name, environment, stdin = _PARTS.unpack_from(body)
    if _PARTS.size + name + environment + stdin != len(body):
        raise ProtocolError("call whose lengths do not add up")
    return _call(body, _PARTS.size, name, environment)


def whole_call(data: bytes, descriptors: int) -> Call | None:
    """The call, where the data are the frame of one that came with so many descriptors, and nothing else; None for
    everything that has to be looked at more closely."""
    if len(data) < _WHOLE.size:
        return None
    magic, version, kind, announced, length, name, environment, stdin = _WHOLE.unpack_from(data)
    if magic != MAGIC or version != VERSION or kind != CALL or announced != descriptors:
        return None
    if HEADER_SIZE + length != len(data) or _WHOLE.size + name + environment + stdin != len(data):
        return None
    return _call(data, _WHOLE.size, name, environment)


def _call(data: bytes, start: int, name: int, environment: int) -> Call:
    """Of a variable given twice the first counts, as with getenv(3); entries without `=` are dropped."""
    middle = start + name
    end = middle + environment
    entries = data[middle:end].decode("utf-8", "surrogateescape").split("\0")
    if not entries[-1]:  # behind the last one's end
        entries.pop()
    entries.reverse()  # of equal keys a dictionary keeps the last
    try:
        variables: dict[str, str] = dict(map(_KEY_AND_VALUE, entries))
    except ValueError:
        variables = dict(map(_KEY_AND_VALUE, [entry for entry in entries if "=" in entry]))
    return quickly(Call, (data[start:middle].decode("utf-8", "surrogateescape"), variables, data[end:]))


def encode_answer(answer: Answer) -> bytes:
    """An answer's body."""
    return answer_frame(*answer)[_HEADER.size :]


def answer_frame(status: int, stdout: bytes, stderr: bytes) -> bytes:
    """A whole frame with an answer."""
    printed, warned = len(stdout), len(stderr)
    head = _WHOLE.pack(MAGIC, VERSION, ANSWER, 0, _PARTS.size + printed + warned, status, printed, warned)
    return b"".join((head, stdout, stderr))


def decode_answer(body: bytes) -> Answer:
    """The answer in a body; ProtocolError when its lengths do not add up."""
    if len(body) < _PARTS.size:
        raise ProtocolError("answer without lengths")
    status, stdout, stderr = _PARTS.unpack_from(body)
    if _PARTS.size + stdout + stderr != len(body):
        raise ProtocolError("answer whose lengths do not add up")
    if status > 255:
        raise ProtocolError(f"exit status {status}")
    end = _PARTS.size + stdout
    return Answer(status, body[_PARTS.size : end], body[end:])
