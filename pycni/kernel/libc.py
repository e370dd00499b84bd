"""The system calls Python 3.11 does not offer: setns(2), statfs(2) and those that mount a file system anew, through
`_ctypes` itself.

The `ctypes` package around it costs 4 ms to import, half an interpreter start; the extension module alone costs almost
nothing.  `os.setns` (3.12) is used where it exists.
"""

from __future__ import annotations

import os
from _ctypes import FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO, Array, CFuncPtr, _SimpleCData, dlopen, dlsym, get_errno
from struct import Struct

CLONE_NEWNET = 0x40000000

_MAGIC = Struct("@l")
_STATFS_SIZE = 512
"""Larger than struct statfs of any Linux port; the file system's magic is its first machine word."""


class _Int(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Char(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Buffer(Array):  # type: ignore[type-arg]
    _type_ = _Char
    _length_ = _STATFS_SIZE


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Int


_libc = dlopen(None, os.RTLD_NOW)  # type: ignore[arg-type]  # None: this process
_statfs = _Function(dlsym(_libc, "statfs"))
_setns = _Function(dlsym(_libc, "setns"))


def _newer(name: str) -> _Function | None:
    """None in a C library that is older than the system call."""
    try:
        return _Function(dlsym(_libc, name))
    except OSError:
        return None


fsopen, fsconfig, fsmount = _newer("fsopen"), _newer("fsconfig"), _newer("fsmount")


def called(function: _Function, *arguments: object) -> int:
    """What the system call answers; OSError when it fails."""
    answer: int = function(*arguments)
    if answer < 0:
        raise _os_error(None)
    return answer


def statfs_magic(path: str) -> int:
    """The magic number of the file system `path` is on; OSError as of statfs(2)."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    buffer = _Buffer()
    if _statfs(encoded, buffer) != 0:
        raise _os_error(path)
    magic: int = _MAGIC.unpack_from(memoryview(buffer).cast("B"))[0]
    return magic & 0xFFFFFFFF


def _setns_by_libc(fd: int, nstype: int) -> None:
    if _setns(fd, nstype) != 0:
        raise _os_error(None)


def _os_error(path: str | None) -> OSError:
    number = get_errno()
    return OSError(number, os.strerror(number), path)


setns = getattr(os, "setns", _setns_by_libc)
"""setns(fd, nstype): moves the calling thread, and only it, into a namespace; OSError as of setns(2)."""
