"""Runs skopeo and umoci in a work directory, and says in one line why one failed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from netd.failure import Failure, Unavailable
from netd.runtime.images.durable import Work

_COLUMNS = 200
"""Width of skopeo's terminal: enough for a bar with its figures."""

_LOOK = 0.2
"""Seconds between two looks at how far a program has read, while it says nothing."""

_FATAL = re.compile(r'level=(?:fatal|error) msg=("(?:[^"\\]|\\.)*")')
_SYMBOL = re.compile(r"^\s*⨯\s*(.*?)\s*$", re.MULTILINE)


class ProgramFailed(Failure):
    """skopeo or umoci ended with an error; `said` is its last word."""

    def __init__(self, program: str, said: str) -> None:
        super().__init__(f"{os.path.basename(program)}: {said}")
        self.said = said


def output(work: Work, command: Sequence[str]) -> bytes:
    """What a command prints; ProgramFailed when it fails, Abandoned when its work's interest is lost."""
    with _running(work, command, subprocess.PIPE) as process:
        printed, _ = process.communicate()
    _check(work, command, process.returncode)
    return printed


def on_terminal(work: Work, command: Sequence[str], heard: Callable[[str], None]) -> None:
    """Runs a command with a terminal for its output, all of which `heard` gets in pieces; ProgramFailed."""
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, _COLUMNS, 0, 0))
        with _running(work, command, theirs) as process:
            os.close(theirs)
            theirs = -1
            while piece := _read_terminal(ours):
                heard(piece.decode("utf-8", "replace"))
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    _check(work, command, process.returncode)


def lines(work: Work, command: Sequence[str], heard: Callable[[str], None], idle: Callable[[int], None]) -> None:
    """Runs a command; `heard` gets its lines, `idle` its pid several times a second of silence; ProgramFailed."""
    with _running(work, command, subprocess.PIPE, subprocess.STDOUT) as process:
        assert process.stdout is not None
        rest, kept = b"", b""
        while True:
            if not select.select([process.stdout], [], [], _LOOK)[0]:
                idle(process.pid)
                continue
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break
            *whole, rest = (rest + piece).split(b"\n")
            kept = (kept + piece)[-65536:]
            for line in whole:
                heard(line.decode("utf-8", "replace"))
    with open(_complaints(work), "wb") as stream:
        stream.write(kept)
    _check(work, command, process.returncode)


def position(pid: int, path: str) -> int:
    """How far a process has read in a file that it has open; 0 when it has not."""
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if os.path.samefile(f"/proc/{pid}/fd/{fd}", path):
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as stream:
                    return int(stream.readline().split()[1])
    except OSError:
        return 0  # it has ended, or closed the file, meanwhile
    return 0


def said_last(text: str) -> str:
    """The reason in what skopeo (logfmt) or umoci (a cross and a line) wrote."""
    fatal = _FATAL.findall(text)
    if fatal:
        return _unquote(fatal[-1])
    crossed = _SYMBOL.findall(text)
    if crossed:
        return str(crossed[-1])
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")


@contextmanager
def _running(
    work: Work, command: Sequence[str], stdout: int, stderr: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Ends within the block, also when that fails or nobody wants the work any more: Abandoned."""
    work.interest.check()
    with _start(work, command, stdout, stderr) as process, work.interest.at_loss(process.kill):
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _start(work: Work, command: Sequence[str], stdout: int, stderr: int | None = None) -> subprocess.Popen[bytes]:
    try:
        with open(_complaints(work), "wb") as complaints:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=complaints if stderr is None else stderr,
                cwd=work.path,
                # temporary files of theirs go with the directory, not to a /var/tmp that is too small
                env={**os.environ, "TMPDIR": work.path, "LC_ALL": "C.UTF-8"},
                pass_fds=[work.lock],
            )
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed: images need skopeo and umoci") from error


def _check(work: Work, command: Sequence[str], status: int) -> None:
    if status:
        work.interest.check()
        with open(_complaints(work), encoding="utf-8", errors="replace") as stream:
            raise ProgramFailed(command[0], said_last(stream.read()))


def _complaints(work: Work) -> str:
    return f"{work.path}/complaints"


def _read_terminal(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""  # the kernel's way to say that the other end is closed


def _unquote(text: str) -> str:
    """Go quotes as JSON does, but for control characters."""
    try:
        return str(json.loads(re.sub(r"\\x([0-9a-f]{2})", r"\\u00\1", text)))
    except ValueError:
        return text.strip('"')
