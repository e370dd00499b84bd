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
from struct import Struct
from typing import NamedTuple

from netd.engine.protocol import HEADER_SIZE, MAX_DESCRIPTORS, Header, ProtocolError, decode_header

REQUEST_SECONDS = 5
"""A launcher has everything in memory before it connects; whoever takes longer keeps a worker from others' calls."""

ANSWER_SECONDS = 5

_FIRST = 16384
"""Bytes; what nearly every request fits into."""
_TIMEOUT = Struct("@ll")
_CREDENTIALS = Struct("=iII")
_DESCRIPTORS = (Struct("@"), Struct("@i"), Struct("@ii"), Struct("@iii"))
# room for exactly as many descriptors as the protocol has: the kernel then reports (MSG_CTRUNC) any further one
_CONTROL_HEADER = Struct("@Nii")
_AT_ONCE = MSG_CMSG_CLOEXEC | MSG_DONTWAIT
_CONTROL_SIZE = _CONTROL_HEADER.size + _DESCRIPTORS[MAX_DESCRIPTORS].size


class Peer(NamedTuple):
    """Who connected, as the kernel saw it then.  `pid` is 0 when the process is not in sight of our pid namespace."""

    pid: int
    uid: int


class Request(NamedTuple):
    """A frame received whole; the receiver closes the descriptors."""

    header: Header
    body: bytes
    descriptors: tuple[int, ...]


def peer_of(connection: socket) -> Peer:
    pid, uid, _gid = _CREDENTIALS.unpack(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, _CREDENTIALS.size))
    return Peer(pid, uid)


def receive(connection: socket, seconds: int = REQUEST_SECONDS) -> Request | None:
    """One request; None when the peer left without a word.

    ProtocolError when it is malformed, cut off, or not complete in time; no descriptor is left open then.  Nothing
    beyond the frame is read: a launcher takes unread data for the proof that its call was not executed."""
    descriptors: tuple[int, ...] = ()
    try:
        start, descriptors = _first(connection, seconds)
        if not start:
            return None
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
        for fd in descriptors:
            os.close(fd)
        raise


def _limited(connection: socket, seconds: int) -> float:
    """From here on receiving takes so long at most; until when, by the monotonic clock."""
    connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, _TIMEOUT.pack(seconds, 0))
    return time.monotonic() + seconds


def _first(connection: socket, seconds: int) -> tuple[bytes, tuple[int, ...]]:
    try:
        start, control, flags, _address = connection.recvmsg(_FIRST, _CONTROL_SIZE, _AT_ONCE)  # nearly always there
    except BlockingIOError:
        _limited(connection, seconds)
        try:
            start, control, flags, _address = connection.recvmsg(_FIRST, _CONTROL_SIZE, MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            raise ProtocolError("no request in time") from None
    descriptors: tuple[int, ...] = ()
    for level, kind, data in control:  # the kernel puts all descriptors into one message
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            descriptors = _DESCRIPTORS[len(data) // 4].unpack_from(data)
    if flags & MSG_CTRUNC:
        for fd in descriptors:
            os.close(fd)
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
