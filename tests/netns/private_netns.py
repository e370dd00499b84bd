"""Private network namespaces for tests of the real kernel, made without a process.

Nothing but a descriptor and a bind mount below the test's own directory keeps them.  A command in one is the only
process that it takes: where the kernel is emulated, each costs a tenth of a second."""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import itertools
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import Inside

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MNT_DETACH = 2


class PrivateNetns:
    """A namespace of the test's own: `path` (usable as CNI_NETNS) and `fd`, valid until the test ends."""

    def __init__(self, path: Path, lo_up: bool = False) -> None:
        self.path = str(path)
        path.touch()
        _make(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._opened: list[Namespace] = []
        if lo_up:
            self.namespace().set_link(1, up=True)

    def run(
        self, command: Sequence[str], check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, its output captured as text."""
        pipe = subprocess.PIPE
        with self.start(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=60)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: exit {done.returncode}: {stderr.strip() or stdout.strip()}")
        return done

    def start(self, command: Sequence[str], **options: object) -> subprocess.Popen[str]:
        """Starts a command inside, to be ended by the caller."""
        with self.inside():
            return subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload, no-any-return]

    def inside(self) -> Inside:
        """`with ns.inside():` runs the block in the namespace, in this thread."""
        return Inside(self.fd)

    def socket(self, family: int, kind: int) -> _socket.socket:
        """A socket of this namespace."""
        with self.inside():
            return _socket.socket(family, kind)

    def namespace(self) -> Namespace:
        """A fresh pycni Namespace for it, closed with the test."""
        opened = Namespace.open(self.path)
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        """Ends the namespace, also when it was ended before."""
        while self._opened:
            self._opened.pop().close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            _checked(_libc.umount2(self.path.encode(), _MNT_DETACH), "umount")
            os.unlink(self.path)


@contextlib.contextmanager
def factory(directory: Path, lo_up: bool = False) -> Iterator[Callable[[], PrivateNetns]]:
    """Makes namespaces, all of which are gone at the end."""
    numbers = itertools.count()
    with contextlib.ExitStack() as stack:

        def make() -> PrivateNetns:
            made = PrivateNetns(directory / f"netns-{next(numbers)}", lo_up)
            stack.callback(made.close)
            return made

        yield make


def _make(path: str) -> None:
    """In a thread that ends with it."""
    problems: list[OSError] = []

    def leave() -> None:
        try:
            _checked(_libc.unshare(_CLONE_NEWNET), "unshare")
            source = f"/proc/self/task/{threading.get_native_id()}/ns/net"
            _checked(_libc.mount(source.encode(), path.encode(), None, _MS_BIND, None), "mount")
            # a new namespace takes this one after the host's, which may run containers
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        except OSError as error:
            problems.append(error)

    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]


def _checked(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
