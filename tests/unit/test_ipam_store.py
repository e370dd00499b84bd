"""The lease files: format, ownership, the index and its validity (contract 3.6).  Works on files below tmp_path."""

from __future__ import annotations

import os
import stat
import threading
import time
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

import pytest

from pycni.ipam.store import Freed, LeaseStore
from pycni.spec.address import Address
from pycni.spec.errors import StoreError

NET = "mynet"


def address(text: str) -> Address:
    return Address.parse(text)


def reserve(
    store: LeaseStore, root: Path, text: str, container: str = "c1", ifname: str = "eth0", number: int = 0
) -> bool:
    with store.open(str(root), NET) as locked:
        return locked.reserve(address(text), container, ifname, number)


def taken(store: LeaseStore, root: Path) -> set[str]:
    with store.open(str(root), NET) as locked:
        return {str(Address.from_number(n, family)) for family in (4, 6) for n in locked.taken(family)}


def somebody_waits_for(lock: Path) -> bool:
    """Whether, within 10 s, the kernel lists one: "1: -> FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF"."""
    inode, deadline = f":{lock.stat().st_ino} ", time.monotonic() + 10
    while time.monotonic() < deadline:
        if any("-> FLOCK" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()):
            return True
    return False


def put(root: Path, name: str, content: bytes) -> None:
    (root / NET).mkdir(parents=True, exist_ok=True)
    (root / NET / name).write_bytes(content)


def test_files_are_the_references(tmp_path: Path) -> None:
    old_mask = os.umask(0o022)
    try:
        assert reserve(LeaseStore(), tmp_path / "deep" / "er", "10.1.2.2")
        assert reserve(LeaseStore(), tmp_path / "deep" / "er", "fd00:1::2", number=1)
    finally:
        os.umask(old_mask)
    directory = tmp_path / "deep" / "er" / NET
    found = {each.name: (each.read_bytes(), stat.S_IMODE(each.stat().st_mode)) for each in directory.iterdir()}
    assert found == {
        "lock": (b"", 0o750),
        "10.1.2.2": (b"c1\r\neth0", 0o600),
        "fd00:1::2": (b"c1\r\neth0", 0o600),
        "last_reserved_ip.0": (b"10.1.2.2", 0o600),
        "last_reserved_ip.1": (b"fd00:1::2", 0o600),
    }
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_an_address_is_given_once(tmp_path: Path) -> None:
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.2", "c1")
    assert not reserve(store, tmp_path, "10.0.0.2", "c2")
    assert not reserve(LeaseStore(), tmp_path, "10.0.0.2", "c1")
    assert (tmp_path / NET / "10.0.0.2").read_bytes() == b"c1\r\neth0"


def test_the_last_address_is_written_in_place_and_shortened(tmp_path: Path) -> None:
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.100")
    path = tmp_path / NET / "last_reserved_ip.0"
    inode = path.stat().st_ino
    assert reserve(store, tmp_path, "10.0.0.9", "c2")
    assert (path.read_bytes(), path.stat().st_ino) == (b"10.0.0.9", inode)
    with store.open(str(tmp_path), NET) as locked:
        assert locked.last_reserved(0) == address("10.0.0.9")
        assert locked.last_reserved(1) is None


@pytest.mark.parametrize("garbage", [b"", b"\0\0\0\0", b"10.0.", b"hello", b"10.0.0.900", b"\xff\xfe", b"10.0.0.3\n"])
def test_an_illegible_last_address_is_none(tmp_path: Path, garbage: bytes) -> None:
    put(tmp_path, "last_reserved_ip.0", garbage)
    with LeaseStore().open(str(tmp_path), NET) as locked:
        assert locked.last_reserved(0) is None


def test_release_takes_all_of_one_owner_and_nothing_else(tmp_path: Path) -> None:
    store = LeaseStore()
    for text, container, ifname in (
        ("10.0.0.2", "c1", "eth0"),
        ("fd00::2", "c1", "eth0"),
        ("10.0.0.3", "c1", "eth1"),
        ("10.0.0.4", "c10", "eth0"),
    ):
        assert reserve(store, tmp_path, text, container, ifname)
    put(tmp_path, "10.0.0.9", b"c1")
    with store.open(str(tmp_path), NET) as locked:
        assert locked.release("c1", "eth0")
        assert not locked.release("c2", "eth0")
    assert taken(store, tmp_path) == {"10.0.0.3", "10.0.0.4", "10.0.0.9"}
    assert taken(LeaseStore(), tmp_path) == {"10.0.0.3", "10.0.0.4", "10.0.0.9"}


