"""Control groups of containers, where runc itself no longer knows them."""

from __future__ import annotations

import errno
import os
import select
import signal
import threading
import time
from contextlib import suppress

ROOT = "/sys/fs/cgroup"
_TIMEOUT = 10.0
"""Seconds for killed processes to leave a group."""


class GracePeriod:
    """The kernel moves a process to another group only after an RCU grace period, 10 to 16 ms on an idle machine;
    moves that follow within about as long wait for nothing (rcu_sync in its source).  `runc create` and
    `runc exec` move one."""

    def __init__(self) -> None:
        self._under_way = threading.Lock()

    def pass_early(self) -> None:
        """Has it pass now: by a move of this process to where it is.  Returns when it has."""
        if not self._under_way.acquire(blocking=False):
            return
        try:
            # whatever prevents it, runc's own move waits as long as ever
            with suppress(OSError), open(f"{group_of(os.getpid())}/cgroup.procs", "w", encoding="ascii") as stream:
                stream.write(str(os.getpid()))
        finally:
            self._under_way.release()


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
    for directory in _directories(path):
        if not os.path.isdir(directory):
            continue
        _kill(members(directory))
        for inner, _, _ in os.walk(directory, topdown=False):
            _remove_left(inner)


def remove_empty(path: str) -> bool:
    """As `remove`, but only where nothing is in the groups, neither processes nor groups; False when something is, or
    one cannot be removed for another reason: some of them may be gone then."""
    for directory in _directories(path):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            pass
        except OSError:
            return False
    return True


def _directories(path: str) -> list[str]:
    """Where groups of that path are, if they are: in the only hierarchy of version 2, in each of version 1; ValueError
    for the root."""
    inner = path.strip("/")
    if not inner.strip("/."):
        raise ValueError(f"not a container's control group: {path!r}")
    if os.path.exists(f"{ROOT}/cgroup.controllers"):
        return [f"{ROOT}/{inner}"]
    return [f"{ROOT}/{name}/{inner}" for name in os.listdir(ROOT)]


def _remove_left(directory: str) -> None:
    """A process counts as a member until the processor has left it, a moment after it is seen to have ended, and the
    kernel tells nobody when that is over."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.001)
        else:
            return


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
