"""Files below /proc/sys, of the namespace that the calling thread is in.  OSError of the file access passes through."""

from __future__ import annotations

import os
from errno import EACCES

_ROOT = "/proc/sys/"
_CHUNK = 4096
"""Bytes.  The kernel clears a buffer of the size asked for at every read; hardly any value is longer than this."""


def read(path: str) -> str:
    """The content without its final newline."""
    return _read_file(_file(path))


def write(path: str, value: str) -> None:
    """In one write."""
    _write_file(_file(path), value)


def replace(path: str, value: str) -> str | None:
    """Makes it hold `value`; what it held before, None for one that can only be written."""
    file = _file(path)
    try:
        fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # it can only be read, or only be written
        return _replace_by_halves(file, value)
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


def _replace_by_halves(file: str, value: str) -> str | None:
    try:
        before = _read_file(file)
    except OSError:
        before = None
    if before != value:
        _write_file(file, value)
    return before


def _read_file(file: str) -> str:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _content(fd)
    finally:
        os.close(fd)


def _content(fd: int) -> str:
    content = part = os.read(fd, _CHUNK)
    while len(part) == _CHUNK:
        part = os.read(fd, _CHUNK)
        content += part
    return content.decode(errors="replace").removesuffix("\n")


def _write_file(file: str, value: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _file(path: str) -> str:
    if ".." in path.split("/"):
        raise PermissionError(EACCES, "a path outside /proc/sys", path)
    return _ROOT + path
