"""The terminal of here: raw while a container has it, and always put back."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


class RawTerminal:
    """Bytes pass untouched in both directions between `with` and its end.  A file that is no terminal is left alone."""

    def __init__(self, descriptor: int, wanted: bool = True) -> None:
        self._descriptor = descriptor
        self._saved: list[Any] | None = None
        self._wanted = wanted and os.isatty(descriptor)

    def __enter__(self) -> RawTerminal:
        if self._wanted:
            import termios

            self._saved = termios.tcgetattr(self._descriptor)
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, raw(self._saved))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)


def raw(modes: list[Any]) -> list[Any]:
    """Modes as cfmakeraw(3) has them: no echo, no signals from keys, no translation."""
    import termios

    changed = list(modes)
    changed[0] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    changed[1] &= ~termios.OPOST
    changed[2] = (changed[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    changed[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    changed[6] = list(changed[6])
    changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
    return changed


def size(descriptor: int) -> tuple[int, int] | None:
    """(rows, columns); None where there is no terminal or it has no size."""
    try:
        columns, rows = os.get_terminal_size(descriptor)
    except OSError:
        return None
    return (rows, columns) if rows and columns else None
