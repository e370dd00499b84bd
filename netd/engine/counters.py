"""How many calls of which kind ended how; for `status`."""

from __future__ import annotations

from threading import Lock

from pycni.spec.request import COMMANDS
from pycni_plugins import NAMES

SUCCEEDED = "succeeded"
FAILED = "failed"
CRASHED = "crashed"
NOT_MINE = "not mine"
ABROAD = "abroad"
"""Served by the helper, for a caller that sees other files or users; how it ended, only the caller knows."""

_OTHER = "other"


class Counters:
    """Thread-safe.  Names and commands come from callers, so unknown ones share one count each."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[str, str, str], int] = {}

    def count(self, plugin: str, command: str, outcome: str) -> None:
        key = (plugin if plugin in NAMES else _OTHER, command if command in COMMANDS else _OTHER, outcome)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1

    def listed(self) -> list[dict[str, object]]:
        """`plugin`, `command`, `outcome` and `count` of each kind seen, sorted."""
        with self._lock:
            found = sorted(self._counts.items())
        return [
            {"plugin": plugin, "command": command, "outcome": outcome, "count": count}
            for (plugin, command, outcome), count in found
        ]
