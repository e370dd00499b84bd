"""A proc file system of one's own, mounted nowhere: fsopen(2), fsconfig(2) and fsmount(2).

The kernel keeps the names that were looked up below /proc/sys/net, one set for each network namespace, in one place
for all: to find one it compares those of every namespace in turn, 20 us for the first and 120 for the 400th.  Each
mount of proc has such a place of its own since Linux 5.8.
"""

from __future__ import annotations

import os
from errno import ENOSYS

from pycni.kernel import libc

_FSOPEN_CLOEXEC = 1
_FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
_MOUNT_ATTRIBUTES = 0xE
"""As /proc is mounted everywhere: nosuid, nodev, noexec."""

_HIDING = ("/proc", "/proc/sys", "/proc/sys/net")


def open_sysctls() -> int:
    """A descriptor of such a file system's `sys`, which the caller closes.  OSError where the kernel, the C library or
    the caller's rights do not do for that."""
    if libc.fsopen is None or libc.fsconfig is None or libc.fsmount is None:
        raise OSError(ENOSYS, os.strerror(ENOSYS))
    context = libc.called(libc.fsopen, b"proc", _FSOPEN_CLOEXEC)
    try:
        libc.called(libc.fsconfig, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        mount = libc.called(libc.fsmount, context, _FSMOUNT_CLOEXEC, _MOUNT_ATTRIBUTES)
    finally:
        os.close(context)
    try:
        return os.open("sys", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
    finally:
        os.close(mount)


def is_plain(mountinfo: str) -> bool:
    """Whether /proc/sys/net is as the kernel makes it, by the text of /proc/self/mountinfo (proc_pid_mountinfo(5)):
    a container's engine makes it read-only by a mount of its own, and who goes around that does what he may not."""
    mounts = [line.split(" ") for line in mountinfo.splitlines()]
    seen = [mount for mount in mounts if _decides(mount[4])][-1:]  # what was mounted last lies on top
    return any(
        root == "/" and point == "/proc" and "rw" in options.split(",")
        for *_, root, point, options in (mount[:6] for mount in seen)
    )


def _decides(point: str) -> bool:
    return point in _HIDING or point.startswith("/proc/sys/net/")
