"""Where calls come in: a connection with who is calling, then the first part of the request with its descriptors.

The two ways do the same: `Plain` in Python, `Compiled` with front.c, which takes 6% off the shortest calls.
"""

from __future__ import annotations

import ctypes
import os
from _socket import AF_UNIX, SOCK_STREAM, socket
from errno import EAGAIN
from struct import Struct
from typing import NamedTuple, Protocol

from netd.engine.connection import AT_ONCE, First, Passed, first, first_of, peer_of
from netd.engine.protocol import ProtocolError, quickly

_HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(_HERE, "front.c")
LIBRARY = os.path.join(_HERE, "libfront.so")
"""Compiled when the package is built or the checkout is set up (setup.py)."""

_LAYOUT = 2
_CALLER = Struct("=iiIIQ")
_REQUEST = Struct("=iiiiQ iiQQ iiQQ iiQQ")


class Caller(NamedTuple):
    """A connection, with process and user as `peer_of` tells them.  `users`: the caller's user namespace as an inode
    number, 0 if nobody has looked; that of a process that has ended since cannot be told."""

    connection: socket
    pid: int
    uid: int
    users: int


class Front(Protocol):
    """One worker's."""

    def accept(self, listener: socket) -> Caller:
        """The next caller; OSError as of accept(2)."""

    def first(self, connection: socket, seconds: int) -> First:
        """As `netd.engine.connection.first`."""


class Plain:
    """In Python."""

    def accept(self, listener: socket) -> Caller:
        fd, _address = listener._accept()  # type: ignore[attr-defined]
        # told what it is, the object need not ask the kernel three times
        connection = socket(AF_UNIX, SOCK_STREAM, 0, fd)
        pid, uid = peer_of(connection)
        return Caller(connection, pid, uid, 0)

    def first(self, connection: socket, seconds: int) -> First:
        return first(connection, seconds)


class Compiled:
    """By front.c; `library` as from `load`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._accept, self._receive = library.front_accept, library.front_receive
        self._caller = ctypes.create_string_buffer(_CALLER.size)
        self._request = ctypes.create_string_buffer(_REQUEST.size)
        self._data = ctypes.create_string_buffer(AT_ONCE)
        self._bytes = memoryview(self._data).cast("B")

    def accept(self, listener: socket) -> Caller:
        self._accept(listener.fileno(), self._caller)
        fd, pid, uid, _unused, users = _CALLER.unpack_from(self._caller)
        if fd < 0:
            raise OSError(-fd, os.strerror(-fd))
        return quickly(Caller, (socket(AF_UNIX, SOCK_STREAM, 0, fd), pid, uid, users))

    def first(self, connection: socket, seconds: int) -> First:
        self._receive(connection.fileno(), self._request, self._data, AT_ONCE, seconds)
        length, truncated, count, _unused, mount, *passed = _REQUEST.unpack_from(self._request)
        if length == -EAGAIN:
            raise ProtocolError("no request in time")
        if length < 0:
            raise OSError(-length, os.strerror(-length))
        a, a_network, a_device, a_inode, b, b_network, b_device, b_inode, c, c_network, c_device, c_inode = passed
        found = (
            quickly(Passed, (a, (a_device, a_inode), a_network != 0, mount)),
            quickly(Passed, (b, (b_device, b_inode), b_network != 0, 0)),
            quickly(Passed, (c, (c_device, c_inode), c_network != 0, 0)),
        )
        return first_of(bytes(self._bytes[:length]), found[:count], bool(truncated))


def load(path: str = LIBRARY) -> ctypes.CDLL | None:
    """The compiled library, None where there is none or it is not this version's."""
    try:
        library = ctypes.CDLL(path)
        layout = ctypes.c_int.in_dll(library, "front_layout").value
    except (OSError, ValueError):
        return None
    return library if layout == _LAYOUT else None


def best(library: ctypes.CDLL | None) -> Front:
    """For one worker."""
    return Plain() if library is None else Compiled(library)
