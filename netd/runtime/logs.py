"""The log that conmon keeps (the k8s-file format), read as docker prints logs (pure).

A line of the file is `2026-01-02T03:04:05.000000006+01:00 stdout F text`; P in place of F says that the process has not
ended this line yet, the rest is in later ones of the same stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netd.runtime import moments
from netd.runtime.streams import STDERR, STDOUT
from pycni.record import Record

_STREAMS = {b"stdout": STDOUT, b"stderr": STDERR}
_LARGEST_PIECE = 1 << 16
"""Bytes handed out at once: neighbours of one stream are joined up to this."""


class LogEntry(Record):
    """One line of the file.  `whole`: the process's line ends with it."""

    moment: bytes
    stream: int
    whole: bool
    text: bytes


class Wanted(Record):
    """What of a log is asked for; `since_ns` and `until_ns` since the epoch, 0 for no limit."""

    streams: frozenset[int] = frozenset((STDOUT, STDERR))
    since_ns: int = 0
    until_ns: int = 0
    timestamps: bool = False


def parse_entry(line: bytes) -> LogEntry | None:
    """None for a line that is no such entry (a disk that was full can cut one short)."""
    parts = line.split(b" ", 3)
    if len(parts) < 4 or parts[1] not in _STREAMS or parts[2] not in (b"P", b"F"):
        return None
    return LogEntry(moment=parts[0], stream=_STREAMS[parts[1]], whole=parts[2] == b"F", text=parts[3])


class Printer:
    """Turns entries into what docker sends; remembers between calls in which streams a line is open."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._open: set[int] = set()
        self.over = False
        """An entry younger than `until_ns` was seen: no more will be wanted."""

    def pieces(self, entries: Iterable[LogEntry]) -> Iterator[tuple[int, bytes]]:
        """(STDOUT or STDERR, bytes) in the order of the log."""
        stream = 0
        piece = bytearray()
        for entry in entries:
            if not self._is_wanted(entry):
                continue
            if stream != entry.stream or len(piece) >= _LARGEST_PIECE:
                if piece:
                    yield stream, bytes(piece)
                stream = entry.stream
                piece.clear()
            piece += self._text(entry)
        if piece:
            yield stream, bytes(piece)

    def _is_wanted(self, entry: LogEntry) -> bool:
        wanted = self._wanted
        if self.over or entry.stream not in wanted.streams:
            return False
        if not (wanted.since_ns or wanted.until_ns):
            return True
        moment = moments.parsed(entry.moment.decode("ascii"))
        if wanted.until_ns and moment > wanted.until_ns:
            self.over = True
            return False
        return moment >= wanted.since_ns

    def _text(self, entry: LogEntry) -> bytes:
        begins = entry.stream not in self._open
        if entry.whole:
            self._open.discard(entry.stream)
        else:
            self._open.add(entry.stream)
        text = entry.text + b"\n" if entry.whole else entry.text
        return _in_utc(entry.moment) + b" " + text if self._wanted.timestamps and begins else text


def _in_utc(moment: bytes) -> bytes:
    if moment.endswith(b"+00:00"):
        return moment[:-6] + b"Z"
    return moments.written(moments.parsed(moment.decode("ascii"))).encode()


def count_back(entries: Iterable[LogEntry], lines: int, streams: frozenset[int]) -> int:
    """How many of `entries`, youngest first, make up the last `lines` lines; -1: there may be more before."""
    if lines == 0:
        return 0
    seen = 0
    known: set[int] = set()
    for number, entry in enumerate(entries):
        if entry.stream not in streams:
            continue
        # an open line at the very end counts as well
        if entry.whole or entry.stream not in known:
            seen += 1
        known.add(entry.stream)
        if seen > lines:
            return number
    return -1
