"""Processes that kill themselves at a chosen step: an engine, or an in-process call.

Run as `python3 -I tests/fault/dying.py`; reads one JSON request a line and forks a child for each, so that nothing is
imported twice.  A step is a change somebody else can see: a netlink request that is not a mere question, a change of a
file or directory, the start of a program.  Only the steps of calls for `command` and `container` count, in the threads
that serve them; kill(2) with SIGKILL comes `before` or `after` step number `step`, and nothing of Python's runs then.

    {"do": "engine", "run_dir": D, "socket": S, "command": C, "container": I, "step": N, "when": W,
     "restore": whether rules that others remove come back} -> {"pid": P} when it serves; step 0: never dies
    {"do": "arm", "command": C, "container": I, "step": N, "when": W}    for the calls that follow
    {"do": "call", "run_dir": D, "plugin": P, "environment": E, "stdin": T} -> {"status": N, "stdout": T, "stderr": T}
    {"do": "count"} -> {"steps": N, "chosen": "what step number `step` was"}, since the last engine or arm
    {"do": "wait", "pid": P} -> {"status": N}
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import json
import mmap
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import netd.engine.calls
import netd.engine.main
from pycni.kernel import netlink
from pycni_plugins import NAMES, inprocess, load

_NETFILTER_TABLES = 10
_QUESTIONS_OF_TABLES = frozenset(range(1, 26, 3))
"""NFT_MSG_GET*: every third message kind, from NFT_MSG_GETTABLE on."""

_PR_SET_PDEATHSIG = 1
prctl = ctypes.CDLL(None).prctl

_CONNTRACK_GET = (1 << 8) | 1
_FILE_CHANGES = ("unlink", "rename", "mkdir", "rmdir", "symlink", "utime", "ftruncate", "pwrite")


class Steps:
    """Counts steps in memory that all forks share."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 4096)
        self._here = threading.local()
        self.request: Mapping[str, Any] = {}

    def arm(self, request: Mapping[str, Any]) -> None:
        self._shared[:8] = bytes(8)
        self.request = request

    @property
    def count(self) -> int:
        return int(struct.unpack_from("=i", self._shared)[0])

    @property
    def chosen(self) -> str:
        length = struct.unpack_from("=i", self._shared, 4)[0]
        return self._shared[8 : 8 + length].decode()

    @contextlib.contextmanager
    def counted(self, environment: Mapping[str, str]) -> Iterator[None]:
        """The block's steps count, when it serves the call that was asked for."""
        wanted = self.request.get("command"), self.request.get("container")
        self._here.counts = (environment.get("CNI_COMMAND"), environment.get("CNI_CONTAINERID")) == wanted
        try:
            yield
        finally:
            self._here.counts = False

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        if not what or not getattr(self._here, "counts", False):
            yield
            return
        number = self.count + 1
        struct.pack_into("=i", self._shared, 0, number)
        if number == self.request["step"]:
            text = what.encode()[:4000]
            struct.pack_into("=i", self._shared, 4, len(text))
            self._shared[8 : 8 + len(text)] = text
        self._die_if(number, "before")
        try:
            yield
        finally:
            self._die_if(number, "after")

    def _die_if(self, number: int, when: str) -> None:
        if (number, when) == (self.request["step"], self.request["when"]):
            os.kill(os.getpid(), signal.SIGKILL)


STEPS = Steps()


def wrapped(real: Callable[..., Any], describe: Callable[..., str]) -> Callable[..., Any]:
    def operation(*arguments: Any, **named: Any) -> Any:
        with STEPS.step(describe(*arguments, **named)):
            return real(*arguments, **named)

    return operation


def _netlink(_socket: netlink.NetlinkSocket, data: bytes) -> str:
    kinds = [kind for kind, _, _, _ in netlink.decode(data)]
    changes = [kind for kind in kinds if not _is_question(kind)]
    return f"netlink {changes}" if changes else ""


def _is_question(kind: int) -> bool:
    if kind >> 8 == _NETFILTER_TABLES:
        return kind & 0xFF in _QUESTIONS_OF_TABLES
    return kind % 4 == 2 if 16 <= kind < 0x100 else kind == _CONNTRACK_GET