def test_a_lease_that_somebody_empties_in_place_is_held_no_more(tmp_path: Path) -> None:
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.9", "c1", "eth0")
    (tmp_path / NET / "10.0.0.9").write_bytes(b"")
    with store.open(str(tmp_path), NET) as locked:
        assert not locked.holds("c1", "eth0")


def test_the_old_format_counts_when_nothing_newer_is_there(tmp_path: Path) -> None:
    put(tmp_path, "10.0.0.9", b" c1\n")
    store = LeaseStore()
    with store.open(str(tmp_path), NET) as locked:
        assert locked.holds("c1", "eth0")
        assert not locked.holds("c", "eth0")
        assert locked.addresses_of("c1", "eth0") == [address("10.0.0.9")]
        assert locked.release("c1", "eth0")
        assert not locked.holds("c1", "eth0")
    assert not (tmp_path / NET / "10.0.0.9").exists()


def test_files_in_sub_directories_are_released_too(tmp_path: Path) -> None:
    inner = tmp_path / NET / "sub"
    inner.mkdir(parents=True)
    store = LeaseStore()
    assert taken(store, tmp_path) == set()
    # nothing tells our directory's time about this one
    (inner / "10.0.0.9").write_bytes(b"c1\r\neth0")
    with store.open(str(tmp_path), NET) as locked:
        assert locked.release("c1", "eth0")
    assert list(inner.iterdir()) == []


def test_a_container_called_like_an_address_does_not_lose_the_pointer(tmp_path: Path) -> None:
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.2", "c1")
    with store.open(str(tmp_path), NET) as locked:
        assert not locked.release("10.0.0.2", "eth0")
        assert locked.last_reserved(0) == address("10.0.0.2")


@pytest.mark.parametrize("blank", [b"", b"\0\0\0\0", b"\r\n"])
def test_a_lease_without_content_is_free(tmp_path: Path, blank: bytes) -> None:
    put(tmp_path, "10.0.0.2", blank)
    assert taken(LeaseStore(), tmp_path) == set()
    assert reserve(LeaseStore(), tmp_path, "10.0.0.2", "c2")
    assert (tmp_path / NET / "10.0.0.2").read_bytes() == b"c2\r\neth0"


def test_what_a_power_cut_leaves_of_a_lease_still_has_its_owner(tmp_path: Path) -> None:
    """As long as it names one."""
    for name, content in (("10.0.0.2", b"c1\0\0\0"), ("10.0.0.3", b"c2\r"), ("10.0.0.4", b"c3\r\neth0\0\0")):
        put(tmp_path, name, content)
    store = LeaseStore()
    assert taken(store, tmp_path) == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}
    with store.open(str(tmp_path), NET) as locked:
        for number in (1, 2, 3):
            assert locked.holds(f"c{number}", "eth0")
            assert locked.release(f"c{number}", "eth0")
    assert taken(store, tmp_path) == set()


def test_leases_that_name_no_attachment_are_swept(tmp_path: Path) -> None:
    """Illegible ones when they are old enough; empty ones at once: their writer held the lock."""
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.2")
    cut = {"10.0.0.3": b"", "10.0.0.4": b"\0\0", "10.0.0.5": b"\0c1\xff", "fd00::2": b"c1\r\neth0\0\xff"}
    kept = {"10.0.0.6": b"c2", "10.0.0.7": b"c2\r\net", "notes.txt": b""}
    for name, content in {**cut, **kept}.items():
        put(tmp_path, name, content)
    os.utime(tmp_path / NET / "10.0.0.5", (1000, 1000))
    with store.open(str(tmp_path), NET) as locked:
        assert {str(each.address) for each in locked.sweep(1001.0)} == {"10.0.0.3", "10.0.0.4", "10.0.0.5"}
        assert [str(each.address) for each in locked.sweep(time.time() + 60)] == ["fd00::2"]
        assert locked.sweep(time.time() + 60) == ()
    left = {each.name for each in (tmp_path / NET).iterdir()} - {"lock", "last_reserved_ip.0"}
    assert left == {"10.0.0.2", *kept}
    assert taken(store, tmp_path) == taken(LeaseStore(), tmp_path) == {"10.0.0.2", "10.0.0.6", "10.0.0.7"}


