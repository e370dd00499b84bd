"""Reading a log from its end, and on as it grows, without polling: inotify(7) tells."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from collections.abc import Callable, Iterator

from netd.runtime.logs import LogEntry, Printer, Wanted, count_back, parse_entry

_IN_CLOEXEC = 0o2000000
_IN_NONBLOCK = 0o4000
_IN_MODIFY = 0x2
_EVENTS = 4096
_BLOCK = 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


class LogReader:
    """Iterate in one thread; `finish` and `close` may come from others.  Iterating ends at the end of the log unless it
    is followed; then when it was finished and all is read, or closed."""

    def __init__(
        self, path: str, wanted: Wanted, tail: int | None, follow: bool, left: Callable[[LogReader], None]
    ) -> None:
        """`tail`: that many last lines only.  `left` is called when the iteration is over.  A missing file is empty."""
        self._path = path
        self._wanted = wanted
        self._tail = tail
        self._follow = follow
        self._left = left
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._finished = False
        self._closed = False
        self._started = False
        self._over = False

    def finish(self) -> None:
        """The log will not grow any more."""
        self._finished = True
        self._notify()

    def close(self) -> None:
        """The reader has gone; without effect the second time."""
        self._closed = True
        if self._started:
            self._notify()
        else:
            self._end()

    def _notify(self) -> None:
        with self._lock:
            if not self._over:
                os.eventfd_write(self._wake, 1)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        self._started = True
        try:
            with open(self._path, "rb", buffering=0) as stream:
                yield from self._pieces(stream.fileno())
        except FileNotFoundError:
            return
        finally:
            self._end()

    def _end(self) -> None:
        self._left(self)
        with self._lock:
            if not self._over:
                self._over = True
                os.close(self._wake)

    def _pieces(self, fd: int) -> Iterator[tuple[int, bytes]]:
        printer = Printer(self._wanted)
        changes = _watch(self._path) if self._follow else -1
        try:
            if self._tail is not None:
                os.lseek(fd, _tail_offset(fd, self._tail, self._wanted.streams), os.SEEK_SET)
            rest = b""
            while not (self._closed or printer.over):
                # looked at before reading: what is written before the end is known is read
                last = self._finished or not self._follow
                data = os.read(fd, _BLOCK)
                *lines, rest = (rest + data).split(b"\n")
                yield from printer.pieces(_entries(lines))
                if data:
                    continue
                if last or not self._await_change(changes):
                    return
        finally:
            if changes >= 0:
                os.close(changes)

    def _await_change(self, changes: int) -> bool:
        """False when the moment `until_ns` has passed."""
        poller = select.poll()
        poller.register(changes, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        timeout = None
        if self._wanted.until_ns:
            timeout = max(0.0, (self._wanted.until_ns - time.time_ns()) / 1e6)
        ready = [fd for fd, _ in poller.poll(timeout)]
        if changes in ready:
            os.read(changes, _EVENTS)
        if self._wake in ready:
            os.eventfd_read(self._wake)
        return bool(ready)


def _entries(lines: list[bytes]) -> Iterator[LogEntry]:
    return (entry for line in lines if (entry := parse_entry(line)) is not None)


def _tail_offset(fd: int, lines: int, streams: frozenset[int]) -> int:
    """Where in the file its last `lines` lines begin."""
    size = os.lseek(fd, 0, os.SEEK_END)
    block = _BLOCK
    while True:
        start = max(0, size - block)
        data = os.pread(fd, size - start, start)
        # the first line of a block that does not begin the file may be half a line
        offset = start + (data.find(b"\n") + 1 if start else 0)
        placed = []
        for line in data[offset - start :].split(b"\n")[:-1]:
            entry = parse_entry(line)
            if entry is not None:
                placed.append((offset, entry))
            offset += len(line) + 1
        count = count_back((entry for _, entry in reversed(placed)), lines, streams)
        if count > 0:
            return placed[-count][0]
        if count == 0:
            return offset
        if not start:
            return 0
        block *= 4


def _watch(path: str) -> int:
    fd: int = _libc.inotify_init1(_IN_CLOEXEC | _IN_NONBLOCK)
    if fd < 0 or _libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY) < 0:
        number = ctypes.get_errno()
        if fd >= 0:
            os.close(fd)
        raise OSError(number, os.strerror(number), path)
    return fd
