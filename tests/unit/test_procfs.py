"""Whether a proc file system of our own may stand for /proc: by what is mounted."""

from __future__ import annotations

import pytest

from pycni.kernel.procfs import is_plain

ROOT = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"
PROC = "23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw"
READ_ONLY = "24 23 0:21 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc proc rw"
BINFMT = "25 23 0:30 / /proc/sys/fs/binfmt_misc rw,relatime - binfmt_misc binfmt_misc rw"
PART = "26 23 0:31 / /proc/sys/net/ipv4 ro - tmpfs tmpfs rw"
NEWER = "27 23 0:41 / /proc rw,relatime - proc proc rw"


@pytest.mark.parametrize(
    ("mounts", "plain"),
    [
        ((ROOT, PROC), True),
        ((ROOT, PROC, BINFMT), True),
        ((ROOT, PROC, READ_ONLY), False),
        ((ROOT, PROC, PART), False),
        ((ROOT, PROC.replace("rw,nosuid", "ro,nosuid")), False),
        ((ROOT, PROC.replace(" / /proc ", " /1 /proc ")), False),
        ((ROOT, PROC, READ_ONLY, NEWER), True),
        ((ROOT, PROC, NEWER, READ_ONLY), False),
        ((ROOT,), False),
        ((), False),
    ],
)
def test_only_where_nobody_mounted_anything_over_it(mounts: tuple[str, ...], plain: bool) -> None:
    assert is_plain("".join(f"{mount}\n" for mount in mounts)) is plain
