"""Signals as bytes of a pipe, so that a loop takes them between other events."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType

    Handler = Callable[[int, FrameType | None], object] | int | None
else:
    import _signal  # `signal` imports enum, which costs more than everything else here

INT, TERM, HUP, QUIT, WINCH = _signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT, 28
ENDING = (HUP, INT, QUIT, TERM)

_NOT_PASSED_ON = frozenset(
    {
        _signal.SIGKILL,
        _signal.SIGSTOP,
        _signal.SIGCHLD,
        _signal.SIGPIPE,
        _signal.SIGURG,
        WINCH,  # the size of a terminal that the container does not have; some servers stop at it
        _signal.SIGTTIN,
        _signal.SIGTTOU,
        # our own faults
        _signal.SIGSEGV,
        _signal.SIGBUS,
        _signal.SIGFPE,
        _signal.SIGILL,
        _signal.SIGTRAP,
        _signal.SIGSYS,
        _signal.SIGABRT,
    }
)
PASSED_ON = tuple(
    number for number in range(1, _signal.NSIG) if number not in _NOT_PASSED_ON and number not in (32, 33)
)
"""What `--sig-proxy` sends to the container; 32 and 33 are the C library's own."""


class Signals:
    """Catches the given signals between `with` and its end; `fileno` is readable when one came."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = tuple(dict.fromkeys(numbers))
        self._former: dict[int, Handler] = {}
        self._read, self._write = -1, -1
        self._wakeup = -1

    def fileno(self) -> int:
        return self._read

    def take(self) -> list[int]:
        """Those that came since the last call."""
        try:
            return list(os.read(self._read, 4096))
        except BlockingIOError:
            return []

    def __enter__(self) -> Signals:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup = _signal.set_wakeup_fd(self._write)
        for number in self._numbers:
            self._former[number] = _signal.signal(number, _ignore)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)
        _signal.set_wakeup_fd(self._wakeup)
        os.close(self._read)
        os.close(self._write)


class Interrupted(Exception):
    """A signal ends the command, not the container."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Deferred:
    """Puts off what would end us from `hold` to the end of `with`, for what must not be left half made: `came` is the
    signal that ends us afterwards, 0 without one.  Who insists gets KeyboardInterrupt."""

    def __init__(self) -> None:
        self.came = 0
        self._former: dict[int, Handler] = {}

    def hold(self) -> None:
        """Signals that are ignored stay so."""
        for number in ENDING:
            former = _signal.getsignal(number)
            if number not in self._former and former != _signal.SIG_IGN:
                self._former[number] = former
                _signal.signal(number, self._note)

    def release(self) -> None:
        """The former handlers again."""
        while self._former:
            number, handler = self._former.popitem()
            _signal.signal(number, _signal.SIG_DFL if handler is None else handler)

    def __enter__(self) -> Deferred:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = number


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """The byte in the pipe says it."""
