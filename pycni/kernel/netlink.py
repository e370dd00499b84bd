"""Netlink: messages and attributes as bytes, and a socket that never mixes up answers.

A message is a tuple `(kind, flags, payload)`: NLMSG type, NLM_F_* flags besides REQUEST and ACK (the socket adds
those), and everything after the header.  Builders join attributes with `+`; readers get dictionaries of bytes.  The
kernel answers a request while sendto(2) runs, so answers are read without waiting and a lost one cannot hang a caller.
"""

from __future__ import annotations

import sys
from _socket import SOCK_CLOEXEC, SOCK_RAW, socket
from errno import EMSGSIZE, ENOBUFS, EPROTO
from struct import Struct

from pycni.kernel.failure import errno_text
from pycni.spec.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

Message = tuple[int, int, bytes]
"""(kind, flags, payload) of a message to send."""

Reply = tuple[int, bytes]
"""(kind, payload) of a message received."""

AF_NETLINK = 16
NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_ECHO = 0x8
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_NLMSG_NOOP = 1
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_SOL_SOCKET = 1
_SO_SNDBUFFORCE = 32

_MSG_TRUNC = 0x20
_MSG_DONTWAIT = 0x40
_RECEIVE_SIZE = 65536
"""The kernel fills at most 32 KiB per dump datagram, and adapts to the reader's size."""

_DUMP_TRIES = 5
"""Contract 2.0.9."""

_SEQUENCE_MASK = 0xFFFFFFFF

_HEADER = Struct("=IHHII")
_ATTRIBUTE = Struct("=HH")
_U8 = Struct("=HHB3x")
_U16 = Struct("=HHH2x")
_U32 = Struct("=HHI")
_ERRNO = Struct("=i")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class Refused(KernelError):
    """The kernel's answer to the message at `position` of a send.  `details` is its extended acknowledgement."""

    def __init__(self, number: int, position: int = 0, details: str = "") -> None:
        super().__init__(errno_text(number), number, details)
        self.position = position


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute: header, payload, padding to four bytes."""
    size = len(payload)
    return _ATTRIBUTE.pack(size + 4, kind) + payload + _PADDING[size & 3]


def attribute_u8(kind: int, value: int) -> bytes:
    return _U8.pack(5, kind, value)


def attribute_u16(kind: int, value: int) -> bytes:
    """Host byte order."""
    return _U16.pack(6, kind, value)


def attribute_u32(kind: int, value: int) -> bytes:
    """Host byte order."""
    return _U32.pack(8, kind, value)


def attribute_be16(kind: int, value: int) -> bytes:
    """Network byte order, as netfilter wants it."""
    return attribute(kind, value.to_bytes(2, "big"))


def attribute_be32(kind: int, value: int) -> bytes:
    """Network byte order, as netfilter wants it."""
    return attribute(kind, value.to_bytes(4, "big"))


def attribute_be64(kind: int, value: int) -> bytes:
    """Network byte order, as netfilter wants it."""
    return attribute(kind, value.to_bytes(8, "big"))


def attribute_text(kind: int, text: str) -> bytes:
    """A zero-terminated string."""
    return attribute(kind, text.encode() + b"\0")


def nested(kind: int, *children: bytes) -> bytes:
    """An attribute that holds encoded attributes, marked as nested."""
    payload = b"".join(children)
    return _ATTRIBUTE.pack(len(payload) + 4, kind | NLA_F_NESTED) + payload


def attribute_list(data: bytes, offset: int = 0) -> list[tuple[int, bytes]]:
    """The attributes from `offset` on, in order, flags of their kinds removed; a malformed rest is left out."""
    found = []
    end = len(data)
    while offset + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            break
        found.append((kind & NLA_TYPE_MASK, data[offset + 4 : offset + size]))
        offset += (size + 3) & ~3
    return found


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from `offset` on by kind; of several of one kind the last."""
    return dict(attribute_list(data, offset))


def text(payload: bytes) -> str:
    """A string attribute's value, without its terminator."""
    return payload.partition(b"\0")[0].decode(errors="replace")


def u32(payload: bytes) -> int:
    """An integer attribute's value in host byte order, of whatever width it came."""
    return int.from_bytes(payload, sys.byteorder)


