"""A terminal, or three pipes, joined to a process in a container: one loop over poll(2), no threads.

Input is never read faster than the daemon takes it, a slow reader of our output never stops our input, and the end of
input is passed on as a half close.
"""

from __future__ import annotations

import os
import select

from netd.cli.detach_keys import Watch
from netd.cli.frames import STDERR, Frames, Plain
from netd.cli.signals import ENDING, PASSED_ON, WINCH, Interrupted, Signals
from netd.cli.terminal import RawTerminal, size
from netd.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from netd.cli.client import Connection, Daemon, Response
    from netd.cli.context import Context

_PIECE = 65536
_IN = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL


class Process:
    """What we are joined to: `path` its resource (/containers/x, /exec/x), `tty` whether it has a terminal, `keys` what
    leaves it.  With `proxy` signals go to it; `stdin` -1: it gets no input from here."""

    def __init__(self, daemon: Daemon, path: str, *, tty: bool, stdin: int, keys: bytes, proxy: bool) -> None:
        self.daemon = daemon
        self.path = path
        self.tty = tty
        self.stdin = stdin
        self.keys = keys
        self.proxy = proxy and not tty

    def resize(self, descriptor: int) -> bool:
        """Tells the size of our terminal; False when it was not taken yet."""
        found = size(descriptor)
        if not self.tty or found is None:
            return True
        try:
            self.daemon.post(f"{self.path}/resize?h={found[0]}&w={found[1]}")
        except Failure:
            return False  # not there yet, or not any more
        return True

    def kill(self, number: int) -> None:
        """Passes a signal on; a process that has ended needs none."""
        try:
            self.daemon.post(f"{self.path}/kill?signal={number}")
        except Failure:
            return


class Session:
    """The loop.  `connection` None: only waits.  Everything is restored when it ends, however it ends."""

    def __init__(self, context: Context, process: Process, connection: Connection | None) -> None:
        self._process = process
        self._connection = connection
        self._outputs = {1: context.out.fileno(), STDERR: context.err.fileno()}
        self._watch = Watch(process.keys) if process.tty else None
        self._frames: Frames | Plain = Plain() if process.tty else Frames()
        self._stdin = process.stdin if connection is not None else -1
        self._pending = b""
        self._waiting: tuple[Connection, Response] | None = None
        self._sized = True
        self.answer: dict[str, object] | None = None
        self.detached = False

    def run(self, begin: Callable[[], tuple[Connection, Response] | None]) -> None:
        """`begin` starts the process, with our signals caught already, and gives the wait for its end, if any.
        Returns when output has ended and the wait is answered (`answer`), or when the keys were typed (`detached`)."""
        numbers = PASSED_ON if self._process.proxy else ENDING if self._process.tty else ()
        with (
            Signals((*numbers, WINCH)) as signals,
            RawTerminal(self._stdin, wanted=self._process.tty and self._stdin >= 0),
        ):
            self._waiting = begin()
            self._sized = self._process.resize(self._outputs[1])
            if self._connection is not None:
                self._connection.socket.setblocking(False)
                self._receive(self._connection.left)
            while not self.detached and (self._connection is not None or self._waiting is not None):
                self._step(signals)

    def _step(self, signals: Signals) -> None:
        poll = select.poll()
        poll.register(signals.fileno(), select.POLLIN)
        if self._connection is not None:
            poll.register(self._connection.fileno(), select.POLLIN | (select.POLLOUT if self._pending else 0))
            if self._stdin >= 0 and not self._pending:
                poll.register(self._stdin, select.POLLIN)
        if self._waiting is not None:
            poll.register(self._waiting[0].fileno(), select.POLLIN)
        ready = dict(poll.poll())
        if signals.fileno() in ready:
            self._signalled(signals)
        if self._connection is not None:
            events = ready.get(self._connection.fileno(), 0)
            if self._stdin >= 0 and ready.get(self._stdin, 0) & _IN:
                self._typed()
            if events & select.POLLOUT or self._pending:
                self._send()
            if events & _IN:
                self._read()
        if self._waiting is not None and self._waiting[0].fileno() in ready:
            self.answer = self._waiting[1].json()
            self._waiting[0].close()
            self._waiting = None

    def _signalled(self, signals: Signals) -> None:
        for number in signals.take():
            if number == WINCH:
                self._sized = self._process.resize(self._outputs[1])
            elif self._process.proxy:
                self._process.kill(number)
            elif number in ENDING:
                raise Interrupted(number)

    def _typed(self) -> None:
        try:
            typed = os.read(self._stdin, _PIECE)
        except OSError:
            typed = b""  # a terminal that went away, or input that was never open
        if not typed:
            self._end_input()
            return
        if self._watch is not None:
            typed = self._watch.feed(typed)
            self.detached = self._watch.found
        self._pending += typed

    def _end_input(self) -> None:
        self._stdin = -1
        assert self._connection is not None
        try:
            self._connection.finish_sending()
        except OSError:
            return  # the other side was faster

    def _send(self) -> None:
        assert self._connection is not None
        while self._pending:
            try:
                sent = self._connection.socket.send(self._pending)
            except BlockingIOError:
                return
            except OSError:
                # the process reads no more; what it still writes is shown
                self._stdin, self._pending = -1, b""
                return
            self._pending = self._pending[sent:]

    def _read(self) -> None:
        assert self._connection is not None
        try:
            data = self._connection.socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._connection.close()
            self._connection = None
            return
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        if not self._sized:
            self._sized = self._process.resize(self._outputs[1])
        for stream, piece in self._frames.feed(data):
            write(self._outputs[STDERR if stream == STDERR else 1], piece)


def write(descriptor: int, data: bytes) -> None:
    """All of it, also where somebody has made the file non-blocking."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
