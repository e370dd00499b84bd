"""Whether containers' namespaces are still where they were: files are watched by their directories, processes by pidfd.

An open descriptor keeps a namespace alive, so nobody else will tell.
"""

from __future__ import annotations

import os
from _thread import start_new_thread
from collections.abc import Callable

from netd.dhcp.port import exists
from netd.directory_watch import Watch
from netd.loop import Loop, Timer


class Homes:
    """Calls back when a path does not lead to its namespace any more."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._watches: dict[str, tuple[Watch, dict[object, Callable[[], None]]]] = {}
        self._pidfds: dict[object, int] = {}
        self._directories: dict[object, str] = {}
        self._first_looks: dict[object, Timer] = {}

    def watch(self, key: object, path: str, identity: tuple[int, int], gone: Callable[[], None]) -> None:
        """Until `forget(key)`.  A path in a directory that cannot be watched is not; its lease runs out in the end."""

        def look() -> None:
            if not exists(path, identity):
                gone()

        process = _process_of(path)
        if process:
            self._watch_process(key, process, gone)
        else:
            self._watch_file(key, os.path.dirname(path), look)
        # it may have gone before it was watched
        self._first_looks[key] = self._loop.after(0, look)

    def _watch_file(self, key: object, directory: str, look: Callable[[], None]) -> None:
        try:
            if directory not in self._watches:
                watch = Watch(directory)
                self._watches[directory] = watch, {}
                self._loop.add(watch.fd, lambda: self._changed(directory))
        except OSError:
            return
        self._watches[directory][1][key] = look
        self._directories[key] = directory

    def forget(self, key: object) -> None:
        first_look = self._first_looks.pop(key, None)
        if first_look is not None:
            first_look.cancel()
        pidfd = self._pidfds.pop(key, None)
        if pidfd is not None:
            self._loop.remove(pidfd)
            os.close(pidfd)
        directory = self._directories.pop(key, None)
        if directory is None:
            return
        watch, looks = self._watches[directory]
        del looks[key]
        if not looks:
            del self._watches[directory]
            self._loop.remove(watch.fd)
            # closing it waits 15 to 45 ms for the kernel's readers, and the caller is often a DEL
            start_new_thread(watch.close, ())

    def close(self) -> None:
        for key in list(self._first_looks):
            self.forget(key)

    def _watch_process(self, key: object, process: int, gone: Callable[[], None]) -> None:
        try:
            pidfd = os.pidfd_open(process)
        except OSError:  # it has ended since its namespace was opened
            self._loop.after(0, gone)
            return
        self._pidfds[key] = pidfd
        self._loop.add(pidfd, gone)

    def _changed(self, directory: str) -> None:
        watch, looks = self._watches[directory]
        if watch.changed() != set():
            for look in list(looks.values()):
                look()


def _process_of(path: str) -> int:
    """The process whose namespace the path is, 0 when it names none."""
    parts = path.split("/")
    return int(parts[2]) if len(parts) > 3 and parts[1] == "proc" and parts[2].isdigit() else 0