def test_a_lease_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    """The reference makes the file, then writes it, and holds the lock meanwhile."""
    put(tmp_path, "lock", b"")
    swept: list[tuple[Freed, ...]] = []

    def sweep() -> None:
        with LeaseStore().open(str(tmp_path), NET) as locked:
            swept.append(locked.sweep(time.time() + 60))

    with (tmp_path / NET / "lock").open() as lock:
        flock(lock, LOCK_EX)
        put(tmp_path, "10.0.0.2", b"")
        sweeper = threading.Thread(target=sweep)
        sweeper.start()
        assert somebody_waits_for(tmp_path / NET / "lock")
        put(tmp_path, "10.0.0.2", b"c1\r\neth0")
    sweeper.join(10)
    assert swept == [()] and (tmp_path / NET / "10.0.0.2").read_bytes() == b"c1\r\neth0"


def test_collection_keeps_the_listed_and_frees_the_rest(tmp_path: Path) -> None:
    store = LeaseStore()
    for text, container, ifname in (("10.0.0.2", "c1", "eth0"), ("10.0.0.3", "c1", "eth1"), ("fd00::2", "c2", "eth0")):
        assert reserve(store, tmp_path, text, container, ifname)
    put(tmp_path, "10.0.0.4", b"")
    put(tmp_path, "10.0.0.5", b"c1")
    put(tmp_path, "10.0.0.6", b"gone")
    put(tmp_path, "notes.txt", b"an operator's")
    with store.open(str(tmp_path), NET) as locked:
        freed = locked.collect(frozenset({("c1", "eth0")}))
        assert locked.collect(frozenset({("c1", "eth0")})) == ()
    assert set(freed) == {
        Freed(address("10.0.0.3"), "c1", "eth1"),
        Freed(address("fd00::2"), "c2", "eth0"),
        Freed(address("10.0.0.4"), "", ""),
        Freed(address("10.0.0.6"), "gone", ""),
    }
    left = {each.name for each in (tmp_path / NET).iterdir()} - {"lock", "last_reserved_ip.0"}
    assert left == {"10.0.0.2", "10.0.0.5", "notes.txt"}


def test_unreadable_things_with_an_address_for_a_name_are_taken(tmp_path: Path) -> None:
    put(tmp_path, "10.0.0.2", b"c1\r\neth0")
    os.mkfifo(tmp_path / NET / "10.0.0.3")
    (tmp_path / NET / "10.0.0.4").symlink_to("/nowhere")
    store = LeaseStore()
    assert taken(store, tmp_path) == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}
    assert not reserve(store, tmp_path, "10.0.0.3")
    assert not reserve(store, tmp_path, "10.0.0.4")
    with store.open(str(tmp_path), NET) as locked:
        assert [str(each.address) for each in locked.collect(frozenset())] == ["10.0.0.2"]


