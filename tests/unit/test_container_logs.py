"""The log of a container: conmon's format in, docker's bytes out."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.runtime import log_reader
from netd.runtime.log_reader import LogReader
from netd.runtime.logs import LogEntry, Printer, Wanted, count_back, parse_entry
from netd.runtime.streams import STDERR, STDOUT

MOMENT = b"2026-01-02T03:04:05.000000006+01:00"
IN_UTC = b"2026-01-02T02:04:05.000000006Z"
MOMENT_NS = 1767319445_000000006


def line(text: bytes, stream: int = STDOUT, whole: bool = True, moment: bytes = MOMENT) -> bytes:
    name = b"stdout" if stream == STDOUT else b"stderr"
    return b" ".join((moment, name, b"F" if whole else b"P", text)) + b"\n"


def conmon_writes(chunks: list[tuple[int, bytes]]) -> bytes:
    """What conmon makes of what it reads from a process: one entry a line or rest of a chunk."""
    written = b""
    for stream, data in chunks:
        *lines, rest = data.split(b"\n")
        written += b"".join(line(text, stream) for text in lines)
        written += line(rest, stream, whole=False) if rest else b""
    return written


def read(path: Path, wanted: Wanted | None = None, tail: int | None = None) -> list[tuple[int, bytes]]:
    return list(LogReader(str(path), wanted or Wanted(), tail, follow=False, left=lambda _: None))


text = st.lists(st.sampled_from((b"a", b"\r", b" ", b"\n", b"\xff")), min_size=1, max_size=8).map(b"".join)
chunks = st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), text), max_size=12)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "log"


@given(chunks)
def test_nothing_of_a_process_is_lost_or_added(log: Path, written: list[tuple[int, bytes]]) -> None:
    log.write_bytes(conmon_writes(written))
    shown = read(log)
    for stream in (STDOUT, STDERR):
        assert b"".join(d for s, d in shown if s == stream) == b"".join(d for s, d in written if s == stream)


@given(chunks, st.integers(0, 6), st.sampled_from((STDOUT, STDERR)), st.sampled_from((30, 200, 1 << 18)))
def test_the_tail_of_a_stream_is_its_last_lines(
    log: Path, written: list[tuple[int, bytes]], lines: int, stream: int, block: int
) -> None:
    log.write_bytes(conmon_writes(written))
    parts = b"".join(data for number, data in written if number == stream).split(b"\n")
    whole = [part + b"\n" for part in parts[:-1]] + [part for part in parts[-1:] if part]
    expected = b"".join(whole[max(0, len(whole) - lines) :])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_reader, "_BLOCK", block)
        shown = read(log, Wanted(streams=frozenset((stream,))), tail=lines)
    assert b"".join(data for _, data in shown) == expected


def test_an_entry_keeps_the_blanks_of_its_text() -> None:
    entry = LogEntry(moment=MOMENT, stream=STDERR, whole=True, text=b" a  b ")
    assert parse_entry(line(b" a  b ", STDERR)[:-1]) == entry


@pytest.mark.parametrize("broken", [b"", b"x", MOMENT + b" stdout", MOMENT + b" stdin F x", MOMENT + b" stdout Q x"])
def test_a_line_cut_short_by_a_full_disk_is_passed_over(broken: bytes) -> None:
    assert parse_entry(broken) is None


def test_neighbours_of_one_stream_come_in_one_piece(log: Path) -> None:
    log.write_bytes(conmon_writes([(STDOUT, b"a\nb\n"), (STDERR, b"c\n"), (STDOUT, b"d\n")]))
    assert read(log) == [(STDOUT, b"a\nb\n"), (STDERR, b"c\n"), (STDOUT, b"d\n")]


def test_timestamps_stand_once_a_line_and_in_utc(log: Path) -> None:
    log.write_bytes(conmon_writes([(STDOUT, b"half "), (STDERR, b"other\n"), (STDOUT, b"line\nnext\n")]))
    expected = [
        (STDOUT, IN_UTC + b" half "),
        (STDERR, IN_UTC + b" other\n"),
        (STDOUT, b"line\n" + IN_UTC + b" next\n"),
    ]
    assert read(log, Wanted(timestamps=True)) == expected


def test_utc_offsets_become_z_without_arithmetic(log: Path) -> None:
    log.write_bytes(line(b"x", moment=b"2026-01-02T03:04:05.000000006+00:00"))
    assert read(log, Wanted(timestamps=True)) == [(STDOUT, b"2026-01-02T03:04:05.000000006Z x\n")]


def test_since_and_until_include_their_own_moment(log: Path) -> None:
    moments = [b"2026-01-02T03:04:0%d.000000006+01:00" % second for second in (4, 5, 6)]
    log.write_bytes(b"".join(line(b"%d" % number, moment=moment) for number, moment in enumerate(moments)))
    assert read(log, Wanted(since_ns=MOMENT_NS)) == [(STDOUT, b"1\n2\n")]
    assert read(log, Wanted(since_ns=MOMENT_NS + 1)) == [(STDOUT, b"2\n")]
    assert read(log, Wanted(until_ns=MOMENT_NS)) == [(STDOUT, b"0\n1\n")]
    assert read(log, Wanted(until_ns=MOMENT_NS - 1)) == [(STDOUT, b"0\n")]


def test_an_entry_beyond_until_ends_a_reader_that_follows() -> None:
    printer = Printer(Wanted(until_ns=MOMENT_NS - 1))
    entry = parse_entry(line(b"x")[:-1])
    assert entry is not None
    assert list(printer.pieces([entry])) == []
    assert printer.over


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert read(tmp_path / "missing", tail=3) == []


def test_counting_back_says_when_older_entries_are_needed() -> None:
    entry = LogEntry(moment=MOMENT, stream=STDOUT, whole=True, text=b"x")
    both = frozenset((STDOUT, STDERR))
    assert count_back([entry] * 3, 2, both) == 2
    assert count_back([entry] * 2, 2, both) == -1
    assert count_back([entry] * 2, 0, both) == 0


def following(path: Path, wanted: Wanted | None = None) -> tuple[LogReader, list[bytes], threading.Thread]:
    reader = LogReader(str(path), wanted or Wanted(), tail=None, follow=True, left=lambda _: None)
    seen: list[bytes] = []

    def iterate() -> None:
        seen.extend(data for _, data in reader)

    reader_thread = threading.Thread(target=iterate, daemon=True)
    reader_thread.start()
    return reader, seen, reader_thread


def test_a_follower_hears_what_is_written_later_until_the_end_is_known(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(b"early"))
    reader, seen, thread = following(path)
    with path.open("ab") as stream:
        for number in range(100):
            stream.write(line(b"%d" % number))
            stream.flush()
    reader.finish()
    thread.join(10)
    assert not thread.is_alive()
    assert b"".join(seen) == b"early\n" + b"".join(b"%d\n" % number for number in range(100))


def test_an_entry_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(b"whole") + MOMENT + b" stdo")
    reader, seen, thread = following(path)
    with path.open("ab") as stream:
        stream.write(b"ut F later\n")
    reader.finish()
    thread.join(10)
    assert b"".join(seen) == b"whole\nlater\n"


def test_a_reader_that_is_closed_ends_at_once_and_frees_its_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(b"x"))
    before = set(os.listdir("/proc/self/fd"))
    reader, _, thread = following(path)
    reader.close()
    thread.join(10)
    never = LogReader(str(path), Wanted(), tail=None, follow=True, left=lambda _: None)
    never.close()
    never.close()
    assert not thread.is_alive()
    assert set(os.listdir("/proc/self/fd")) == before


def test_following_ends_when_until_has_come(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(b"x"))
    _, seen, thread = following(path, Wanted(until_ns=MOMENT_NS + 1))
    thread.join(10)
    assert not thread.is_alive()
    assert seen == [b"x\n"]
