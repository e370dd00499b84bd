"""The files of a container with everything that is mounted there, whether it runs or not.

Of one that runs they are its process's.  For one that does not, a thread gets a mount namespace of its own, mounts
there what a start would, and ends; nobody else ever sees those mounts, and a killed daemon leaves none.
"""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import threading
from collections.abc import Callable
from typing import TypeVar

from netd.failure import Conflict, Failure
from netd.files.beneath import make_directories, open_beneath
from netd.runtime.bundle.points import TMPFS, Point, points
from netd.runtime.bundle.volumes import source_of
from netd.runtime.entry import Entry, Run
from netd.runtime.parts import Parts

T = TypeVar("T")

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


def with_root(parts: Parts, entry: Entry, work: Callable[[int], T]) -> T:
    """Gives `work` a descriptor of the container's root directory.  One that does not run is not started meanwhile."""
    with entry.lock:
        if entry.removing:
            raise Conflict(f"container {entry.container.name} is marked for removal")
        if entry.run is None:
            return _in_thread(lambda: _mounted(parts, entry, work))
        root = _of_process(entry, entry.run)
    try:
        return work(root)
    finally:
        os.close(root)


def _of_process(entry: Entry, run: Run) -> int:
    try:
        root = os.open(f"/proc/{run.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # a process that has ended may have left its number to another
            signal.pidfd_send_signal(run.process, 0)
        except OSError:
            os.close(root)
            raise
    except OSError:
        raise Conflict(f"container {entry.container.name} is ending") from None
    return root


def _in_thread(work: Callable[[], T]) -> T:
    outcome: list[T] = []
    problem: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=run, name="files")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return outcome[0]


def _mounted(parts: Parts, entry: Entry, work: Callable[[int], T]) -> T:
    container = entry.container
    if _LIBC.unshare(_CLONE_NEWNS):
        raise Failure(f"a mount namespace for the files of {container.name}: {os.strerror(ctypes.get_errno())}")
    _mount("", "/", _MS_REC | _MS_PRIVATE)
    merged = parts.bundle.mount_rootfs(parts.places, container, parts.images.find(container.image_id))
    try:
        root = os.open(merged, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for point in points(container.id, container.config, container.host_config):
                if point.kind != TMPFS:
                    _bind(root, source_of(parts.places, point), point)
            if container.host_config.readonly_rootfs:
                _mount("", merged, _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
            return work(root)
        finally:
            os.close(root)
    finally:
        # here and not at the thread's end, which nobody can wait for: the next start mounts the same layers
        parts.bundle.unmount_rootfs(parts.places, container.id)


def _bind(root: int, source: str, point: Point) -> None:
    """As runc does it: the place is made where it is missing, and found within the root file system."""
    directory, name = os.path.split(point.target)
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.close(make_directories(root, point.target))
    else:
        above = make_directories(root, directory)
        try:
            os.close(os.open(name, os.O_PATH | os.O_CREAT | os.O_CLOEXEC, 0o644, dir_fd=above))
        finally:
            os.close(above)
    target = open_beneath(root, point.target, os.O_PATH)
    try:
        _mount(source, f"/proc/self/fd/{target}", _MS_BIND | _MS_REC)
    finally:
        os.close(target)
    if point.read_only:
        bound = open_beneath(root, point.target, os.O_PATH)
        try:
            _mount("", f"/proc/self/fd/{bound}", _MS_REMOUNT | _MS_BIND | _MS_RDONLY)
        finally:
            os.close(bound)


def _mount(source: str, target: str, flags: int) -> None:
    if _LIBC.mount(os.fsencode(source), os.fsencode(target), None, flags, None):
        number = ctypes.get_errno()
        raise Failure(f"mounting {source or target}: {os.strerror(number).lower()}")
