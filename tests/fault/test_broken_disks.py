"""A full disk, read-only directories, and a read-only /proc/sys: a typed error, nothing half done, and all is well
again afterwards.  Whole chains; the leases alone are in test_leases_failures.py."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_host import BACKENDS, Container, CrashHost, chain

ENOSPC = "no space left on device"
EROFS = "read-only file system"
READ_ONLY_SYS = ("/usr/bin/unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-euc")
_REMOUNT = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$0"'


class Disk:
    """A small file system of the test's own at `place`."""

    def __init__(self, place: Path, options: str) -> None:
        self.place = place
        self._filler = place / "filler"
        place.mkdir(parents=True, exist_ok=True)
        self._mount("-t", "tmpfs", "-o", options, "tmpfs")

    def _mount(self, *options: str) -> None:
        subprocess.run(["/usr/bin/mount", *options, self.place], check=True, capture_output=True)

    def fill(self, leaving: int) -> None:
        """So many blocks of 4 KiB are left."""
        with open(self._filler, "wb", buffering=0) as file:
            file.write(bytes(4096 * (leaving + 1)))
            with contextlib.suppress(OSError):
                while file.write(bytes(65536)):
                    pass
            os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size)
        state = os.statvfs(self.place)
        size = os.stat(self._filler).st_size
        os.truncate(self._filler, size + 4096 * (state.f_bfree - leaving))

    def fill_inodes(self, leaving: int) -> None:
        """So many files can still be made."""
        for number in range(os.statvfs(self.place).f_ffree - leaving):
            (self.place / f"filler-{number}").touch()

    def clear(self) -> None:
        """Space for all again."""
        for each in self.place.glob("filler*"):
            each.unlink()

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """A read-only mount over it: what is open stays writable, as the file system does not."""
        self._mount("--bind", str(self.place))
        try:
            self._mount("-o", "remount,bind,ro")
            yield
        finally:
            self._unmount()

    def close(self) -> None:
        self._unmount()

    def _unmount(self) -> None:
        subprocess.run(["/usr/bin/umount", "--lazy", self.place], check=True)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CrashHost]:
    with CrashHost(tmp_path / "crash") as host:
        yield host


@contextlib.contextmanager
def disk(place: Path, options: str = "size=256k,nr_inodes=200") -> Iterator[Disk]:
    made = Disk(place, options)
    try:
        yield made
    finally:
        made.close()


def directories(host: CrashHost) -> dict[str, Path]:
    return {"run": host.run_dir, "leases": host.leases, "tuning": host.tuning}


def assert_refused(victim: Container, via: str, text: str, where: Path) -> int:
    """The chain fails, says why and where, and can undo what it did; by which plugin, 0 when it went through."""
    outcomes = victim.add(via)
    if outcomes[-1].status == 0:
        return 0
    message = outcomes[-1].error["msg"]
    assert text in message, message
    assert str(where) in message, message
    assert "undoing" not in outcomes[-1].stderr, outcomes[-1]
    assert len(message.splitlines()) == 1, message
    return len(outcomes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("via", ["engine", "process"])
@pytest.mark.parametrize("what", ["run", "leases", "tuning"])
def test_no_inode_or_block_left(host: CrashHost, backend: str, via: str, what: str) -> None:
    """However much is left, for each amount until the chain fits: all of it, or none of what failed."""
    place = directories(host)[what]
    with disk(place) as small, host.engine() as engine:
        stays = Container(host, "stays", chain(host, backend, first_port=9000)).added()
        victim = Container(host, "victim", chain(host, backend)).added()
        victim.deleted()
        engine.sync()
        before = host.snapshot()
        for fill in (small.fill_inodes, small.fill):
            for leaving in range(30):
                small.clear()
                fill(leaving)
                refused = assert_refused(victim, via, ENOSPC, place)
                if refused == 1:  # before any DEL
                    small.clear()
                    assert host.snapshot() == before, (fill.__name__, leaving)
                    fill(leaving)
                victim.deleted(via)  # giving back needs no space
                engine.sync()
                small.clear()
                assert host.snapshot() == before, (fill.__name__, leaving)
                if not refused:
                    break
            else:
                pytest.fail("never enough")
            assert leaving > 0
        victim.added(via)
        assert victim.check(via) == stays.check(via) == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("via", ["engine", "process"])
@pytest.mark.parametrize("what", ["run", "leases", "tuning"])
def test_read_only(host: CrashHost, backend: str, via: str, what: str) -> None:
    place = directories(host)[what]
    with disk(place) as small, host.engine() as engine:
        stays = Container(host, "stays", chain(host, backend, first_port=9000)).added()
        victim = Container(host, "victim", chain(host, backend))
        before = host.snapshot()
        with small.read_only():
            assert assert_refused(victim, via, EROFS, place)
            assert stays.check(via) == []
            failures = [each for each in stays.delete(via) if each.status]
            assert failures, "its files are still there"
            for each in failures:
                assert EROFS in each.error["msg"], each
        victim.deleted(via)
        stays.deleted(via)
        engine.sync()
        assert host.files() == {}
        assert set(host.snapshot()["devices"]) == {name for name in before["devices"] if not name.startswith("veth")}
        victim.added(via)
        assert victim.check(via) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_only_proc_sys(host: CrashHost, backend: str) -> None:
    """As inside an unprivileged container: the engine leaves such a caller to itself, and the error names the file."""
    with host.engine() as engine:
        victim = Container(host, "victim", chain(host, backend))
        victim.added()
        victim.deleted()
        engine.sync()
        before = host.snapshot()
        prefix = (*READ_ONLY_SYS, _REMOUNT)
        outcome = host.call(victim.plugins[0], "ADD", "victim", victim.netns.path, "engine", prefix)
        message = outcome.error["msg"]
        assert "/proc/sys/net/" in message, message
        assert message.endswith(EROFS), message
        assert host.snapshot() == before
        assert host.devices_in(victim.netns) == []
        fresh = Container(host, "fresh", victim.plugins[:1]).added()
        given = {**victim.plugins[3], "prevResult": fresh.result}
        outcome = host.call(given, "ADD", "fresh", fresh.netns.path, "engine", prefix)
        assert outcome.error["msg"] == f"open /proc/sys/net/core/somaxconn: {EROFS}"
        fresh.deleted()
        engine.sync()
        assert host.snapshot() == before
        victim.added()
        assert victim.check() == []
