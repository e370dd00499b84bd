"""Network namespaces: opening, telling apart, entering.

setns(2) moves one thread.  Whatever is started inside (a thread, a child) stays there for ever, so code inside a
namespace opens sockets or files and steps out at once.  `/proc/self` is the main thread's and `/sys/class/net` the
mount's; only `/proc/thread-self` tells the truth about the thread that asks.
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOENT
from fcntl import ioctl

from pycni.kernel.failure import errno_text
from pycni.kernel.libc import CLONE_NEWNET, setns, statfs_magic
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn

THREAD_NETNS = "/proc/thread-self/ns/net"

_NSFS = 0x6E736673
_PROCFS = 0x9FA0
_NS_GET_NSTYPE = 0xB703

_POISONED = 70
"""EX_SOFTWARE."""


class NamespaceMissing(CniError):
    """The namespace's path does not exist; DEL takes that for success (contract 2.0.1)."""


def open_netns(path: str) -> int:
    """An open descriptor of the namespace at `path`, close-on-exec, owned by the caller (contract 2.0.1).

    Raises NamespaceMissing when the path does not exist or is empty, CniError when it cannot be examined or opened, is
    not on nsfs or procfs, or is no network namespace.  Callers prefix the text with `failed to open netns "P": ` where
    the contract says so.
    """
    try:
        magic = statfs_magic(path)
    except ValueError as error:
        raise CniError(f"failed to Statfs {_quoted(path)}: {error}") from None
    except OSError as error:
        raise _unavailable("failed to Statfs", path, error) from None
    if magic not in (_NSFS, _PROCFS):
        raise CniError(f"unknown FS magic on {_quoted(path)}: {magic:x}")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unavailable("failed to open", path, error) from None
    if number := _unfit(fd):
        os.close(fd)
        raise CniError(f"error switching to ns {path}: Error switching to ns {path}: {errno_text(number)}")
    return fd


def _unfit(fd: int) -> int:
    """The errno with which the kernel would refuse to enter, 0 for a network namespace."""
    if is_network_namespace(fd):
        return 0
    try:  # a kernel that does not tell the kind lets enter all the same
        with Inside(fd):
            return 0
    except OSError as error:
        return error.errno or EINVAL


def is_network_namespace(fd: int) -> bool:
    """Whether the kernel says so of an open descriptor, which may be of anything."""
    try:
        return ioctl(fd, _NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False


def open_current() -> int:
    """An open descriptor of the calling thread's own namespace, owned by the caller; OSError when /proc is missing."""
    return os.open(THREAD_NETNS, os.O_RDONLY | os.O_CLOEXEC)


def identity(fd: int) -> tuple[int, int]:
    """(st_dev, st_ino) of an open namespace: equal for two descriptors exactly when the namespaces are the same."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def end_abroad(who: str = "", what: str = "process") -> NoReturn:
    """Ends the process, one thread of which could not return from a namespace: it would do others' work there."""
    os.write(2, f"{who}cannot return from a network namespace; ending the {what}\n".encode())
    os._exit(_POISONED)


class Inside:
    """`with Inside(fd):` runs the block in the namespace `fd`, in the current thread, and always comes back.

    OSError when the namespace cannot be entered; the thread has not moved then.  If the way back fails the process
    ends at once: the thread would do other callers' work in the wrong namespace.
    """

    __slots__ = ("_fd", "_home")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._home = -1

    def __enter__(self) -> None:
        home = open_current()
        try:
            setns(self._fd, CLONE_NEWNET)
        except BaseException:
            os.close(home)
            raise
        self._home = home

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            setns(self._home, CLONE_NEWNET)
        except BaseException:
            end_abroad()
        os.close(self._home)


def _unavailable(action: str, path: str, error: OSError) -> CniError:
    kind = NamespaceMissing if error.errno == ENOENT else CniError
    return kind(f"{action} {_quoted(path)}: {errno_text(error.errno or 0)}")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
