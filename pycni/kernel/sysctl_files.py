"""Files below /proc/sys, of the namespace that the calling thread is in, or below a directory there that is open: the
files in one of net's are those of the namespace it was opened in, whoever asks.  OSError of the file access passes
through."""

from __future__ import annotations

import os
from errno import EACCES

_ROOT = "/proc/sys/"
_CHUNK = 4096
"""Bytes.  The kernel clears a buffer of the size asked for at every read; hardly any value is longer than this."""


def open_directory(path: str) -> int:
    """A descriptor to give to the functions below as `directory`; the caller closes it."""
    return _open(path, os.O_PATH | os.O_DIRECTORY, None)


def read(path: str, directory: int | None = None) -> str:
    """The content without its final newline."""
    fd = _open(path, os.O_RDONLY, directory)
    try:
        return _content(fd)
    finally:
        os.close(fd)


def write(path: str, value: str, directory: int | None = None) -> None:
    """In one write."""
    fd = _open(path, os.O_WRONLY, directory)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def replace(path: str, value: str, directory: int | None = None) -> str | None:
    """Makes it hold `value`; what it held before, None for one that can only be written."""
    try:
        fd = _open(path, os.O_RDWR, directory)
    except OSError:  # it can only be read, or only be written
        return _replace_by_halves(path, value, directory)
    try:
        try:
            before = _content(fd)
        except OSError:
            before = None
        if before != value:
            os.pwrite(fd, value.encode(), 0)
        return before
    finally:
        os.close(fd)


def _replace_by_halves(path: str, value: str, directory: int | None) -> str | None:
    try:
        before = read(path, directory)
    except OSError:
        before = None
    if before != value:
        write(path, value, directory)
    return before


def _content(fd: int) -> str:
    content = part = os.read(fd, _CHUNK)
    while len(part) == _CHUNK:
        part = os.read(fd, _CHUNK)
        content += part
    return content.decode(errors="replace").removesuffix("\n")


def _open(path: str, flags: int, directory: int | None) -> int:
    if ".." in path.split("/"):
        raise PermissionError(EACCES, "a path outside /proc/sys", path)
    # what begins with a slash would be a path of its own
    below = _ROOT + path if directory is None else path.lstrip("/")
    return os.open(below, flags | os.O_CLOEXEC, dir_fd=directory)
