"""`pynet` as a process of its own, with pipes or with a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Any

LIMIT = 20.0
"""Seconds that nothing in these tests takes."""


def words(directory: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "netd.cli.main", "--run-dir", str(directory), *arguments]


def piped(directory: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs it to its end."""
    return subprocess.run(words(directory, *arguments), input=stdin, capture_output=True, timeout=LIMIT, check=False)


def started(directory: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Runs it with pipes, and with signals as in a shell's foreground: in its background, where tests may run, SIGINT
    is ignored, which children inherit."""
    pipe = subprocess.PIPE
    plain = ["/usr/bin/env", "--default-signal=HUP,INT,QUIT,TERM"]
    return subprocess.Popen([*plain, *words(directory, *arguments)], stdin=pipe, stdout=pipe, stderr=pipe)


class Terminal:
    """A process on a terminal of its own; the test is who sits before it."""

    def __init__(
        self, command: list[str], rows: int = 24, columns: int = 80, env: dict[str, str] | None = None
    ) -> None:
        self._master, slave = pty.openpty()
        self._slave = slave
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.seen = b""
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            preexec_fn=lambda: os.login_tty(os.dup(slave)),
        )

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self._master, text)

    def until(self, pattern: bytes) -> bytes:
        """Reads until the pattern was seen; what was seen up to its end."""
        deadline = time.monotonic() + LIMIT
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, self.seen
            if select.select([self._master], [], [], 0.5)[0]:
                self.seen += os.read(self._master, 65536)
            else:
                assert self.process.poll() is None, (self.process.returncode, self.seen)
        head, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return head

    def end(self) -> int:
        """The exit status, when it ends by itself."""
        deadline = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self.drain(0.05)
        self.drain(0)
        return self.process.returncode

    def drain(self, seconds: float) -> None:
        while select.select([self._master], [], [], seconds)[0]:
            self.seen += os.read(self._master, 65536)

    @property
    def modes(self) -> list[object]:
        """As termios(3) has them now."""
        return termios.tcgetattr(self._slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)


def pynet_terminal(directory: Path, *arguments: str) -> Terminal:
    """`pynet` on a terminal."""
    return Terminal(words(directory, *arguments))


def raw(modes: list[Any]) -> bool:
    """Whether a terminal of these modes passes every byte on."""
    return not modes[3] & (termios.ECHO | termios.ICANON | termios.ISIG) and not modes[1] & termios.OPOST
