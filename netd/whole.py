"""A process that goes on while its installed files change must not mix two versions.

So it imports at its start whatever it may need, and before it has another of its programs started, it looks whether the
files are still those it was made of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

_APART = ("pycni.kernel.memory", "pycni_plugins.oneshot", "pycni_plugins.inprocess")
"""For tests, and for processes of their own."""

_TYPES = ("pycni.kernel.api",)
"""For type checkers only; costs as much as all others."""

_Stamp = tuple[int, int, int]


def import_all(*packages: str) -> None:
    """Every module of these packages, so that none is left to be imported later.  Costs 1 MB and 20 ms."""
    for package in packages:
        __import__(package)
        for path in sys.modules[package].__path__:
            for name in _modules(path, package):
                if name not in _TYPES and not name.startswith(_APART):
                    __import__(name)


def _modules(path: str, package: str) -> Iterator[str]:
    with os.scandir(path) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name, dot, ending = entry.name.partition(".")
        if dot and ending == "py" and not name.startswith("__"):
            yield f"{package}.{name}"
        elif name.isidentifier() and os.path.exists(f"{entry.path}/__init__.py"):
            yield f"{package}.{name}"
            yield from _modules(entry.path, f"{package}.{name}")


class Files:
    """The files that this process has been made of so far."""

    def __init__(self, packages: Iterable[str]) -> None:
        beginnings = tuple(f"{package}." for package in packages)
        found = (
            getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith(beginnings)
        )
        self._stamps = {path: _stamp(path) for path in found if path}

    def changed(self) -> str:
        """The first that is no longer what it was, "" where all are."""
        return next((path for path, stamp in self._stamps.items() if _stamp(path) != stamp), "")


def _stamp(path: str) -> _Stamp | None:
    """A file that is replaced has another number, one that is written anew another time."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
