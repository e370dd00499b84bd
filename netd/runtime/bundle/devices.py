"""Device nodes of the host, for privileged containers."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any

_LEFT_OUT = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
"""Directories in /dev that a container has of its own."""


def host_devices(root: str = "/dev") -> list[dict[str, Any]]:
    """`linux.devices` of the OCI runtime specification, but for the console."""
    found = []
    for path in _files(root):
        info = os.lstat(path)
        kind = "c" if stat.S_ISCHR(info.st_mode) else "b" if stat.S_ISBLK(info.st_mode) else ""
        if kind:
            found.append(
                {
                    "path": path,
                    "type": kind,
                    "major": os.major(info.st_rdev),
                    "minor": os.minor(info.st_rdev),
                    "fileMode": stat.S_IMODE(info.st_mode),
                    "uid": info.st_uid,
                    "gid": info.st_gid,
                }
            )
    return found


def _files(directory: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _LEFT_OUT:
                    yield from _files(entry.path)
            elif not entry.is_symlink() and entry.name != "console":
                yield entry.path