def _creates(path: Any, flags: int, *_: Any, **__: Any) -> str:
    return f"create {path}" if flags & os.O_CREAT else ""


def _writes(fd: int, *_: Any) -> str:
    target = os.readlink(f"/proc/self/fd/{fd}") if fd > 2 else ""
    return f"write {target}" if target.startswith("/") and not target.startswith("/memfd:") else ""


class _Written:
    """A file object whose content arrives in one step, when it is closed."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        with STEPS.step(f"write {self._file.name}"):
            self._file.close()

    def write(self, text: str) -> None:
        self._file.write(text)


def _opening(real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if "w" not in mode:
            return real(file, mode, *arguments, **named)
        if not isinstance(file, str):
            return _Written(real(file, mode, *arguments, **named))
        with STEPS.step(f"create {file}"):
            return _Written(real(file, mode, *arguments, **named))

    return opened


def count_everything() -> None:
    netlink.NetlinkSocket._send = wrapped(netlink.NetlinkSocket._send, _netlink)  # type: ignore[method-assign]
    for name in _FILE_CHANGES:
        setattr(os, name, wrapped(getattr(os, name), lambda path, *_, name=name, **__: f"{name} {path}"))
    os.open = wrapped(os.open, _creates)
    os.write = wrapped(os.write, _writes)
    os.posix_spawn = wrapped(os.posix_spawn, lambda path, *_, **__: f"run {path}")
    builtins.open = _opening(open)  # type: ignore[assignment]


def engine(request: Mapping[str, Any], ready: int) -> int:
    """Serves until it is killed, with everything counted."""
    real = netd.engine.calls.execute

    def execute(name: str, environment: Mapping[str, str], *rest: Any) -> Any:
        with STEPS.counted(environment):
            return real(name, environment, *rest)

    netd.engine.calls.execute = execute
    netd.engine.main.tell_manager = lambda *_: os.close(ready)  # type: ignore[attr-defined]
    count_everything()
    options = ["--run-dir", request["run_dir"], "--socket", request["socket"]]
    if not request["restore"]:
        options.append("--no-restore")
    return netd.engine.main.run(netd.engine.main.parse(options))


def call(request: Mapping[str, Any], streams: list[int]) -> int:
    """One in-process execution."""
    for fd, stream in enumerate(streams):
        os.dup2(stream, fd)
    environment = request["environment"]
    os.environ.clear()
    os.environ.update(environment)
    count_everything()
    with STEPS.counted(environment):
        return inprocess.main(["--run-dir", request["run_dir"], request["plugin"]])


def _forked(work: Callable[[], int]) -> int:
    own = os.getpid()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == own:
                status = work()
        finally:
            os._exit(status)
    return child


def _engine(request: Mapping[str, Any]) -> dict[str, Any]:
    STEPS.arm(request)
    reading, writing = os.pipe()
    child = _forked(lambda: engine(request, writing))
    os.close(writing)
    os.read(reading, 1)  # the end of the file: it serves, or it is dead
    os.close(reading)
    return {"pid": child}


def _call(request: Mapping[str, Any]) -> dict[str, Any]:
    streams = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    os.pwrite(streams[0], request["stdin"].encode(), 0)
    _, status = os.waitpid(_forked(lambda: call(request, streams)), 0)
    told = [os.pread(fd, os.fstat(fd).st_size, 0).decode() for fd in streams[1:]]
    for fd in streams:
        os.close(fd)
    return {"status": os.waitstatus_to_exitcode(status), "stdout": told[0], "stderr": told[1]}


def _arm(request: Mapping[str, Any]) -> dict[str, Any]:
    STEPS.arm(request)
    return {}


REQUESTS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "engine": _engine,
    "call": _call,
    "arm": _arm,
    "count": lambda _request: {"steps": STEPS.count, "chosen": STEPS.chosen},
    "wait": lambda request: {"status": os.waitstatus_to_exitcode(os.waitpid(request["pid"], 0)[1])},
}


if __name__ == "__main__":
    for name in NAMES:
        load(name)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(REQUESTS[asked["do"]](asked)), flush=True)
