"""Telling that files in a directory changed: inotify(7), which Python does not offer."""

from __future__ import annotations

import ctypes
import os
from struct import Struct

_IN_CLOEXEC = 0o2000000
_IN_NONBLOCK = 0o4000
_IN_CLOSE_WRITE = 0x8
_IN_MOVED_FROM = 0x40
_IN_MOVED_TO = 0x80
_IN_DELETE = 0x200
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000

_EVENT = Struct("=iIII")
_CHUNK = 65536

_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """The names of files in `directory` that were written, moved or removed since the last time."""

    def __init__(self, directory: str) -> None:
        """OSError when the directory is missing or the user's watches are used up."""
        self.fd = _checked(_libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK), directory)
        mask = _IN_CLOSE_WRITE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_DELETE
        try:
            _checked(_libc.inotify_add_watch(self.fd, os.fsencode(directory), mask), directory)
        except OSError:
            os.close(self.fd)
            raise

    def changed(self) -> set[str] | None:
        """None when events were lost, or the directory itself has gone: look at everything."""
        names: set[str] = set()
        lost = False
        while True:
            try:
                data = os.read(self.fd, _CHUNK)
            except BlockingIOError:
                return None if lost else names
            offset = 0
            while offset < len(data):
                _, mask, _, size = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size + size
                lost = lost or bool(mask & (_IN_Q_OVERFLOW | _IN_IGNORED))
                names.add(os.fsdecode(data[offset - size : offset].rstrip(b"\0")))

    def close(self) -> None:
        os.close(self.fd)


def _checked(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result
