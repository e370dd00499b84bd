"""`pynetd` without a process's name: starts the engine, the name server and the API, and starts again what dies; the
DHCP daemon is started by its first caller.

For machines without systemd, whose units run them one by one.  Nothing passes between the processes here, so any
of them may be killed, this one too: its children get SIGTERM then (PR_SET_PDEATHSIG) and end as they always do.
A process that cannot even start ends all of it, with its own message and exit status; one that has served and ends is
started again, at once at first and then after ever longer breaks.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import sys
import time
from _socket import AF_UNIX, SO_PASSCRED, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOL_SOCKET, socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import Struct

from netd.listener import Listener, ListenError, listen, tell_manager
from pycni_plugins.dhcp.config import default_socket

PROCESSES = ("engine", "dns", "api")
FIRST_BREAK, LONGEST_BREAK = 0.1, 5.0
"""Seconds before a process is started again: none the first time, then these, each time in a row twice as many."""
SETTLED = 10.0
"""Who has run this many seconds had a reason of his own to end."""
PATIENCE = 20.0
"""Seconds for the processes to end after SIGTERM, then SIGKILL: running plugin calls may finish."""

_PREDECESSOR = 1.0
"""Seconds in which what a killed supervisor started has ended too."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_PR_SET_PDEATHSIG = 1
_CREDENTIALS = Struct("iII")
_SCM_CREDENTIALS = 2


class Process:
    """One of them.  `pid` 0: not running; `due` is when to start it again (monotonic seconds).

    `listener` is a socket that is handed to it: such a process is started by its first caller, and may end when nobody
    needs it any more."""

    def __init__(self, name: str, listener: Listener | None = None, wanted: bool = True) -> None:
        self.name = name
        self.listener = listener
        self.wanted = wanted
        self.pid = 0
        self.ready = listener is not None
        self.started = 0.0
        self.pause = 0.0
        self.due = 0.0

    def ended(self, now: float) -> None:
        """Takes the end of the process, and decides when the next begins."""
        if now - self.started >= SETTLED:
            self.pause = 0.0
        self.due = now + self.pause
        self.pause = min(max(self.pause * 2, FIRST_BREAK), LONGEST_BREAK)
        self.pid = 0

    def fileno(self) -> int:
        return -1 if self.listener is None else self.listener.socket.fileno()

    def hand_over(self, environment: dict[str, str]) -> None:
        """In the process itself: its socket as systemd would pass it (sd_listen_fds(3))."""
        os.dup2(self.fileno(), 3)
        os.set_inheritable(3, True)
        environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")


