"""Network namespaces that outlive every process in them: made in a thread, kept by a bind mount on a file.

<run dir>/netns/<first 12 digits of the container's id>
"""

from __future__ import annotations

import contextlib
import ctypes
import os

from netd.failure import Failure
from pycni.kernel.libc import CLONE_NEWNET, setns, statfs_magic
from pycni.kernel.netns import THREAD_NETNS, end_abroad, open_current

_NSFS = 0x6E736673
_MS_BIND = 0x1000
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_libc = ctypes.CDLL(None, use_errno=True)


def create(path: str) -> None:
    """A new namespace at `path`, where nothing is mounted; Failure, with nothing left."""
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
        _make(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise Failure(f"making the network namespace {path}: {(error.strerror or str(error)).lower()}") from None


def _make(path: str) -> None:
    home = open_current()
    try:
        if _libc.unshare(CLONE_NEWNET):
            raise _error()
        try:
            if _libc.mount(THREAD_NETNS.encode(), os.fsencode(path), None, _MS_BIND, None):
                raise _error()
        finally:
            _return_to(home)
    finally:
        os.close(home)


def _return_to(home: int) -> None:
    try:
        setns(home, CLONE_NEWNET)
    except BaseException:
        end_abroad()


def remove(path: str) -> None:
    """Nothing is at `path` any more; the namespace ends with its last process.  Failure when it cannot be removed."""
    while _libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
        pass
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Failure(f"removing the network namespace {path}: {(error.strerror or str(error)).lower()}") from None


def exists(path: str) -> bool:
    """Whether a namespace is bound there: a plain file is what a reboot, or a crash half-way, left."""
    try:
        return statfs_magic(path) == _NSFS
    except OSError:
        return False


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
