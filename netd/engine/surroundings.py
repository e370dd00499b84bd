"""Whether the engine sees a caller's files and users as the caller does; if not, its workers cannot serve the call."""

from __future__ import annotations

import os
import re
from _socket import SOL_SOCKET, socket
from collections.abc import Mapping
from errno import ENOTTY
from fcntl import ioctl

_SO_PEERPIDFD = 77
"""Since Linux 6.5.  The pid of SO_PEERCRED may be another process's by now."""

_MOUNT = 0xFF03
_USER = 0xFF09
"""PIDFD_GET_MNT_NAMESPACE and PIDFD_GET_USER_NAMESPACE, since Linux 6.11: a tenth of what paths below /proc/PID cost,
which are made for the occasion and unmade when the process ends."""


class Surroundings:
    """The engine's own mount namespace, user namespace and root directory."""

    def __init__(self) -> None:
        self.namespaces = os.stat("/proc/self/ns/mnt").st_ino, os.stat("/proc/self/ns/user").st_ino
        """Mount and user."""
        root = os.stat("/")
        self._root = root.st_dev, root.st_ino

    def shared_with(self, connection: socket, pid: int) -> bool:
        """Whether the process `pid` at the other end has the same namespaces; not when it cannot be examined (gone, for
        example)."""
        pidfd = pidfd_of(connection)
        if pidfd is None:
            return self._shared_by_path(pid)
        try:
            return (_inode(ioctl(pidfd, _MOUNT)), _inode(ioctl(pidfd, _USER))) == self.namespaces
        except OSError as error:
            return error.errno == ENOTTY and self._shared_by_path(pid)
        finally:
            os.close(pidfd)

    def is_root(self, root: tuple[int, int]) -> bool:
        """Whether the directory of this identity, which a caller sent as its root, is ours.  That it is the caller's is
        believed: it could have it from nobody but who may use it."""
        return root == self._root

    def _shared_by_path(self, pid: int) -> bool:
        if pid <= 0:  # in a pid namespace out of our sight
            return False
        try:
            mount, user = os.stat(f"/proc/{pid}/ns/mnt"), os.stat(f"/proc/{pid}/ns/user")
        except OSError:
            return False
        return (mount.st_ino, user.st_ino) == self.namespaces


def pidfd_of(connection: socket) -> int | None:
    """The process that connected, whatever became of its pid; None where the kernel cannot tell or it is gone.  The
    descriptor is the caller's."""
    try:
        return connection.getsockopt(SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        return None


def _inode(fd: int) -> int:
    """Of a namespace; closes the descriptor."""
    try:
        return os.fstat(fd).st_ino
    finally:
        os.close(fd)


_RELATIVE_KEY = re.compile(rb'"(?:datadir|resolvconf)"\s*:\s*"[^/"]')


def depends_on_directory(environment: Mapping[str, str], stdin: bytes) -> bool:
    """Whether a path in the environment or the configuration is relative, and so means something else in the engine's
    directory."""
    lower = stdin.lower()
    if (b'"datadir"' in lower or b'"resolvconf"' in lower) and _RELATIVE_KEY.search(lower):
        return True
    for path in (environment.get("CNI_NETNS", ""), *environment.get("CNI_PATH", "").split(":")):
        if path and path[0] != "/":
            return True
    return False
