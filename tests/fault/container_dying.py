"""Daemons that kill themselves at a chosen step of what they do with a container.

Run as `python3 -I tests/fault/container_dying.py BASE`, BASE that of a `House`; reads one JSON request a line and
forks a child for each, so that nothing is imported twice.  A step is a change that somebody else can see: of a file
or directory, a mount, the start of a program.  Steps count in all threads of the daemon; before number `step` of them
(0: never) the whole process is killed, and nothing of Python's runs then.

    {"do": "cycle"|"run"|"exec", "step": N} -> {"status": N, "steps": N, "chosen": "what step number `step` was"}
"""

from __future__ import annotations

import builtins
import ctypes
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from container_house import NoNetwork

from netd.runtime.bundle import rootfs
from netd.runtime.bus import Events
from netd.runtime.containers import Containers
from netd.runtime.images.store import Images
from netd.runtime.model import CreateRequest, ExecOptions, HostConfig
from netd.runtime.places import RuntimePlaces

_FILE_CHANGES = ("unlink", "rename", "mkdir", "rmdir", "symlink")
_PR_SET_PDEATHSIG = 1
_PATIENCE = 30.0


class Steps:
    """Counted in memory that parent and child share."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 4096)
        self._lock = threading.Lock()
        self._step = -1

    def arm(self, step: int) -> None:
        self._shared[:8] = bytes(8)
        self._step = step

    @property
    def count(self) -> int:
        return int(struct.unpack_from("=i", self._shared)[0])

    @property
    def chosen(self) -> str:
        length = struct.unpack_from("=i", self._shared, 4)[0]
        return self._shared[8 : 8 + length].decode()

    def take(self, what: str) -> None:
        with self._lock:
            number = self.count + 1
            struct.pack_into("=i", self._shared, 0, number)
            if number == self._step:
                text = what.encode()[:4000]
                struct.pack_into("=i", self._shared, 4, len(text))
                self._shared[8 : 8 + len(text)] = text
                os.kill(os.getpid(), signal.SIGKILL)


STEPS = Steps()


def counted(real: Callable[..., Any], name: str) -> Callable[..., Any]:
    def operation(*arguments: Any, **named: Any) -> Any:
        STEPS.take(f"{name} {arguments[0] if arguments else ''}")
        return real(*arguments, **named)

    return operation


def _opened(real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if mode in ("w", "wb") and isinstance(file, str):
            STEPS.take(f"write {file}")
        return real(file, mode, *arguments, **named)

    return opened


class _Popen(subprocess.Popen[Any]):
    def __init__(self, words: list[str], *arguments: Any, **named: Any) -> None:
        STEPS.take(f"start {words[0]}")
        super().__init__(words, *arguments, **named)
        STEPS.take(f"after the start of {words[0]}")


def count_everything() -> None:
    for name in _FILE_CHANGES:
        setattr(os, name, counted(getattr(os, name), name))
    builtins.open = _opened(open)  # type: ignore[assignment]
    subprocess.Popen = _Popen  # type: ignore[misc]
    rootfs.mount = counted(rootfs.mount, "mount")
    rootfs.unmount = counted(rootfs.unmount, "unmount")


def cycle(containers: Containers, request: CreateRequest) -> None:
    """Create, start, stop, start again, remove."""
    containers.create("victim", request)
    containers.start("victim")
    containers.stop("victim", timeout=0)
    containers.start("victim")
    containers.remove("victim", force=True)


def run(containers: Containers, request: CreateRequest) -> None:
    """`run --rm`."""
    request.host_config.auto_remove = True
    request.cmd = ["true"]
    containers.create("victim", request)
    gone = containers.wait("victim", "removed")
    containers.start("victim")
    gone.result(_PATIENCE)


def execute(containers: Containers, _request: CreateRequest) -> None:
    """In the container "stays"."""
    exec_id = containers.exec_create("stays", ExecOptions(attach_stdout=True, cmd=["true"]))
    stream = containers.exec_start(exec_id)
    assert stream is not None
    containers.exec_ended(exec_id).result(_PATIENCE)
    stream.close()


DEEDS = {"cycle": cycle, "run": run, "exec": execute}


def daemon(base: str, deed: str) -> int:
    places = RuntimePlaces(root=f"{base}/root", run=f"{base}/run")
    containers = Containers(places, Images(places), NoNetwork(), Events())
    containers.restore().result(_PATIENCE)
    host = HostConfig(cgroup_parent=os.path.basename(base))
    count_everything()
    DEEDS[deed](containers, CreateRequest(image="busybox", cmd=["sleep", "1000"], host_config=host))
    containers.close()
    return 0


def forked(base: str, request: dict[str, Any]) -> dict[str, Any]:
    STEPS.arm(request["step"])
    child = os.fork()
    if child == 0:
        status = 70
        try:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            status = daemon(base, request["do"])
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return {"status": os.waitstatus_to_exitcode(status), "steps": STEPS.count, "chosen": STEPS.chosen}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(forked(sys.argv[1], json.loads(line))), flush=True)
