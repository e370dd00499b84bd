"""How to take back what was done, newest first, when something after it fails."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from pycni.spec.errors import CniError


class Undo:
    """A context manager; leaving it with an exception undoes everything, reporting but not stopping at failures."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def push(self, what: str, step: Callable[[], object]) -> None:
        self._steps.append((what, step))

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while error is not None and self._steps:
            what, step = self._steps.pop()
            try:
                step()
            except (CniError, OSError) as problem:
                self._warn(f"undoing {what}: {problem}")
