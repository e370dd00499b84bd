"""Becoming like another process: its namespaces, directories, ids, control groups, limits and capabilities.

Meant for a process with one thread that is made for one call, and final: there is no way back.  Whatever cannot be made
equal is a reason not to (Unlike), so that nobody can have done for him what he could not do himself.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Mapping
from errno import ENOENT
from struct import Struct

_CLONE_NEWUSER = 0x10000000
_NAMESPACES = {
    "mnt": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": _CLONE_NEWUSER,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_PR_SET_DUMPABLE, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 23, 24, 38
_CAPABILITY_VERSION = 0x20080522
_CAPABILITIES = Struct("=6I")
_LIMITS = tuple(value for name, value in vars(resource).items() if name.startswith("RLIMIT_"))

_libc = ctypes.CDLL(None, use_errno=True)


class Unlike(Exception):
    """We cannot become like that process; the message says in what."""


class Process:
    """What matters of a process, read while it was surely alive.

    `status` are the lines of /proc/PID/status as we see them (ids in our user namespace), `limits` (soft, hard) by
    resource, `label` its security module's name for it, `namespaces` inode numbers by kind, `groups` its control groups
    by hierarchy ("" for the unified one)."""

    def __init__(
        self,
        status: Mapping[str, str],
        limits: Mapping[int, tuple[int, int]],
        label: str,
        namespaces: Mapping[str, int],
        groups: Mapping[str, str],
        out_of_memory: str,
        directory: int,
    ) -> None:
        self.status = status
        self.limits = limits
        self.label = label
        self.namespaces = namespaces
        self.groups = groups
        self.out_of_memory = out_of_memory
        self.directory = directory

    def mask(self, name: str) -> int:
        """A set of capabilities, as bits."""
        return int(self.status[name], 16)


def process(pid: int) -> Process:
    """OSError when it is gone.  Its working directory is left open in `directory`."""
    proc = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lines = _read("status", proc).splitlines()
        return Process(
            {name: value.strip() for name, _, value in (line.partition(":") for line in lines)},
            {each: resource.prlimit(pid, each) for each in _LIMITS},
            _label(proc),
            {kind: os.stat(f"ns/{kind}", dir_fd=proc).st_ino for kind in _NAMESPACES},
            control_groups(_read("cgroup", proc)),
            _read("oom_score_adj", proc),
            os.open("cwd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc),
        )
    finally:
        os.close(proc)


def caller(pidfd: int) -> Process:
    """The process behind the descriptor; Unlike when it is gone or out of our sight."""
    pid = int(dict(line.split(":", 1) for line in _read(f"/proc/self/fdinfo/{pidfd}").splitlines())["Pid"])
    if pid <= 0:
        raise Unlike("it is gone, or in a pid namespace out of sight")
    try:
        found = process(pid)
        signal.pidfd_send_signal(pidfd, 0)  # it lives still, so the pid was its own all the time
    except OSError as error:
        raise Unlike(f"it cannot be examined: {error.strerror}") from None
    return found


def difference(them: Process, us: Process) -> str:
    """Why we cannot become like them; "" when we can.  Pure."""
    if them.status["Uid"].split() != us.status["Uid"].split():
        return "it has other user ids"
    if them.status.get("Seccomp", "0") != "0":
        return "system calls are filtered for it"
    if them.label != us.label:
        return f"a security module confines it as {them.label}"
    permitted = them.mask("CapPrm")
    if not permitted == them.mask("CapEff") == them.mask("CapBnd") or them.mask("CapAmb"):
        # then programs that we execute might get what those that it executes do not
        return "its capabilities are not those of a root user within their bounds"
    same_users = them.namespaces["user"] == us.namespaces["user"]
    if same_users and permitted & ~us.mask("CapPrm"):
        return "it has capabilities that we have not"
    return ""


def become(pidfd: int, them: Process, root: int) -> bool:
    """Become like `them`, who have `root` open for their root directory.  True when our children, not we ourselves, are
    in their pid namespace.  Unlike when the kernel refuses a step; the process must not go on then."""
    us = process(os.getpid())
    reason = difference(them, us)
    if reason:
        raise Unlike(reason)
    # nobody in there may look into us before we are like them
    _check("hiding", _prctl(_PR_SET_DUMPABLE, 0))
    try:
        _join_control_groups(them, us)
        _take_groups(them, us)
        for each, limit in them.limits.items():
            if limit != us.limits[each]:
                resource.setrlimit(each, limit)
        if them.out_of_memory != us.out_of_memory:
            _write("/proc/self/oom_score_adj", them.out_of_memory)
        os.umask(int(them.status["Umask"], 8))
        kinds = sum(bit for kind, bit in _NAMESPACES.items() if them.namespaces[kind] != us.namespaces[kind])
        if kinds:
            _check("entering its namespaces", _libc.setns(pidfd, kinds))
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(them.directory)
        _drop(them)
    except (OSError, ValueError) as error:
        raise Unlike(str(error)) from None
    finally:
        for each in (them.directory, us.directory):
            os.close(each)
    return them.namespaces["pid"] != us.namespaces["pid"]


def control_groups(text: str) -> dict[str, str]:
    """/proc/PID/cgroup (cgroups(7)) as paths by hierarchy, which goes by its controllers' names.  Pure."""
    lines = [line.split(":", 2) for line in text.splitlines()]
    return {controllers: path for _number, controllers, path in lines}


