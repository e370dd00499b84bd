"""Ways to sysctls that take the same time however many containers there are.

The kernel keeps the names that were looked up below /proc/sys/net, one set for each network namespace, in one place:
to find one it compares those of every namespace in turn.
"""

from __future__ import annotations

import os
from errno import EMFILE, ENFILE
from pathlib import Path
from threading import Lock

from pycni.kernel import procfs, sysctl_files
from pycni.kernel.netns import Inside


class SysctlDirectories:
    """/proc/sys/net/ipv4 and ipv6 of one namespace, open from their first use.  Thread-safe.

    For namespaces that many calls come from.  From the root a name takes 0.5 ms where 500 containers are; below an open
    directory there are only its own namespace's."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._lock = Lock()
        self._open: dict[str, int] = {}

    def find(self, path: str) -> tuple[str, int] | None:
        """The rest of the path, and the directory it is in; None for a path that is in neither, OSError where the
        kernel has no such directory."""
        place = path[:9]
        if place not in ("net/ipv4/", "net/ipv6/"):
            return None
        with self._lock:
            if place not in self._open:
                with self._inside:
                    self._open[place] = sysctl_files.open_directory(place)
            return path[9:], self._open[place]

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()


LOOKED_INTO = 64
"""Namespaces, until a tree is replaced: it slows down with each; making and ending one takes 0.1 ms."""


class Tree:
    """A directory that is lent."""

    __slots__ = ("directory", "lent", "users")

    def __init__(self, directory: int) -> None:
        self.directory = directory
        self.lent = 0
        self.users = 0


class OwnProc:
    """Lends the `sys` directory of a proc file system of the engine's own (pycni/kernel/procfs.py), for namespaces that
    are entered once or twice.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tree: Tree | None = None
        self._possible = procfs.is_plain(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))

    def lend(self) -> Tree | None:
        """A tree until `give_back`; None where only /proc itself does."""
        with self._lock:
            if not self._possible:
                return None
            if self._tree is None or self._tree.lent >= LOOKED_INTO:
                old, self._tree = self._tree, self._new()
                if old is not None and not old.users:
                    os.close(old.directory)
            if self._tree is not None:
                self._tree.lent += 1
                self._tree.users += 1
            return self._tree

    def give_back(self, tree: Tree) -> None:
        with self._lock:
            tree.users -= 1
            over = not tree.users and tree is not self._tree
        if over:
            os.close(tree.directory)

    def close(self) -> None:
        """Only when nothing is lent any more."""
        if self._tree is not None:
            os.close(self._tree.directory)
            self._tree = None

    def _new(self) -> Tree | None:
        try:
            return Tree(procfs.open_sysctls())
        except OSError as error:  # an old kernel or C library, or rights that the engine was not given
            self._possible = error.errno in (EMFILE, ENFILE)
            return None