class Supervisor:
    """Runs until a signal, or until one of the processes could not start."""

    def __init__(
        self,
        run_dir: str,
        more: Mapping[str, Sequence[str]],
        names: Iterable[str] = PROCESSES,
        called: Iterable[Process] = (),
    ) -> None:
        """`more` are the words for one process besides, by its name; `called` are started when they are called."""
        self._run_dir = run_dir
        self._more = more
        self._called = list(called)
        self._processes = [*(Process(name) for name in names), *self._called]
        self._told = False
        self._stopping = False
        self._wake, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(written)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        self._notices = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        self._notices.setsockopt(SOL_SOCKET, SO_PASSCRED, 1)
        self._notices.bind("")  # an abstract address of the kernel's choice

    def run(self) -> int:
        """The exit status: 0 after a signal, else that of the process which could not start."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._notices.fileno(), select.POLLIN)
        while True:
            self._start_due()
            for each in self._called:
                # a caller that is waiting for a process which was started is no news
                poll.register(each.fileno(), 0 if each.wanted else select.POLLIN)
            ready = {fd for fd, _ in poll.poll(self._until_next())}
            for each in self._called:
                each.wanted = each.wanted or each.fileno() in ready
            self._hear()
            failed = self._reap()
            if failed is not None or self._signalled():
                tell_manager("STOPPING=1", os.environ)
                self._stop()
                return failed or 0

    def _start_due(self) -> None:
        for each in self._processes:
            if each.wanted and not each.pid and time.monotonic() >= each.due:
                each.started = time.monotonic()
                each.pid = self._spawn(each)

    def _until_next(self) -> float | None:
        """Milliseconds; None: nobody waits for his turn."""
        waiting = [each.due for each in self._processes if each.wanted and not each.pid]
        return max(0.0, (min(waiting) - time.monotonic()) * 1000) if waiting else None

    def _spawn(self, process: Process) -> int:
        name = process.name
        parent = os.getpid()
        # a signal between fork and the child's own handling of signals would be taken by our handlers, and lost
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() == parent:
                address = self._notices.getsockname()
                environment = {**os.environ, "NOTIFY_SOCKET": "@" + address[1:].decode("latin-1")}
                if process.listener is not None:
                    process.hand_over(environment)
                words = [*_command(), name, "--run-dir", self._run_dir, *self._more.get(name, ())]
                os.execve(words[0], words, environment)
        except BaseException as error:
            os.write(2, f"pynetd: starting {name}: {error}\n".encode(errors="backslashreplace"))
        os._exit(1)

    def _hear(self) -> None:
        """Takes who is ready, and says so to our own manager when all are."""
        while True:
            try:
                text, extra, _, _ = self._notices.recvmsg(4096, 64)
            except BlockingIOError:
                break
            senders = [_CREDENTIALS.unpack(data)[0] for _, kind, data in extra if kind == _SCM_CREDENTIALS]
            for each in self._processes:
                if each.pid in senders and b"READY=1" in text.split(b"\n"):
                    each.ready = True
        if not self._told and all(each.ready for each in self._processes):
            self._told = True
            tell_manager("READY=1", os.environ)

    def _reap(self) -> int | None:
        """The exit status of a process that ended before it was ever ready, else None."""
        failed = None
        for each in self._processes:
            if not each.pid:
                continue
            pid, status = os.waitpid(each.pid, os.WNOHANG)
            if not pid:
                continue
            code = os.waitstatus_to_exitcode(status)
            each.ended(time.monotonic())
            if each.listener is not None and not code:
                each.wanted = False
            elif not each.ready:
                failed = code if code > 0 else 1
            elif not self._stopping:
                how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
                _log(f"{each.name} {how}; starting it again")
        return failed

    def _signalled(self) -> bool:
        try:
            numbers = os.read(self._wake, 4096)
        except BlockingIOError:
            return False
        return any(number in (signal.SIGTERM, signal.SIGINT) for number in numbers)

    def _stop(self) -> None:
        self._stopping = True
        running = [each for each in self._processes if each.pid]
        for each in running:
            os.kill(each.pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        while any(each.pid for each in running):
            left = deadline - time.monotonic()
            if left <= 0:
                for each in running:
                    if each.pid:
                        _log(f"{each.name} does not end: SIGKILL")
                        os.kill(each.pid, signal.SIGKILL)
                        os.waitpid(each.pid, 0)
                return
            poll.poll(left * 1000)
            self._signalled()
            self._reap()


def _command() -> list[str]:
    """The words that start a process of this very installation."""
    script = os.path.abspath(sys.argv[0])
    if os.path.basename(script) == "pynetd" and os.access(script, os.R_OK):
        return [sys.executable, script]
    return [sys.executable, "-m", "netd.daemon"]


def supervise(run_dir: str, more: Mapping[str, Sequence[str]]) -> int:
    """The exit status, as of `Supervisor.run`; 1 when another supervisor runs with this directory."""
    try:
        os.makedirs(run_dir, 0o755, exist_ok=True)
        lock = os.open(f"{run_dir}/pynetd.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        _log(f"{error.filename}: {(error.strerror or '').lower()}")
        return 1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _log(f"another pynetd runs with {run_dir}")
        return 1
    called = list(_called(run_dir))
    try:
        return Supervisor(run_dir, more, called=called).run()
    finally:
        for each in called:
            if each.listener is not None:
                each.listener.close()


def _called(run_dir: str) -> Iterator[Process]:
    """The DHCP daemon: when its socket is called, and now when there are leases to be kept."""
    path = default_socket(run_dir)
    deadline = time.monotonic() + _PREDECESSOR
    while True:
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            listener = listen(path, {})
            break
        except (ListenError, OSError) as error:
            # a daemon whose supervisor was killed may be about to end
            if time.monotonic() >= deadline:
                _log(f"no DHCP: {error}")
                return
        time.sleep(FIRST_BREAK)
    leases = f"{run_dir}/dhcp"
    yield Process("dhcp", listener, wanted=os.path.isdir(leases) and bool(os.listdir(leases)))


def _log(text: str) -> None:
    os.write(2, f"pynetd: {text}\n".encode(errors="backslashreplace"))
