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

from netd.engine.connection import AT_ONCE, First, Passed, Peer, first, first_of, peer_of
from netd.engine.protocol import ProtocolError

_HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.join(_HERE, "front.c")
LIBRARY = os.path.join(_HERE, "libfront.so")
"""Compiled when the package is built or the checkout is set up (setup.py)."""

_LAYOUT = 1
_CALLER = Struct("=iiIIQQ")
_REQUEST = Struct("=iiii iiQQ iiQQ iiQQ")


class Caller(NamedTuple):
    """A connection.  `namespaces`: the caller's mount and user namespace, as inode numbers, if they are known already;
    that of a process that has ended since is not."""

    connection: socket
    peer: Peer
    namespaces: tuple[int, int] | None


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
        return Caller(connection, peer_of(connection), None)

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
        fd, pid, uid, _unused, mount, user = _CALLER.unpack_from(self._caller)
        if fd < 0:
            raise OSError(-fd, os.strerror(-fd))
        known = (mount, user) if user else None
        return Caller(socket(AF_UNIX, SOCK_STREAM, 0, fd), Peer(pid, uid), known)

    def first(self, connection: socket, seconds: int) -> First:
        self._receive(connection.fileno(), self._request, self._data, AT_ONCE, seconds)
        length, truncated, count, _unused, *passed = _REQUEST.unpack_from(self._request)
        if length == -EAGAIN:
            raise ProtocolError("no request in time")
        if length < 0:
            raise OSError(-length, os.strerror(-length))
        a, a_network, a_device, a_inode, b, b_network, b_device, b_inode, c, c_network, c_device, c_inode = passed
        found = (
            Passed(a, (a_device, a_inode), a_network != 0),
            Passed(b, (b_device, b_inode), b_network != 0),
            Passed(c, (c_device, c_inode), c_network != 0),
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
