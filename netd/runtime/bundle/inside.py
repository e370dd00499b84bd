"""Opens files of a container's root file system as the container would see them.

A symbolic link in an image may say anything; followed from the host it would lead out of the image.  openat2(2) with
RESOLVE_IN_ROOT lets the kernel treat the root file system as root (Linux 5.6).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
_LIBC.syscall.restype = ctypes.c_long


def open_inside(root: str, path: str, flags: int) -> int:
    """A descriptor of `path` (absolute) as seen from within `root`; OSError as of open(2)."""
    base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        fd = _LIBC.syscall(_OPENAT2, base, os.fsencode(path), how, len(how))
        if fd < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return int(fd)
    finally:
        os.close(base)


def read_inside(root: str, path: str, limit: int) -> str:
    """The text of a regular file, or "" when it is missing or anything else.  At most `limit` bytes of it."""
    try:
        # not to wait for a writer, should it be a pipe
        fd = open_inside(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        return os.read(fd, limit).decode("utf-8", "replace") if _is_regular(fd) else ""
    finally:
        os.close(fd)


def _is_regular(fd: int) -> bool:
    return stat.S_ISREG(os.fstat(fd).st_mode)
