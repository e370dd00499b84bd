"""Whether the engine sees a caller's files and users as the caller does; if not, its workers cannot serve the call."""

from __future__ import annotations

import os
import re
from _socket import SOL_SOCKET, socket
from collections.abc import Mapping
from errno import ENOTTY
from fcntl import ioctl

from netd.engine.connection import Passed
from pycni.kernel.netns import identity

_SO_PEERPIDFD = 77
"""Since Linux 6.5.  The pid of SO_PEERCRED may be another process's by now."""

_USER = 0xFF09
"""PIDFD_GET_USER_NAMESPACE, since Linux 6.11: a tenth of what a path below /proc/PID costs, which is made for the
occasion and unmade when the process ends."""

_MOUNT_LINE = re.compile(rb"^mnt_id:\s*(\d+)$", re.MULTILINE)


class Surroundings:
    """The engine's own user namespace and root directory."""

    def __init__(self) -> None:
        self.users = os.stat("/proc/self/ns/user").st_ino
        """The user namespace, as an inode number."""
        root = os.open("/", os.O_PATH | os.O_CLOEXEC)
        self._root = identity(root)[1], mount_of(root)
        os.close(root)

    def shares_users(self, connection: socket, pid: int) -> bool:
        """Whether the process `pid` at the other end has the same user namespace; not when it cannot be examined (gone,
        for example)."""
        pidfd = pidfd_of(connection)
        if pidfd is None:
            return self._shares_by_path(pid)
        try:
            return _inode(ioctl(pidfd, _USER)) == self.users
        except OSError as error:
            return error.errno == ENOTTY and self._shares_by_path(pid)
        finally:
            os.close(pidfd)

    def is_root(self, root: Passed) -> bool:
        """Whether the directory that a caller sent as its root is ours, and seen through the same mount: then every
        path means the same to both, for each mount namespace has mounts of its own.  That it is the caller's root is
        believed: it could have it from nobody but who may use it."""
        mount = root.mount or mount_of(root.fd)
        return mount != 0 and (root.identity[1], mount) == self._root

    def _shares_by_path(self, pid: int) -> bool:
        if pid <= 0:  # in a pid namespace out of our sight
            return False
        try:
            return os.stat(f"/proc/{pid}/ns/user").st_ino == self.users
        except OSError:
            return False


def mount_of(fd: int) -> int:
    """The number of the mount through which a descriptor was opened, which is nobody else's as long as that mount is
    there; 0 where it cannot be told."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            found = _MOUNT_LINE.search(file.read())
    except OSError:
        return 0
    return int(found[1]) if found else 0


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
    netns, path = environment.get("CNI_NETNS"), environment.get("CNI_PATH")
    if netns and netns[0] != "/":
        return True
    if not path or (path[0] == "/" and ":" not in path):  # nearly always
        return False
    return any(each and each[0] != "/" for each in path.split(":"))