class CountingStore(LeaseStore):
    """Counts the file contents that are read, by watching the only system call that does it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.reads = 0
        real = os.read

        def counting(descriptor: int, size: int) -> bytes:
            self.reads += 1
            return real(descriptor, size)

        monkeypatch.setattr(os, "read", counting)


def test_the_index_spares_the_second_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2, 52):
        put(tmp_path, f"10.0.0.{number}", f"c{number}\r\neth0".encode())
    store = CountingStore(monkeypatch)
    assert len(taken(store, tmp_path)) == 50
    assert store.reads >= 50
    store.reads = 0
    assert reserve(store, tmp_path, "10.0.0.99", "new")
    assert len(taken(store, tmp_path)) == 51
    with store.open(str(tmp_path), NET) as locked:
        assert locked.holds("c50", "eth0")
        assert locked.release("c50", "eth0")
    assert len(taken(store, tmp_path)) == 50
    assert store.reads == 1, "only the file that is asked for"


def test_the_index_never_hides_what_others_did(tmp_path: Path) -> None:
    """Changes follow each other within one tick of the clock here, many times over."""
    ours, theirs = LeaseStore(), LeaseStore()
    for number in range(2, 102):
        text = f"10.0.0.{number}"
        assert reserve(ours, tmp_path, text, "ours")
        put(tmp_path, f"fd00::{number}", b"foreign\r\neth0")
        with ours.open(str(tmp_path), NET) as locked:
            assert locked.holds("foreign", "eth0")
            assert locked.release("foreign", "eth0")
        assert not (tmp_path / NET / f"fd00::{number}").exists()
        with theirs.open(str(tmp_path), NET) as locked:
            assert locked.release("ours", "eth0")
        with ours.open(str(tmp_path), NET) as locked:
            assert not locked.holds("ours", "eth0")
            assert locked.taken(4) == set()


def test_a_removed_and_remade_network_starts_afresh(tmp_path: Path) -> None:
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.2")
    for each in (tmp_path / NET).iterdir():
        each.unlink()
    (tmp_path / NET).rmdir()
    assert taken(store, tmp_path) == set()
    assert reserve(store, tmp_path, "10.0.0.2")


def test_whoever_waited_for_a_removed_network_does_not_write_into_nothing(tmp_path: Path) -> None:
    store = LeaseStore()
    holder = store.open(str(tmp_path), NET)
    given: list[bool] = []

    def wait_and_reserve() -> None:
        given.append(reserve(LeaseStore(), tmp_path, "10.0.0.2"))

    waiter = threading.Thread(target=wait_and_reserve)
    with holder:
        waiter.start()
        assert somebody_waits_for(tmp_path / NET / "lock")
        (tmp_path / NET / "lock").unlink()
        (tmp_path / NET).rmdir()
    waiter.join(10)
    assert given == [True]
    assert (tmp_path / NET / "10.0.0.2").read_bytes() == b"c1\r\neth0"


def test_looking_creates_nothing(tmp_path: Path) -> None:
    assert LeaseStore().open_existing(str(tmp_path), NET) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / NET).write_text("not a directory")
    for opening in (LeaseStore().open, LeaseStore().open_existing):
        with pytest.raises(StoreError) as caught:
            opening(str(tmp_path), NET)
        assert caught.value.msg == f"opening lease directory {tmp_path}/{NET}: not a directory"
    (tmp_path / "link").symlink_to("/nowhere")
    with pytest.raises(StoreError) as caught:
        LeaseStore().open(str(tmp_path), "link")
    assert caught.value.msg == f"creating lease directory {tmp_path}/link: file exists"
    assert LeaseStore().open_existing(str(tmp_path), "link") is None


def test_a_failing_last_address_takes_the_lease_back(tmp_path: Path) -> None:
    (tmp_path / NET / "last_reserved_ip.0").mkdir(parents=True)
    store = LeaseStore()
    with store.open(str(tmp_path), NET) as locked, pytest.raises(StoreError) as caught:
        locked.reserve(address("10.0.0.2"), "c1", "eth0", 0)
    assert caught.value.msg == f"writing {tmp_path}/{NET}/last_reserved_ip.0: is a directory"
    assert not (tmp_path / NET / "10.0.0.2").exists()
    assert taken(store, tmp_path) == set()


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    store = LeaseStore()
    before = len(os.listdir("/proc/self/fd"))
    for number in range(2, 12):
        assert reserve(store, tmp_path, f"10.0.0.{number}", f"c{number}")
        store.open_existing(str(tmp_path), "other")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_clock_that_stands_still_does_not_hide_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.13 a directory's time is the last tick's: a change right after ours gets the time ours had."""
    directory = tmp_path / NET
    tick: list[int] = []
    real = os.utime

    def noting(target: int, *, ns: tuple[int, int]) -> None:
        tick.append(os.fstat(target).st_mtime_ns)
        real(target, ns=ns)

    monkeypatch.setattr(os, "utime", noting)
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.2")
    assert taken(store, tmp_path) == {"10.0.0.2"}
    put(tmp_path, "10.0.0.3", b"foreign\r\neth0")
    real(directory, ns=(tick[-1], tick[-1]))
    with store.open(str(tmp_path), NET) as locked:
        assert locked.holds("foreign", "eth0")


def test_a_file_system_that_rounds_times_gets_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.utime
    second = 1_000_000_000

    def rounding(target: int, *, ns: tuple[int, int]) -> None:
        real(target, ns=(ns[0] // second * second, ns[1] // second * second))

    monkeypatch.setattr(os, "utime", rounding)
    put(tmp_path, "10.0.0.2", b"c1\r\neth0")
    store = CountingStore(monkeypatch)
    for _ in range(3):
        store.reads = 0
        assert taken(store, tmp_path) == {"10.0.0.2"}
        assert store.reads > 0


def test_the_lock_is_everybodys_flock(tmp_path: Path) -> None:
    store = LeaseStore()
    assert reserve(store, tmp_path, "10.0.0.2")
    path = tmp_path / NET / "lock"
    with store.open(str(tmp_path), NET), path.open() as other, pytest.raises(BlockingIOError):
        flock(other, LOCK_EX | LOCK_NB)
    with path.open() as other:
        flock(other, LOCK_EX | LOCK_NB)
        waiter = threading.Thread(target=reserve, args=(store, tmp_path, "10.0.0.3", "c2"))
        waiter.start()
        assert somebody_waits_for(path)
        assert not (tmp_path / NET / "10.0.0.3").exists()
    waiter.join(10)
    assert (tmp_path / NET / "10.0.0.3").exists()