def hierarchies(mountinfo: str) -> dict[str, str]:
    """Where the hierarchies are mounted whole, by the same names (/proc/PID/mountinfo, proc(5)).  Pure."""
    found: dict[str, str] = {}
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        root, where = place.split(" ")[3:5]
        name, _source, options = kind.split(" ")[:3]
        if root == "/" and name == "cgroup2":
            found.setdefault("", where)
        elif root == "/" and name == "cgroup":
            found.setdefault(",".join(each for each in options.split(",") if each not in ("rw", "ro", "xattr")), where)
    return found


def _join_control_groups(them: Process, us: Process) -> None:
    """A group's limits, and what devices it may open, hold for whatever the caller has executed."""
    others = {name: path for name, path in them.groups.items() if us.groups.get(name) != path}
    mounted = hierarchies(_read("/proc/self/mountinfo")) if others else {}
    for name, path in others.items():
        if name not in mounted or ".." in path.split("/"):
            raise OSError(ENOENT, f"no way into its control group {name}:{path}")
        _write(f"{mounted[name]}{path}/cgroup.procs", "0")


def _take_groups(them: Process, us: Process) -> None:
    if them.status["Groups"].split() != us.status["Groups"].split():
        os.setgroups([int(each) for each in them.status["Groups"].split()])
    real, effective, saved, _files = (int(each) for each in them.status["Gid"].split())
    if them.status["Gid"].split() != us.status["Gid"].split():
        os.setresgid(real, effective, saved)


def _drop(them: Process) -> None:
    """After entering a user namespace we have every capability in it."""
    bounds = them.mask("CapBnd")
    number = 0
    while _prctl(_PR_CAPBSET_READ, number) >= 0:  # EINVAL after the kernel's last
        if not bounds >> number & 1:
            _check("dropping a capability", _prctl(_PR_CAPBSET_DROP, number))
        number += 1
    if them.status.get("NoNewPrivs", "0") != "0":
        _check("no_new_privs", _prctl(_PR_SET_NO_NEW_PRIVS, 1))
    sets = [them.mask(name) for name in ("CapEff", "CapPrm", "CapInh")]
    words = [each >> shift & 0xFFFFFFFF for shift in (0, 32) for each in sets]
    header = Struct("=Ii").pack(_CAPABILITY_VERSION, 0)
    _check("capset", _libc.capset(header, _CAPABILITIES.pack(*words)))


def _prctl(option: int, value: int) -> int:
    result: int = _libc.prctl(option, *(ctypes.c_ulong(each) for each in (value, 0, 0, 0)))
    return result


def _check(what: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _label(proc: int) -> str:
    try:
        return _read("attr/current", proc).strip("\0\n")
    except OSError:  # no security module
        return ""


def _read(path: str, directory: int | None = None) -> str:
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), encoding="utf-8", errors="replace") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
