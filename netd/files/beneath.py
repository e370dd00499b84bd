"""Opens files of a tree as somebody would see them whose root directory it is.

A symbolic link in a container may say anything; followed from the host it would lead out of the container.  openat2(2)
with RESOLVE_IN_ROOT lets the kernel treat a directory as root (Linux 5.6), also while the tree changes.
"""

from __future__ import annotations

import ctypes
import os
import posixpath
import struct

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
_LIBC.syscall.restype = ctypes.c_long


def open_beneath(root: int, path: str, flags: int, mode: int = 0) -> int:
    """A descriptor of `path` as seen from within `root`, a descriptor of a directory; OSError as of open(2)."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    fd = _LIBC.syscall(_OPENAT2, root, os.fsencode(path), how, len(how))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(fd)


def open_last(root: int, path: str) -> int:
    """An O_PATH descriptor of what `path` names, a symbolic link itself; with a slash or "/." at its end, of the
    directory there.  OSError."""
    clean = normal(path)
    if clean == "/" or path.endswith(("/", "/.")):
        return open_beneath(root, clean, os.O_PATH | os.O_DIRECTORY)
    parent, name = posixpath.split(clean)
    inside = open_beneath(root, parent, os.O_PATH | os.O_DIRECTORY)
    try:
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)
    finally:
        os.close(inside)


def make_directories(root: int, path: str) -> int:
    """A descriptor of the directory `path`; it and those above it are made where they are missing."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    try:
        return open_beneath(root, path, flags)
    except FileNotFoundError:
        parent, name = posixpath.split(normal(path))
    above = make_directories(root, parent)
    try:
        os.mkdir(name, 0o755, dir_fd=above)
    except FileExistsError:
        pass  # a symbolic link that leads nowhere, or another was quicker
    finally:
        os.close(above)
    return open_beneath(root, path, flags)


def normal(path: str) -> str:
    """Absolute, without "." and "..", as a client means it."""
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")
