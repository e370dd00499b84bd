"""Files that are whole after a crash, and directories that are of use only while somebody works in them."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from netd.runtime.images.interest import Interest

_LIBC = ctypes.CDLL(None, use_errno=True)


def replace(path: str, text: bytes) -> None:
    """A reader, also one after a power failure, sees the old text or this."""
    draft = f"{path}.new"
    with open(draft, "wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(draft, path)
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """The entries of a directory are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_tree(path: str) -> None:
    """Everything below is on the disk: the whole file system is, which for thousands of files is the quicker way."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(fd)


class WorkArea:
    """Directories below `path` that vanish with the work done in them, be it that its process is killed.

    Each is locked while in use.  Programs started for the work are given the lock's descriptor: what they outlive a
    killed daemon to write is nobody's to remove before they have ended."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, 0o700, exist_ok=True)

    @contextmanager
    def directory(self, interest: Interest | None = None) -> Iterator[Work]:
        """A new one, removed at the end of the block."""
        with locked(self.path):
            work = Work(tempfile.mkdtemp(dir=self.path), interest or Interest())
            fcntl.flock(work.lock, fcntl.LOCK_EX)
        try:
            yield work
        finally:
            shutil.rmtree(work.path, ignore_errors=True)
            os.close(work.lock)

    def sweep(self) -> None:
        """Removes those in which nobody works any more."""
        with locked(self.path):
            # whoever makes one has locked it before letting go of this lock
            names = os.listdir(self.path)
        for name in names:
            path = f"{self.path}/{name}"
            try:
                with locked(path, wait=False) as unused:
                    if unused:
                        shutil.rmtree(path)
            except FileNotFoundError:
                continue  # its owner was quicker


class Work:
    """One directory of a WorkArea; `lock` is a descriptor of it that holds its lock.  When `interest` is lost, programs
    that run in it are killed."""

    def __init__(self, path: str, interest: Interest) -> None:
        self.path = path
        self.interest = interest
        self.lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@contextmanager
def locked(directory: str, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of a directory (flock) within the block; gives False when `wait` is and others hold it."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(fd)
