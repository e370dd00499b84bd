"""Running another program: bytes in, bytes out.  `subprocess` costs more to import than the program takes to run.

Standard input is a memory file, so that nobody has to feed it; the two outputs are pipes, read together, so that a
program that fills one while we wait for the other cannot hang us.
"""

from __future__ import annotations

import os
import time
from errno import ETXTBSY
from fcntl import F_DUPFD_CLOEXEC, fcntl
from select import POLLIN, poll

from pycni.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from signal import SIGPIPE, SIGXFSZ, strsignal
else:
    from _signal import SIGPIPE, SIGXFSZ, strsignal

_BUSY_ATTEMPTS = 6
_BUSY_SECONDS = 1.0
_CHUNK = 65536


class Completed(Record):
    """How a program ended.  `failure` is "" for exit status 0, else what happened, in Go's words: `exit status 3`,
    `signal: killed`, or why it could not be started."""

    failure: str = ""
    stdout: bytes = b""
    stderr: bytes = b""


def execute(
    path: str,
    environment: Mapping[str, str],
    stdin: bytes,
    inside: Callable[[], AbstractContextManager[object]] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    arguments: Sequence[str] = (),
) -> Completed:
    """Run the file at `path` with exactly these arguments, this environment and this input.

    The child is started within `inside()`: a thread that steps into a namespace for the time of the start leaves the
    child there.  A file that is being written is tried again, up to six times, a second apart (contract 1.13)."""
    for attempt in range(_BUSY_ATTEMPTS):
        if attempt:
            sleep(_BUSY_SECONDS)
        try:
            return _run(path, arguments, environment, stdin, inside)
        except OSError as error:
            reason = error
            if error.errno != ETXTBSY:
                break
    return Completed(f"fork/exec {path}: {(reason.strerror or str(reason)).lower()}")


class _Descriptors:
    """Descriptors that are closed when the block ends.  All are above 2, so that moving one to its place in the child
    cannot hit another one, even when we were started with closed standard streams."""

    def __init__(self) -> None:
        self._open: list[int] = []

    def __enter__(self) -> _Descriptors:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close(*self._open)

    def add(self, descriptor: int) -> int:
        if descriptor <= 2:
            low = descriptor
            descriptor = fcntl(low, F_DUPFD_CLOEXEC, 3)
            os.close(low)
        self._open.append(descriptor)
        return descriptor

    def pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        return self.add(reading), self.add(writing)

    def close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        self._open = [each for each in self._open if each not in descriptors]


class _Here:
    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None: ...


def _run(
    path: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdin: bytes,
    inside: Callable[[], AbstractContextManager[object]] | None,
) -> Completed:
    with _Descriptors() as descriptors:
        source = descriptors.add(os.memfd_create("stdin"))
        _write_all(source, stdin)
        os.lseek(source, 0, os.SEEK_SET)
        out, out_child = descriptors.pipe()
        err, err_child = descriptors.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, each, target) for target, each in enumerate((source, out_child, err_child))]
        with inside() if inside is not None else _Here():
            # the interpreter ignores these two signals, and a child would inherit that
            child = os.posix_spawn(
                path, [path, *arguments], environment, file_actions=actions, setsigmask=(), setsigdef=(SIGPIPE, SIGXFSZ)
            )
        try:
            descriptors.close(source, out_child, err_child)
            stdout, stderr = _drain(out, err)
        finally:
            # a child that still writes must not wait for us while we wait for it
            descriptors.close(out, err)
            _, wait_status = os.waitpid(child, 0)
    return Completed(_failure(wait_status), stdout, stderr)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _drain(*descriptors: int) -> list[bytes]:
    """Everything from all of them, until each is at its end."""
    chunks: dict[int, list[bytes]] = {each: [] for each in descriptors}
    remaining = set(descriptors)
    waiting = poll()
    for each in descriptors:
        waiting.register(each, POLLIN)
    while remaining:
        for descriptor, _ in waiting.poll():
            chunk = os.read(descriptor, _CHUNK)
            if chunk:
                chunks[descriptor].append(chunk)
            else:
                waiting.unregister(descriptor)
                remaining.discard(descriptor)
    return [b"".join(chunks[each]) for each in descriptors]


def _failure(wait_status: int) -> str:
    code = os.waitstatus_to_exitcode(wait_status)
    if code == 0:
        return ""
    if code > 0:
        return f"exit status {code}"
    core = " (core dumped)" if os.WCOREDUMP(wait_status) else ""
    return f"signal: {(strsignal(-code) or str(-code)).lower()}{core}"
