"""One connection of a launcher: who is calling, its request with the descriptors, and the answer.  Blocking sockets."""

from __future__ import annotations

import os
import time
from _socket import (
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    SCM_RIGHTS,
    SO_PEERCRED,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SOL_SOCKET,
    socket,
)
from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple

from netd.engine.protocol import HEADER_SIZE, MAX_DESCRIPTORS, Header, ProtocolError, decode_header
from pycni.kernel.netns import identity, is_network_namespace

REQUEST_SECONDS = 5
"""A launcher has everything in memory before it connects; whoever takes longer keeps a worker from others' calls."""

ANSWER_SECONDS = 5

AT_ONCE = 16384
"""Bytes; what nearly every request fits into."""
_TIMEOUT = Struct("@ll")
_CREDENTIALS = Struct("=iII")
_DESCRIPTORS = (Struct("@"), Struct("@i"), Struct("@ii"), Struct("@iii"))
# room for exactly as many descriptors as the protocol has: the kernel then reports (MSG_CTRUNC) any further one
_CONTROL_HEADER = Struct("@Nii")
_NOW = MSG_CMSG_CLOEXEC | MSG_DONTWAIT
_CONTROL_SIZE = _CONTROL_HEADER.size + _DESCRIPTORS[MAX_DESCRIPTORS].size


class Passed(NamedTuple):
    """A descriptor that came along: (st_dev, st_ino) of what it is of, whether that is a network namespace, and the
    number of the mount it was opened through, 0 where nobody has looked."""

    fd: int
    identity: tuple[int, int]
    is_netns: bool
    mount: int = 0


First = tuple[bytes, tuple[Passed, ...]]
"""The beginning of a request, b"" when the peer left without a word, and all of its descriptors."""


class Request(NamedTuple):
    """A frame received whole; the receiver closes the descriptors."""

    header: Header
    body: bytes
    descriptors: tuple[Passed, ...]


def peer_of(connection: socket) -> tuple[int, int]:
    """Process and user that connected, as the kernel saw them then; process 0 when it is not in sight of our pid
    namespace."""
    pid, uid, _gid = _CREDENTIALS.unpack(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid


def examined(fd: int) -> Passed:
    return Passed(fd, identity(fd), is_network_namespace(fd))


def receive(connection: socket, seconds: int = REQUEST_SECONDS, begun: First | None = None) -> Request | None:
    """One request; None when the peer left without a word.  `begun` is what `first` gave, where that was done.

    ProtocolError when it is malformed, cut off, or not complete in time; no descriptor is left open then.  Nothing
    beyond the frame is read: a launcher takes unread data for the proof that its call was not executed."""
    start, descriptors = first(connection, seconds) if begun is None else begun
    if not start:
        return None
    try:
        deadline = 0.0
        if len(start) < HEADER_SIZE:
            deadline = _limited(connection, seconds)
            start += _exactly(connection, HEADER_SIZE - len(start), deadline)
        header = decode_header(start)
        if header.descriptors != len(descriptors):
            raise ProtocolError(f"{header.descriptors} descriptors announced, {len(descriptors)} received")
        body = start[HEADER_SIZE:]
        if len(body) > header.length:
            raise ProtocolError("data after the request")
        if len(body) < header.length:
            body += _exactly(connection, header.length - len(body), deadline or _limited(connection, seconds))
        return Request(header, body, descriptors)
    except BaseException:
        close_all(descriptors)
        raise


def close_all(descriptors: Iterable[Passed]) -> None:
    for each in descriptors:
        os.close(each.fd)


def _limited(connection: socket, seconds: int) -> float:
    """From here on receiving takes so long at most; until when, by the monotonic clock."""
    connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, _TIMEOUT.pack(seconds, 0))
    return time.monotonic() + seconds


def first(connection: socket, seconds: int) -> First:
    """What has come, or comes within that time; ProtocolError when nothing does, or more descriptors than there may
    be."""
    try:
        start, control, flags, _address = connection.recvmsg(AT_ONCE, _CONTROL_SIZE, _NOW)  # nearly always there
    except BlockingIOError:
        _limited(connection, seconds)
        try:
            start, control, flags, _address = connection.recvmsg(AT_ONCE, _CONTROL_SIZE, MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            raise ProtocolError("no request in time") from None
    descriptors: tuple[Passed, ...] = ()
    for level, kind, data in control:  # the kernel puts all descriptors into one message
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            descriptors = tuple(map(examined, _DESCRIPTORS[len(data) // 4].unpack_from(data)))
    return first_of(start, descriptors, bool(flags & MSG_CTRUNC))


def first_of(start: bytes, descriptors: tuple[Passed, ...], truncated: bool) -> First:
    """`truncated`: the kernel had more descriptors, and says so."""
    if truncated:
        close_all(descriptors)
        raise ProtocolError("more descriptors than the protocol has")
    return start, descriptors


def _exactly(connection: socket, length: int, deadline: float) -> bytes:
    buffer = bytearray(length)
    rest = memoryview(buffer)
    while rest:
        if time.monotonic() > deadline:
            raise ProtocolError("request not complete in time")
        try:
            got = connection.recv_into(rest)
        except BlockingIOError:
            raise ProtocolError("request not complete in time") from None
        if not got:
            raise ProtocolError("request cut short")
        rest = rest[got:]
    return bytes(buffer)


def send(connection: socket, frame: bytes, seconds: int = ANSWER_SECONDS) -> None:
    """The answer; OSError when the peer has gone or does not take it in time."""
    sent = connection.send(frame, MSG_DONTWAIT)  # nearly always all of it
    if sent < len(frame):
        connection.setsockopt(SOL_SOCKET, SO_SNDTIMEO, _TIMEOUT.pack(seconds, 0))
        connection.sendall(frame[sent:])
