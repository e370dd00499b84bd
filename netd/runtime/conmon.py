"""conmon, the small process that holds a container's (or exec's) terminal, pipes, log and exit code.

It outlives the daemon.  Facts about conmon 2.1.6 that this rests on:
- it forks at once; the first process writes the pid of the second to `conmon.pid` and ends;
- through the pipe _OCI_SYNCPIPE it says `{"data": PID}`, or `{"data": -1, "message": runc's words}`;
- its sockets and fifos are in the bundle with --full-attach: `attach` (streams.py), `ctl` (lines "1 HEIGHT WIDTH");
- it puts `exit` (the code as text) and, after the kernel killed for memory, `oom` into its --persist-dir; closes the
  attach sockets before that, and ends right after;
- with --exec-attach it says `{"data": 0}` through _OCI_ATTACHPIPE when `attach` is there, and executes nothing until it
  reads a second time from _OCI_STARTPIPE.

Everything started here inherits a descriptor of the locked file `lock` in the bundle.  So whether anything of it lives,
a later daemon asks the kernel, even if this one is killed between two steps and nobody wrote down a pid.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import FileIO

from netd.failure import Failure, Unavailable
from netd.runtime.places import RuntimePlaces
from pycni.record import Record

_CREATE_TIMEOUT = 120.0
"""Seconds for runc to set a container up; it takes 0.05, but a machine may be busy."""
_APPEAR_TIMEOUT = 10.0
_LARGEST_MESSAGE = 1 << 20
_RESIZE = 1


class Launch(Record):
    """`bundle` is the directory of all files; `container_id` whom runc knows; `unit` the unique id of this launch."""

    unit: str
    container_id: str
    bundle: str
    log: str
    terminal: bool
    stdin: bool
    keep_stdin: bool


class RuncRefused(Exception):
    """`args[0]`: runc's words."""


def program(name: str) -> str:
    """The path of an executable; Unavailable when it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is not installed: containers need runc and conmon")
    return path


def runc_root(places: RuntimePlaces) -> str:
    return f"{places.run}/runc"


def command(places: RuntimePlaces, launch: Launch) -> list[str]:
    """conmon's command line, without what differs between a container and an exec."""
    words = [program(places.conmon), "--api-version", "1", "-c", launch.container_id, "-u", launch.unit]
    words += ["-n", launch.unit, "-b", launch.bundle, "-r", program(places.runc)]
    words += ["--runtime-arg", "--root", "--runtime-arg", runc_root(places)]
    words += ["--runtime-arg", "--log", "--runtime-arg", f"{launch.bundle}/runc.log"]
    words += ["-p", f"{launch.bundle}/pid", "-P", f"{launch.bundle}/conmon.pid"]
    words += ["--persist-dir", launch.bundle, "--full-attach", "--no-sync-log"]
    words += ["-l", f"k8s-file:{launch.log}" if launch.log else "none"]
    words += ["-t"] if launch.terminal else []
    words += ["-i"] if launch.stdin else []
    return words + (["--leave-stdin-open"] if launch.keep_stdin else [])


class Creation:
    """`runc create` under conmon, under way; `close` it in any case.  Failure when conmon cannot be started."""

    def __init__(self, places: RuntimePlaces, launch: Launch) -> None:
        self._launch = launch
        with ExitStack() as stack:
            self._told, tell = _pipe(stack)
            self._first = _spawn(places, launch, [], {"_OCI_SYNCPIPE": tell})
            stack.pop_all()

    def pid(self) -> int:
        """Of the process, which is there and waits to be released; RuncRefused, Failure."""
        return _pid(self._told, self._launch)

    def close(self) -> None:
        """Returns when conmon has forked: its pid is in the bundle."""
        self._told.close()
        self._first.wait()


def execute(
    places: RuntimePlaces, launch: Launch, process: str, attached: Callable[[socket.socket], None] | None
) -> int:
    """`runc exec` under conmon of the `process` (a file): its pid.  `attached` gets the connection to its streams
    before the process is there; without, nobody listens.  RuncRefused, Failure."""
    words = ["-e", "--exec-process-spec", process] + ([] if attached is None else ["--exec-attach"])
    with ExitStack() as stack:
        told, tell = _pipe(stack)
        attach_told, attach_tell = _pipe(stack)
        awaited, go = _pipe(stack)
        go.write(b"1")
        _spawn(
            places, launch, words, {"_OCI_SYNCPIPE": tell, "_OCI_STARTPIPE": awaited, "_OCI_ATTACHPIPE": attach_tell}
        ).wait()
        if attached is not None:
            _answer(attach_told, launch)
            attached(connect(launch.bundle))
            go.write(b"2")
        return _pid(told, launch)


def _pipe(stack: ExitStack) -> tuple[FileIO, FileIO]:
    reader, writer = os.pipe()
    return stack.enter_context(FileIO(reader, "r")), stack.enter_context(FileIO(writer, "w"))


