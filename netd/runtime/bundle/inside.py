"""Files of a container's root file system as the container would see them."""

from __future__ import annotations

import os
import stat

from netd.files.beneath import open_beneath


def open_inside(root: str, path: str, flags: int) -> int:
    """A descriptor of `path` (absolute) as seen from within `root`; OSError as of open(2)."""
    base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return open_beneath(base, path, flags)
    finally:
        os.close(base)


def read_inside(root: str, path: str, limit: int) -> str:
    """The text of a regular file, or "" when it is missing or anything else.  At most `limit` bytes of it."""
    try:
        base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return read_beneath(base, path, limit)
    finally:
        os.close(base)


def read_beneath(root: int, path: str, limit: int) -> str:
    """The same with a descriptor of the root directory."""
    try:
        # not to wait for a writer, should it be a pipe
        fd = open_beneath(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        return os.read(fd, limit).decode("utf-8", "replace") if stat.S_ISREG(os.fstat(fd).st_mode) else ""
    finally:
        os.close(fd)
