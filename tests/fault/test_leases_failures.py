"""Crashes and full or read-only disks: an error that names the file, no address given half, none lost for ever."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lease_servers import call, leases, reference_binary, resident, servers

from pycni.ipam.leases import LeaseBook
from pycni.ipam.ranges import RangeSet, RangeSpec, complete_set
from pycni.spec.address import Prefix
from pycni.spec.errors import StoreError

SETS: tuple[RangeSet, ...] = tuple(
    complete_set([RangeSpec(Prefix.parse(each))]) for each in ("10.0.0.0/29", "10.0.1.0/29")
)
USABLE = 5
CALLS = ("open", "write", "pwrite", "unlink", "utime", "close", "scandir", "fstat")


def die_before(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that is killed before its file operation number `step`; False when it needed fewer."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def operation(*arguments: object, **named: object) -> object:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return operation

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == 0:
        return False
    assert os.WIFSIGNALED(status)
    return True


def steps(work_of: Callable[[int], Callable[[], object]]) -> int:
    """Kill the work at each of its steps in turn; how many there are."""
    step = 1
    while die_before(step, work_of(step)):
        step += 1
    return step - 1


def test_kill_at_any_step_of_an_allocation_costs_no_address(tmp_path: Path) -> None:
    def work_of(step: int) -> Callable[[], object]:
        return lambda: LeaseBook(str(tmp_path / str(step)), "shared").allocate("dead", "eth0", SETS)

    count = steps(work_of)
    assert count > 10
    for step in range(1, count + 1):
        book = LeaseBook(str(tmp_path / str(step)), "shared")
        # whoever comes next is served, although nobody cleaned up
        book.allocate("alive", "eth0", SETS)
        book.release("dead", "eth0")
        book.collect(frozenset({("alive", "eth0")}))
        assert set(leases(tmp_path / str(step)).values()) == {"alive\neth0"}
        for number in range(USABLE - 1):
            book.allocate(f"more{number}", "eth0", SETS)
        assert len(leases(tmp_path / str(step))) == 2 * USABLE


def test_kill_at_any_step_of_a_release_can_be_repeated(tmp_path: Path) -> None:
    def work_of(step: int) -> Callable[[], object]:
        book = LeaseBook(str(tmp_path / str(step)), "shared")
        book.allocate("dead", "eth0", SETS)
        book.allocate("alive", "eth0", SETS)
        return lambda: book.release("dead", "eth0")

    count = steps(work_of)
    assert count > 2
    for step in range(1, count + 1):
        book = LeaseBook(str(tmp_path / str(step)), "shared")
        book.release("dead", "eth0")
        assert set(leases(tmp_path / str(step)).values()) == {"alive\neth0"}


def test_a_killed_holder_frees_the_lock_for_the_reference_too(tmp_path: Path) -> None:
    assert reference_binary()
    die_before(6, lambda: LeaseBook(str(tmp_path), "shared").allocate("dead", "eth0", SETS))
    for number, server in enumerate(servers()):
        assert len(call(server, "ADD", f"c{number}", tmp_path, "10.0.0.0/29")) == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system of the test's own with these options."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["/usr/bin/umount", "--lazy", place], check=True)


def contents(root: Path) -> dict[str, bytes]:
    return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}


@pytest.mark.parametrize("inodes", range(4, 9))
def test_no_inode_left(disk: Callable[[str], Path], inodes: int) -> None:
    """However far it gets: an owner has all its addresses or none."""
    root = disk(f"size=1m,nr_inodes={inodes}")
    book = LeaseBook(str(root / "leases"), "shared")
    with pytest.raises(StoreError, match=r"/leases(/shared(/\S+)?)?: no space left on device$"):
        for number in range(3):
            book.allocate(f"c{number}", "eth0", SETS)
    owners = [content for name, content in contents(root).items() if "last_reserved" not in name and content]
    assert all(owners.count(each) == 2 for each in owners)
    assert all(content for name, content in contents(root).items() if name.rpartition("/")[2][0].isdigit())


def test_no_block_left(disk: Callable[[str], Path]) -> None:
    root = disk("size=16k")
    book = LeaseBook(str(root), "shared")
    book.allocate("c1", "eth0", SETS[:1])
    filler = root / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    before = contents(root)
    with pytest.raises(StoreError) as caught:
        book.allocate("c2", "eth0", SETS[:1])
    assert caught.value.msg == f"writing lease {root}/shared/10.0.0.3: no space left on device"
    assert contents(root) == before
    assert book.release("c1", "eth0"), "giving back needs no space"
    filler.unlink()
    book.allocate("c2", "eth0", SETS[:1])


def test_a_read_only_disk(disk: Callable[[str], Path]) -> None:
    root = disk("size=1m")
    call(resident, "ADD", "c1", root, "10.0.0.0/29")
    subprocess.run(["/usr/bin/mount", "-o", "remount,ro", root], check=True)
    before = contents(root)
    for command, container, text in (
        ("ADD", "c2", f"creating lease {root}/shared/10.0.0.3: read-only file system"),
        ("DEL", "c1", f"releasing lease {root}/shared/10.0.0.2: read-only file system"),
        ("STATUS", "", f"lease directory {root}/shared is not writable"),
    ):
        with pytest.raises(AssertionError, match=text):
            call(resident, command, container, root, "10.0.0.0/29")
    call(resident, "CHECK", "c1", root, "10.0.0.0/29")
    assert contents(root) == before
    subprocess.run(["/usr/bin/mount", "-o", "remount,rw", root], check=True)
    call(resident, "DEL", "c1", root, "10.0.0.0/29")
    assert leases(root) == {}
