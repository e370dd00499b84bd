"""A container's root file system: its image's files below, a layer of its own above (overlayfs).

ROOT/containers/<id>/upper   what the container has written
ROOT/containers/<id>/work    the kernel's
ROOT/containers/<id>/rootfs  both together, while mounted
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat

from netd.failure import Failure
from netd.runtime.images.shelf import rootfs_path
from netd.runtime.places import RuntimePlaces

_MNT_DETACH = 2
_MARKS = "work/incompat"
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_LIBC.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]


def mount(places: RuntimePlaces, container_id: str, image_id: str, lasting: bool = True) -> str:
    """The path where it is mounted; without effect when it is.

    With `lasting` the kernel writes all of the disk that the upper layer is on when the last user has gone, 5 ms on an
    idle one and seconds on a busy one; that is of no use where the layer is not kept."""
    home = places.container(container_id)
    merged = f"{home}/rootfs"
    for directory in (f"{home}/work", merged):
        os.makedirs(directory, 0o700, exist_ok=True)
    if os.path.ismount(merged):
        return merged
    lower = rootfs_path(places.images, image_id)
    _ensure_upper(f"{home}/upper", lower, container_id)
    options = f"lowerdir={_escaped(lower)},upperdir={_escaped(home)}/upper,workdir={_escaped(home)}/work"
    number = _mount(merged, options) if lasting else _mount_volatile(merged, options, f"{home}/work/{_MARKS}")
    if number:
        hint = ""
        if number == errno.EINVAL:
            hint = f" ({home} must be on a file system that overlayfs can write to: ext4, xfs, btrfs, tmpfs)"
        raise Failure(f"mounting the root file system of container {container_id}: {os.strerror(number)}{hint}")
    return merged


def _mount(merged: str, options: str) -> int:
    """An error number, or 0."""
    failed = _LIBC.mount(b"overlay", os.fsencode(merged), b"overlay", 0, os.fsencode(options))
    return ctypes.get_errno() if failed else 0


def _mount_volatile(merged: str, options: str, marks: str) -> int:
    # of an earlier mount: the kernel fears that a crash came in between, after which there are no such layers here
    shutil.rmtree(marks, ignore_errors=True)
    number = _mount(merged, f"{options},volatile")
    # before Linux 5.10 there is no such option
    return _mount(merged, options) if number == errno.EINVAL else number


def unmount(places: RuntimePlaces, container_id: str) -> None:
    """Without effect when it is not mounted.  Whoever still has a file open there keeps it."""
    merged = f"{places.container(container_id)}/rootfs"
    while _LIBC.umount2(os.fsencode(merged), _MNT_DETACH) == 0:
        pass
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):
        raise Failure(f"unmounting the root file system of container {container_id}: {os.strerror(ctypes.get_errno())}")


def _ensure_upper(upper: str, lower: str, container_id: str) -> None:
    """The root directory's owner and mode are the upper one's, and should be the image's."""
    try:
        info = os.stat(lower)
    except FileNotFoundError as error:
        raise Failure(f"container {container_id}: the files of its image are gone: {lower}") from error
    if not os.path.isdir(upper):
        draft = f"{upper}.new"
        os.makedirs(draft, exist_ok=True)
        os.chown(draft, info.st_uid, info.st_gid)
        os.chmod(draft, stat.S_IMODE(info.st_mode))
        os.rename(draft, upper)


def _escaped(path: str) -> str:
    """overlayfs separates options by commas and lower directories by colons."""
    return "".join(f"\\{character}" if character in "\\:," else character for character in path)