def encode(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One whole message, padded to four bytes."""
    size = len(payload)
    return _HEADER.pack(size + 16, kind, flags, sequence, 0) + payload + _PADDING[size & 3]


def decode(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(kind, flags, sequence, payload) of each message in a datagram; a malformed rest is left out."""
    offset = 0
    end = len(data)
    while offset + 16 <= end:
        size, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if size < 16 or offset + size > end:
            return
        yield kind, flags, sequence, data[offset + 16 : offset + size]
        offset += (size + 3) & ~3


class NetlinkSocket:
    """A netlink socket of the namespace the opening thread is in, for its whole life.  One thread at a time uses it.

    Failures of the kernel are Refused; OSError when the socket itself cannot be opened.
    """

    __slots__ = ("_dumping", "_sequence", "_socket")

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
        self._sequence = 0
        self._dumping = False
        try:
            for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK, _NETLINK_GET_STRICT_CHK):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            self._socket.bind((0, 0))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def option(self, level: int, name: int, size: int) -> bytes:
        """getsockopt(2); OSError when the kernel does not know the option."""
        return self._socket.getsockopt(level, name, size)

    def request(self, message: Message) -> list[Reply]:
        """Sends one message and waits for its acknowledgement; what came before it (an object asked for, an echo)."""
        return self.batch((message,))

    def batch(self, messages: Sequence[Message], acknowledged: int = -1) -> list[Reply]:
        """Sends all messages in one datagram and acknowledges only the one at index `acknowledged`.

        rtnetlink carries out each message on its own, whatever happened to the ones before; the first failure is
        raised as Refused with the message's position.  In an nfnetlink batch acknowledge the last message before
        NFNL_MSG_BATCH_END, and nothing of it holds after a failure.
        """
        count = len(messages)
        last = acknowledged % count
        first = self._reserve(count)
        parts = []
        for position, (kind, flags, payload) in enumerate(messages):
            flags |= NLM_F_REQUEST | NLM_F_ACK if position == last else NLM_F_REQUEST
            parts.append(encode(kind, flags, first + position & _SEQUENCE_MASK, payload))
        self._send(b"".join(parts))
        return self._answers(first, count, last)

    def dump(self, message: Message) -> list[Reply]:
        """All objects a dump request selects.

        A dump that the kernel marks as interrupted by a change is repeated, five times in all; then the possibly
        inconsistent result is used and a line is written to standard error (contract 2.0.9).
        """
        replies: list[Reply] = []
        for _ in range(_DUMP_TRIES):
            replies, interrupted = self._dump_once(message)
            if not interrupted:
                return replies
        sys.stderr.write(f"netlink dump {message[0]} was interrupted {_DUMP_TRIES} times, its result may be stale\n")
        return replies

    def _dump_once(self, message: Message) -> tuple[list[Reply], bool]:
        kind, flags, payload = message
        sequence = self._reserve(1)
        self._send(encode(kind, flags | NLM_F_REQUEST | NLM_F_DUMP, sequence, payload))
        self._dumping = True
        replies: list[Reply] = []
        interrupted = False
        while True:
            data = self._receive()
            if data is None:
                self._dumping = False
                raise Refused(EPROTO, 0, "the dump has no end")
            for kind, flags, answered, payload in decode(data):
                if answered != sequence:
                    continue
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    self._dumping = False
                    failure = _failure(kind, flags, payload, 0)
                    if failure is not None:
                        raise failure
                    return replies, interrupted
                replies.append((kind, payload))

    def _answers(self, first: int, count: int, last: int) -> list[Reply]:
        replies: list[Reply] = []
        failure: Refused | None = None
        complete = False
        while not complete:
            data = self._receive()
            if data is None:
                # a refused nfnetlink batch is reported on its first message, and the last one is never reached
                raise failure or Refused(EPROTO, last, "the kernel did not answer")
            for kind, flags, sequence, payload in decode(data):
                position = sequence - first & _SEQUENCE_MASK
                if position >= count:
                    continue
                if kind == _NLMSG_ERROR:
                    failure = failure or _failure(kind, flags, payload, position)
                    complete = complete or position == last
                elif kind not in (_NLMSG_NOOP, _NLMSG_DONE):
                    replies.append((kind, payload))
        if failure is not None:
            raise failure
        return replies

    def _reserve(self, count: int) -> int:
        """The first of `count` fresh sequence numbers: an answer to an abandoned call never carries one of them."""
        first = self._sequence + 1 & _SEQUENCE_MASK
        self._sequence = self._sequence + count & _SEQUENCE_MASK
        return first

    def _send(self, data: bytes) -> None:
        if self._dumping:
            # the kernel runs one dump a socket, and an abandoned one goes on only while someone reads
            while self._receive() is not None:
                pass
            self._dumping = False
        try:
            self._socket.sendto(data, (0, 0))
        except OSError as error:
            if error.errno != EMSGSIZE:
                raise Refused(error.errno or EPROTO) from error
            self._socket.setsockopt(_SOL_SOCKET, _SO_SNDBUFFORCE, len(data) + 4096)
            self._socket.sendto(data, (0, 0))

    def _receive(self) -> bytes | None:
        """The next datagram of the kernel, None when none is left."""
        while True:
            try:
                data, _, flags, sender = self._socket.recvmsg(_RECEIVE_SIZE, 0, _MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError as error:
                raise Refused(error.errno or EPROTO) from error
            if flags & _MSG_TRUNC:
                raise Refused(ENOBUFS, 0, "an answer is larger than 64 KiB")
            if sender[0] == 0:
                return data


def _failure(kind: int, flags: int, payload: bytes, position: int) -> Refused | None:
    """The error an NLMSG_ERROR or NLMSG_DONE message carries, None when it reports success."""
    if len(payload) < 4:
        return None
    number = -_ERRNO.unpack_from(payload)[0]
    if number <= 0:
        return None
    details = ""
    if flags & _NLM_F_ACK_TLVS:
        offset = 4
        if kind == _NLMSG_ERROR:
            original = _HEADER.unpack_from(payload, 4)[0] if not flags & _NLM_F_CAPPED else 16
            offset += (original + 3) & ~3
        details = text(attributes(payload, offset).get(_NLMSGERR_ATTR_MSG, b""))
    return Refused(number, position, details)
