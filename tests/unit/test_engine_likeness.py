"""What keeps the helper from becoming like a caller, and where control groups are: pure."""

from __future__ import annotations

import os

import pytest

from netd.engine.likeness import Process, Unlike, caller, control_groups, difference, hierarchies

ALL = "000001ffffffffff"
ROOT = {
    "Uid": "0\t0\t0\t0",
    "Seccomp": "0",
    "CapInh": "0",
    "CapPrm": ALL,
    "CapEff": ALL,
    "CapBnd": ALL,
    "CapAmb": "0000000000000000",
}
LIMITED = dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), "00000000a80425fb")


def made(status: dict[str, str] | None = None, label: str = "", user: int = 1) -> Process:
    return Process({**ROOT, **(status or {})}, {}, label, {"user": user}, {}, "0", -1)


@pytest.mark.parametrize(
    ("them", "reason"),
    [
        (made(), ""),
        (made(LIMITED), ""),
        (made(LIMITED, user=2), ""),
        (made({"Uid": "0 0 1000 0"}), "user ids"),
        (made({"Seccomp": "2"}), "filtered"),
        (made(label="docker-default (enforce)"), "confines it as docker-default"),
        (made({"CapEff": "0"}), "capabilities"),
        (made({"CapPrm": "0", "CapEff": "0"}), "capabilities"),
        (made({"CapAmb": "1"}), "capabilities"),
    ],
)
def test_whom_we_can_be_like(them: Process, reason: str) -> None:
    found = difference(them, made())
    assert reason in found
    assert bool(found) is bool(reason)


def test_nobody_gets_a_capability_that_the_engine_has_not() -> None:
    assert "that we have not" in difference(made(), made(LIMITED))
    assert difference(made(user=2), made(LIMITED)) == "", "in a user namespace of its own it is another capability"


def test_who_is_gone_cannot_be_examined() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    os.waitpid(pid, 0)
    with pytest.raises(Unlike):
        caller(pidfd)
    os.close(pidfd)


def test_control_groups_of_both_kinds() -> None:
    text = "4:memory:/a:b\n1:cpu,cpuacct:/\n9:name=systemd:/x.slice\n0::/y.scope\n"
    assert control_groups(text) == {"memory": "/a:b", "cpu,cpuacct": "/", "name=systemd": "/x.slice", "": "/y.scope"}
    mounts = (
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        "41 31 0:38 /part /mnt/part rw - cgroup2 cgroup2 rw\n"
        "42 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    assert hierarchies(mounts) == {
        "cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "name=systemd": "/sys/fs/cgroup/systemd",
        "": "/sys/fs/cgroup/unified",
    }
