"""Tests that need drivers: run in the guest of `scripts/vm`, or natively where the kernel has them.

The guest is emulated: a process costs a tenth of a second there, so these namespaces are made without any, and a
command in one is the only process it takes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from netns.conftest import PrivateNetns, _thread_stays_home  # noqa: F401  # a fixture

for module in ("real_machine", "twins"):
    pytest.register_assert_rewrite(module)

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_MS_BIND = 4096
_MNT_DETACH = 2


def _checked(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


class QuickNetns(PrivateNetns):
    """A PrivateNetns of few processes, with lo up."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.touch()
        self._opened = []
        problems: list[OSError] = []

        def make() -> None:
            try:
                _checked(_libc.unshare(_CLONE_NEWNET), "unshare")
                source = f"/proc/self/task/{threading.get_native_id()}/ns/net"
                _checked(_libc.mount(source.encode(), self.path.encode(), None, _MS_BIND, None), "mount")
            except OSError as error:
                problems.append(error)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if problems:
            raise problems[0]
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.namespace().set_link(1, up=True)

    def run(
        self, command: Sequence[str], check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        with self.inside():
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        stdout, stderr = process.communicate(stdin, timeout=60)
        done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: exit {done.returncode}: {stderr.strip() or stdout.strip()}")
        return done

    def close(self) -> None:
        while self._opened:
            self._opened.pop().close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            _checked(_libc.umount2(self.path.encode(), _MNT_DETACH), "umount")
            os.unlink(self.path)


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Callable[[], QuickNetns]]:
    """A factory of private namespaces."""
    made: list[QuickNetns] = []

    def make() -> QuickNetns:
        made.append(QuickNetns(tmp_path / f"netns-{len(made)}"))
        return made[-1]

    try:
        yield make
    finally:
        for each in reversed(made):
            each.close()