def _spawn(places: RuntimePlaces, launch: Launch, more: list[str], pipes: dict[str, FileIO]) -> subprocess.Popen[bytes]:
    """Its first process, which ends when it has forked and its pid is in the bundle.  The ends of `pipes` are conmon's
    alone."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": places.run}
    environment.update((name, str(end.fileno())) for name, end in pipes.items())
    with open(f"{launch.bundle}/lock", "wb") as lock, open(f"{launch.bundle}/conmon.log", "wb") as said:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return subprocess.Popen(
                command(places, launch) + more,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=environment,
                cwd="/",
                pass_fds=[lock.fileno(), *(end.fileno() for end in pipes.values())],
            )
        except OSError as error:
            raise Failure(f"starting conmon: {error}") from error
        finally:
            for end in pipes.values():
                end.close()


def _pid(told: FileIO, launch: Launch) -> int:
    pid, words = _answer(told, launch)
    if pid <= 0:
        raise RuncRefused(words or _said(launch))
    return pid


def _answer(told: FileIO, launch: Launch) -> tuple[int, str]:
    """One line of conmon's: a number, and runc's words if it has any."""
    line = b""
    poller = select.poll()
    poller.register(told, select.POLLIN)
    deadline = time.monotonic() + _CREATE_TIMEOUT
    while not line.endswith(b"\n"):
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise Failure(f"runc did not answer within {_CREATE_TIMEOUT:.0f} s")
        data = told.read(_LARGEST_MESSAGE)
        if not data:
            raise Failure(f"conmon ended without a word on {launch.unit}: {_said(launch)}")
        line += data
    answer = json.loads(line.partition(b"\n")[0])
    return int(answer["data"]), str(answer.get("message", ""))


def _said(launch: Launch) -> str:
    """What conmon wrote where nobody listens."""
    with open(f"{launch.bundle}/conmon.log", encoding="utf-8", errors="replace") as stream:
        return stream.read(4096).strip() or "no message"


def connect(bundle: str) -> socket.socket:
    """A connection to the standard streams; ConnectionRefusedError or FileNotFoundError when conmon is gone."""
    # the path of a bundle may be longer than a socket's address can be
    directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"/proc/self/fd/{directory}/attach")
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(directory)
    connection.setblocking(False)
    return connection


def resize(bundle: str, height: int, width: int) -> None:
    """The terminal's new size; without effect when the process has ended."""
    try:
        fd = os.open(f"{bundle}/ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # nobody reads the fifo any more, or it is gone with the bundle
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return
        raise
    try:
        os.write(fd, f"{_RESIZE} {height} {width}\n".encode())
    finally:
        os.close(fd)


def open_process(bundle: str) -> int:
    """A descriptor (pidfd) of the conmon that serves `bundle`, or -1 when it has ended; the caller closes it."""
    try:
        with open(f"{bundle}/conmon.pid", encoding="ascii") as stream:
            pid = int(stream.read())
        fd = os.pidfd_open(pid)
    except (FileNotFoundError, ProcessLookupError):
        return -1
    if os.fsencode(bundle) in _command_line(pid):
        return fd
    # the number is another process's by now
    os.close(fd)
    return -1


def _command_line(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_alive(bundle: str) -> bool:
    """Whether anything that was started for `bundle` is alive, conmon or runc, however early the starter died."""
    try:
        with open(f"{bundle}/lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def await_end(bundle: str) -> bool:
    """Returns when nothing that was started for `bundle` is alive, or does not end; whether anything was."""
    if not is_alive(bundle):
        return False
    deadline = time.monotonic() + _APPEAR_TIMEOUT
    while is_alive(bundle) and time.monotonic() < deadline:
        time.sleep(0.002)
    return True


def abandon(bundle: str) -> None:
    """Kills conmon, and with it a `runc create` under way.  What that created is for `runc delete --force`."""
    deadline = time.monotonic() + _APPEAR_TIMEOUT
    # between its birth and the file with its pid conmon takes a millisecond, and only a daemon killed in just that one
    # leaves this to be waited for
    while not os.path.exists(f"{bundle}/conmon.pid") and is_alive(bundle) and time.monotonic() < deadline:
        time.sleep(0.002)
    fd = open_process(bundle)
    if fd < 0:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        poller.poll(_APPEAR_TIMEOUT * 1000)
    finally:
        os.close(fd)


def exit_code(bundle: str) -> int | None:
    """What conmon noted at the end; None when it did not live to see it."""
    try:
        with open(f"{bundle}/exit", encoding="ascii") as stream:
            return int(stream.read())
    except (FileNotFoundError, ValueError):
        return None


def killed_for_memory(bundle: str) -> bool:
    return os.path.exists(f"{bundle}/oom")


def exit_moment(bundle: str) -> int:
    """When the process ended, in ns since the epoch; now, if conmon did not live to see it."""
    try:
        return os.stat(f"{bundle}/exit").st_mtime_ns
    except FileNotFoundError:
        return time.time_ns()
