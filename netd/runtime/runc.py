"""runc: what is asked of it beside what conmon does."""

from __future__ import annotations

import os
import select
import shutil
import subprocess

from netd.failure import Failure
from netd.runtime import control_groups
from netd.runtime.conmon import program, runc_root
from netd.runtime.places import RuntimePlaces

_START_TIMEOUT = 30.0
_WAITING = "runc:["
"""How the name of a process begins that has not executed its program yet."""


class Runc:
    """Commands on containers by id."""

    def __init__(self, places: RuntimePlaces) -> None:
        self._places = places
        self._root = runc_root(places)
        self.grace_period = control_groups.GracePeriod()
        """To be passed early, in another thread, by who will soon have conmon start runc."""

    def release(self, container_id: str, process: int) -> None:
        """Lets a created container's process (`process` is a pidfd of it) execute its program; the second time without
        effect.  Failure when the process ends before.

        `runc start` opens a fifo, reads from it, and removes it, and for that starts a Go program for 8 ms; the fifo is
        runc's way of waiting since 2016."""
        path = f"{self._root}/{container_id}/exec.fifo"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            # not select(2): a daemon with many containers has descriptors beyond its 1024
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            poller.register(process, select.POLLIN)
            ready = [ready for ready, _ in poller.poll(_START_TIMEOUT * 1000)]
            if fd not in ready or not os.read(fd, 1):
                raise Failure(f"container {container_id} ended before it was started")
        finally:
            os.close(fd)
        os.unlink(path)

    def finish_release(self, container_id: str, pid: int, process: int) -> None:
        """`release` for a daemon that finds a container whose starter was killed somewhere in it."""
        path = f"{self._root}/{container_id}/exec.fifo"
        if not os.path.exists(path):
            return
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
            waits = stream.read().startswith(_WAITING)
        if waits:
            self.release(container_id, process)
        else:
            # it was released, only the fifo was left
            os.unlink(path)

    def pause(self, container_id: str) -> None:
        self._run("pause", container_id)

    def resume(self, container_id: str) -> None:
        self._run("resume", container_id)

    def update(self, container_id: str, resources: str) -> None:
        """`resources` as JSON of the OCI runtime specification; what is not in it stays."""
        self._run("update", "--resources", "-", container_id, given=resources)

    def delete(self, container_id: str) -> None:
        """Kills what is left and removes runc's state and control groups; without effect when there are none."""
        if os.path.exists(f"{self._root}/{container_id}"):
            self._run("delete", "--force", container_id)

    def forget(self, container_id: str, control_group: str) -> None:
        """`delete` of a container that has ended; "" for a control group that nobody knows any more.

        All that `runc delete` does then is to remove the groups, which must be empty, and its directory, and for that
        it starts a Go program for 9 ms.  Where they are not empty, it is left to it to see what lives there."""
        if not control_group or not control_groups.remove_empty(control_group):
            self.delete(container_id)
            return
        shutil.rmtree(f"{self._root}/{container_id}", ignore_errors=True)

    def known(self) -> list[str]:
        """Ids of all containers that runc keeps a state of."""
        try:
            return os.listdir(self._root)
        except FileNotFoundError:
            return []

    def _run(self, *words: str, given: str = "") -> None:
        done = subprocess.run(
            [program(self._places.runc), "--root", self._root, *words],
            input=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failure(f"runc {' '.join(words)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
