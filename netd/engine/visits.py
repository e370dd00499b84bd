"""Namespaces as the engine's threads enter them, all of which are at home in one."""

from __future__ import annotations

from netd.engine.connection import Passed
from netd.engine.sysctls import OwnProc, SysctlDirectories, Tree
from pycni.kernel import sysctl_files
from pycni.kernel.libc import CLONE_NEWNET, setns
from pycni.kernel.namespace import Namespace
from pycni.kernel.netns import Inside, end_abroad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class Visit(Inside):
    """The way in and back; home need not be opened anew each time."""

    __slots__ = ()

    def __init__(self, fd: int, home: int) -> None:
        self._fd = fd
        self._home = home

    def __enter__(self) -> None:
        setns(self._fd, CLONE_NEWNET)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            setns(self._home, CLONE_NEWNET)
        except BaseException:
            end_abroad("pynetd: ", "engine")


class VisitedNamespace(Namespace):
    """A namespace that only the engine's threads enter."""

    __slots__ = ("_home",)

    def __init__(self, fd: int, home: int, identity: tuple[int, int] | None = None) -> None:
        super().__init__(fd, identity=identity)
        self._home = home

    def entered(self) -> Inside:
        """As Namespace's."""
        return Visit(self.fd, self._home)


class HostNamespace(VisitedNamespace):
    """One that many calls come from."""

    __slots__ = ("_sysctls",)

    def __init__(self, fd: int, home: int, sysctls: SysctlDirectories) -> None:
        super().__init__(fd, home)
        self._sysctls = sysctls

    def read_sysctl(self, path: str) -> str:
        """As Namespace's, and so the other two."""
        found = self._sysctls.find(path)
        return sysctl_files.read(*found) if found else super().read_sysctl(path)

    def write_sysctl(self, path: str, value: str) -> None:
        if found := self._sysctls.find(path):
            sysctl_files.write(found[0], value, found[1])
        else:
            super().write_sysctl(path, value)

    def replace_sysctl(self, path: str, value: str) -> str | None:
        if found := self._sysctls.find(path):
            return sysctl_files.replace(found[0], value, found[1])
        return super().replace_sysctl(path, value)


class ContainerNamespace(VisitedNamespace):
    """One that a call comes to, and hardly any other will.

    Every call makes one, so its ways are short: each function of Python's takes 3 us in an engine that was asleep."""

    __slots__ = ("_procs", "_tree")

    def __init__(self, passed: Passed, home: int, procs: OwnProc) -> None:
        Namespace.__init__(self, passed.fd, identity=passed.identity)
        self._home = home
        self._procs = procs
        self._tree: Tree | None = None

    def read_sysctl(self, path: str) -> str:
        """As Namespace's, and so the other two."""
        with Visit(self.fd, self._home):
            return sysctl_files.read(path, self._directory())

    def write_sysctl(self, path: str, value: str) -> None:
        with Visit(self.fd, self._home):
            sysctl_files.write(path, value, self._directory())

    def replace_sysctl(self, path: str, value: str) -> str | None:
        with Visit(self.fd, self._home):
            return sysctl_files.replace(path, value, self._directory())

    def close(self) -> None:
        """As Namespace's."""
        if self._route is not None or self._netfilter is not None:
            super().close()
        if self._tree is not None:
            tree, self._tree = self._tree, None
            self._procs.give_back(tree)

    def _directory(self) -> int | None:
        if self._tree is None:
            self._tree = self._procs.lend()
        return None if self._tree is None else self._tree.directory
