"""Control groups of containers, where runc itself no longer knows them."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress

ROOT = "/sys/fs/cgroup"
_TIMEOUT = 10.0
"""Seconds for killed processes to leave a group."""


def group_of(pid: int) -> str:
    """The directory of a process's control group: the controller pids' with cgroup v1, the only one with v2."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
        lines = [line.rstrip("\n").split(":", 2) for line in stream]
    for _, controllers, path in lines:
        if "pids" in controllers.split(","):
            return f"{ROOT}/pids{path}"
    return f"{ROOT}{next(path for _, controllers, path in lines if not controllers)}"


def members(directory: str) -> set[int]:
    """The processes in a group and below."""
    found: set[int] = set()
    for inner, _, _ in os.walk(directory):
        with suppress(FileNotFoundError, ProcessLookupError), open(f"{inner}/cgroup.procs", encoding="ascii") as stream:
            found.update(int(line) for line in stream)
    return found


def remove(path: str) -> None:
    """Kills what is in the groups of that path ("/parent/name") and removes them, in all hierarchies.

    A `runc create` that is killed between making them and writing down that it did leaves them, and no `runc delete`
    finds them.  OSError names a group that cannot be removed; ValueError for the root, where everybody is."""
    if not path.strip("/."):
        raise ValueError(f"not a container's control group: {path!r}")
    hierarchies = [ROOT, *(f"{ROOT}/{name}" for name in os.listdir(ROOT))]
    for directory in (f"{hierarchy}/{path.strip('/')}" for hierarchy in hierarchies):
        if not os.path.isdir(directory):
            continue
        _kill(members(directory))
        for inner, _, _ in os.walk(directory, topdown=False):
            with suppress(FileNotFoundError):
                os.rmdir(inner)


def _kill(pids: set[int]) -> None:
    """Returns when they have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                poller = select.poll()
                poller.register(process, select.POLLIN)
                poller.poll(_TIMEOUT * 1000)
            finally:
                os.close(process)
