"""Calls of those who see other files or users than the engine: a process beside it serves them, one child a call.

A worker thread cannot enter a mount or user namespace: setns(2) refuses that to a process with threads, and it would
have to come back with the powers it gave up.  So a process with one thread, started when the first such call comes and
gone a minute after the last, forks a child that becomes like the caller for good (`netd.engine.likeness`) and answers
over the caller's own connection.  The engine is then rid of the call: neither its end nor the helper's harms it.

Nothing is executed before the engine has said so.  Until then every failure means that the caller executes the call
itself; after that the connection tells the caller what became of it, as with a call of the engine's own.
"""

from __future__ import annotations

import os
import sys
from _socket import (
    AF_UNIX,
    SCM_RIGHTS,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SOCK_CLOEXEC,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
    socketpair,
)
from collections.abc import Callable, Sequence
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl
from struct import Struct
from threading import Lock, Thread

from netd.whole import Files

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "helper_main.py")

IDLE_SECONDS = 60
"""How long the process waits for another call before it ends."""

READY_SECONDS = 5
"""Becoming like a caller takes milliseconds; one whose root directory is on a file system that hangs takes for ever."""

READY, GO, UNLIKE = b"R", b"G", b"U"
"""The child is like the caller; the engine says that it may begin; the child cannot be like the caller, and why."""

LENGTH = Struct("=I")

_REASON_LIMIT = 500
_SECONDS = Struct("@ll").pack(READY_SECONDS, 0)


class _Gone(Exception):
    """The helper or its child ended before anything was executed."""


def command(run_dir: str, seconds: float = IDLE_SECONDS) -> tuple[str, ...]:
    """How to start the process, for plugins that keep their state below `run_dir`."""
    return (sys.executable, "-I", "-S", PROGRAM, run_dir, str(seconds))


class Helper:
    """The process, while there is one.  Thread-safe.  Without a command there never is one, and no call is taken."""

    def __init__(self, command: Sequence[str], log: Callable[[str], None]) -> None:
        self._command = command
        self._log = log
        self._lock = Lock()
        self._control: socket | None = None
        self._said: set[str] = set()
        self._files = Files(("netd", "pycni", "pycni_plugins"))
        self.pid = 0

    def take(self, body: bytes, connection: socket, pidfd: int, root: int) -> bool:
        """Whether a child took over the call with this body, from the process behind `pidfd`, whose root directory is
        `root`, and will answer it over `connection`.  If not, nothing was executed."""
        if not self._command:
            return False
        if self._control is None and (changed := self._files.changed()):
            self._say(f"{changed} has changed since this engine was started: restart it")
            return False
        for _ in range(2):  # the process may end, its minute being over, at the very moment when we call
            try:
                control = self._running()
            except OSError as error:
                self._say(f"the helper for callers in other namespaces does not start: {error.strerror}")
                return False
            try:
                return self._hand_over(control, body, (connection.fileno(), pidfd, root))
            except (_Gone, OSError):
                self._forget(control)
        self._say("the helper for callers in other namespaces ends before it serves them")
        return False

    def close(self) -> None:
        """The process ends; children at work go on."""
        with self._lock:
            if self._control is not None:
                self._control.close()
                self._control = None

    def _hand_over(self, control: socket, body: bytes, fds: tuple[int, ...]) -> bool:
        mine, its = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            mine.setsockopt(SOL_SOCKET, SO_RCVTIMEO, _SECONDS)
            mine.setsockopt(SOL_SOCKET, SO_SNDTIMEO, _SECONDS)
            rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (its.fileno(), *fds))
            control.sendmsg([b"call"], [(SOL_SOCKET, SCM_RIGHTS, rights)])
            its.close()  # or we would not notice the other end's end
            mine.sendall(LENGTH.pack(len(body)) + body)
            said = mine.recv(_REASON_LIMIT)
            if said == READY:
                mine.sendall(GO)
                return True
            if not said:
                raise _Gone
            self._say(f"not like a caller: {said[1:].decode('utf-8', 'replace')}")
            return False
        except BlockingIOError:
            self._say(f"not like a caller after {READY_SECONDS} seconds")
            return False
        finally:
            mine.close()
            its.close()

    def _running(self) -> socket:
        with self._lock:
            if self._control is None:
                self._control = self._start()
            return self._control

    def _forget(self, control: socket) -> None:
        with self._lock:
            if self._control is control:
                control.close()
                self._control = None

    def _start(self) -> socket:
        program = _sealed(self._command[0])
        control, its = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        try:
            actions = [
                (os.POSIX_SPAWN_DUP2, its.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ]
            self.pid = os.posix_spawn(f"/proc/self/fd/{program}", list(self._command), {}, file_actions=actions)
        except OSError:
            control.close()
            raise
        finally:
            its.close()
            os.close(program)
        Thread(target=os.waitpid, args=(self.pid, 0), name="helper", daemon=True).start()
        return control

    def _say(self, reason: str) -> None:
        """Each reason once: a caller whom nobody can be like calls again and again."""
        if reason not in self._said and len(self._said) < 20:
            self._said.add(reason)
            self._log(reason)


def _sealed(path: str) -> int:
    """A copy of a program in memory that nobody can change; the descriptor is the caller's.

    Whoever shares a namespace with a child can get at the file it executes, through /proc/PID/exe or by having it
    execute /proc/self/exe, and it would be one of the host's (runc's CVE-2019-5736)."""
    with open(path, "rb") as file:
        copy = os.memfd_create("helper", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            length = os.fstat(file.fileno()).st_size
            while length:
                length -= os.sendfile(copy, file.fileno(), None, length)
            fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
        except OSError:
            os.close(copy)
            raise
    return copy
