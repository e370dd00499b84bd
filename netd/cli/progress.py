"""Progress of pulling and loading, from docker's JSON objects: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import os

from netd.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, TextIO

_BAR = 30


def show(objects: Iterable[Mapping[str, Any]], stream: TextIO | None, results_only: bool = False) -> None:
    """Shows each object; None shows nothing, `results_only` what is not about single layers.  Failure with the daemon's
    text for one that says `error`."""
    display: Display | None = None
    if stream is not None:
        display = Table(stream) if _is_terminal(stream) else Display(stream)
    for item in objects:
        if problem := item.get("error"):
            detail = item.get("errorDetail")
            raise Failure(str(detail["message"]) if isinstance(detail, dict) and "message" in detail else str(problem))
        if display is not None and not (results_only and (item.get("id") or item.get("progressDetail"))):
            display.take(item)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


class Display:
    """One line for each change of status; amounts on the way are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: dict[str, str] = {}

    def take(self, item: Mapping[str, Any]) -> None:
        """Shows one object."""
        name, status = str(item.get("id") or ""), _status(item)
        if not status or self._last.get(name) == status or (item.get("progressDetail") or {}).get("current"):
            return
        self._last[name] = status
        self._line(f"{name}: {status}" if name else status)

    def _line(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()


class Table(Display):
    """One line for each id, rewritten in place; what has no id is a line of its own below them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._rows: dict[str, str] = {}

    def take(self, item: Mapping[str, Any]) -> None:
        """Shows one object."""
        name = str(item.get("id") or "")
        text = _clean(f"{name}: {_status(item)}{_amounts(item)}" if name else _status(item))
        if not name:
            if text:
                # what comes later has lines below this one
                self._rows.clear()
                self._line(text)
            return
        width = self._width()
        if name not in self._rows:
            self._rows[name] = text
            self._line(text[:width])
            return
        self._rows[name] = text
        up = len(self._rows) - list(self._rows).index(name)
        self._stream.write(f"\x1b[{up}A\r\x1b[2K{text[:width]}\r\x1b[{up}B")
        self._stream.flush()

    def _width(self) -> int:
        try:
            return max(20, os.get_terminal_size(self._stream.fileno()).columns - 1)
        except OSError:
            return 79


def _status(item: Mapping[str, Any]) -> str:
    return _clean(str(item.get("status") or item.get("stream") or "").rstrip("\n"))


def _clean(text: str) -> str:
    """Without what would move a terminal's cursor: a registry chose some of these words."""
    return "".join(char if char.isprintable() else " " for char in text)


def _amounts(item: Mapping[str, Any]) -> str:
    """` [====>     ]  1.2MB/3.4MB`."""
    detail = item.get("progressDetail") or {}
    current, total = detail.get("current") or 0, detail.get("total") or 0
    if not current:
        return ""
    if total <= 0 or current > total:
        return f" {size(current)}"
    filled = int(_BAR * current / total)
    bar = "=" * filled + (">" if filled < _BAR else "")
    return f" [{bar:<{_BAR}}] {size(current)}/{size(total)}"


def size(amount: float) -> str:
    """`12.3MB`, decimal units and three digits as docker has them."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.4g}{unit}" if unit == "B" or amount >= 100 else f"{amount:.3g}{unit}"
        amount /= 1000
    return f"{amount:.4g}TB"
