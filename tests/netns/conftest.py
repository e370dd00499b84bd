"""Private network namespaces for tests of the real kernel.

`netns()` makes a namespace with lo down and returns it; all of them are gone at the end of the test, however it ends:
nothing but the descriptor and a bind mount below the test's own directory keeps them.
"""

from __future__ import annotations

import _socket
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import THREAD_NETNS, Inside

_UNSHARE = ("/usr/bin/unshare", "--net", "--")


class PrivateNetns:
    """A namespace of the test's own: `path` (usable as CNI_NETNS) and `fd`, valid until the test ends."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        path.touch()
        subprocess.run(
            [*_UNSHARE, "/usr/bin/mount", "--bind", "/proc/self/ns/net", self.path], check=True, capture_output=True
        )
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._opened: list[Namespace] = []

    def run(
        self, command: Sequence[str], check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command inside, its output captured as text."""
        done = subprocess.run(
            ["/usr/bin/nsenter", f"--net={self.path}", "--", *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def start(self, command: Sequence[str], **options: object) -> subprocess.Popen[str]:
        """Starts a command inside, to be ended by the caller."""
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            ["/usr/bin/nsenter", f"--net={self.path}", "--", *command], text=True, **options
        )

    def inside(self) -> Inside:
        """`with ns.inside():` runs the block in the namespace, in this thread; open sockets there, start nothing."""
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
            subprocess.run(["/usr/bin/umount", "--lazy", self.path], check=False, capture_output=True)
            os.unlink(self.path)


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Callable[[], PrivateNetns]]:
    """A factory of private namespaces."""
    made: list[PrivateNetns] = []

    def make() -> PrivateNetns:
        made.append(PrivateNetns(tmp_path / f"netns-{len(made)}"))
        return made[-1]

    try:
        yield make
    finally:
        for each in reversed(made):
            each.close()


@pytest.fixture(autouse=True)
def _thread_stays_home() -> Iterator[None]:
    """The test's thread ends in the namespace it began in."""
    before = os.stat(THREAD_NETNS).st_ino
    yield
    assert os.stat(THREAD_NETNS).st_ino == before
