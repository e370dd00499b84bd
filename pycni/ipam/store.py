"""The lease files, laid out exactly as host-local's (contract 3.6), so that the reference may share the directory.

    <data dir>/<network>/lock                  flock target; whoever reads or writes here holds it
                        /<address>             "<container id>\\r\\n<interface>"; exists = taken
                        /last_reserved_ip.<n>  the address given last of range set n

Taking an address is an exclusive create: even where a lock does not work, two processes never get the same one.  Files
are never replaced by truncation or rename, for which ext4 flushes to disk (1 to 3 ms; the create costs 0.01).

**The index.**  Who owns what is written in the files, so an answer needs all of them read: 5 µs each.  A store keeps
what it read, per directory, for as long as the directory's modification time stands.  Before Linux 6.13 that time
moves only with the scheduler's tick, and a second change within a tick would go unseen; therefore the store sets it,
under the lock, to a value with nanoseconds that no tick has.  Where the file system rounds it, nothing is kept.
"""

from __future__ import annotations

import errno
import os
import time
from fcntl import LOCK_EX, flock
from stat import S_ISREG

from pycni.ipam.owner import content_of, owner_of, trimmed
from pycni.record import Record
from pycni.spec.address import Address
from pycni.spec.errors import CniError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_LOCK = "lock"
_LAST = "last_reserved_ip."
_MOST_INDEXES = 256
"""Networks whose index is kept; beyond that the oldest goes, so that networks long gone do not add up."""


class Freed(Record):
    """A lease that garbage collection gave back; `ifname` is "" and `container_id` too where the file did not say."""

    address: Address
    container_id: str
    ifname: str


def _parse_name(path: str) -> Address | None:
    try:
        return Address.parse(path)
    except ValueError:
        return None


class _Index:
    """What a network's directory holds.  `owners` maps trimmed contents to paths; `taken` holds numbers by family,
    `ownerless` the leases whose writer died before he could write whose they are."""

    __slots__ = ("nested", "ownerless", "owners", "paths", "stamp", "taken")

    def __init__(self) -> None:
        self.ownerless: set[str] = set()
        self.paths: dict[str, bytes | None] = {}
        self.owners: dict[bytes, set[str]] = {}
        self.taken: dict[int, set[int]] = {4: set(), 6: set()}
        self.stamp: int | None = None
        self.nested = False

    def add(self, path: str, content: bytes | None) -> None:
        """`content` None: the file is there but cannot be read, so its address is taken by nobody we know."""
        self.paths[path] = content
        if content is not None:
            # A file without content has no owner.  Both implementations hold the lock from create to write, so finding
            # one under the lock means that its writer died or the disk was full (plugins#498), or that a power cut
            # left zeros.  Counting it as taken would lose the address for ever.
            if not trimmed(content):
                if _parse_name(path) is not None:
                    self.ownerless.add(path)
                return
            self.owners.setdefault(trimmed(content), set()).add(path)
        address = _parse_name(path)
        if address is not None:
            self.taken[address.family].add(address.number)

    def discard(self, path: str) -> None:
        self.ownerless.discard(path)
        content = self.paths.pop(path, None)
        if content is not None:
            owned = self.owners.get(trimmed(content))
            if owned is not None:
                owned.discard(path)
                if not owned:
                    del self.owners[trimmed(content)]
        address = _parse_name(path)
        if address is not None:
            self.taken[address.family].discard(address.number)

    def owned_by(self, container_id: str, ifname: str) -> set[str]:
        return self.owners.get(trimmed(content_of(container_id, ifname)), set())

    def owned_by_old_format(self, container_id: str) -> set[str]:
        return self.owners.get(container_id.strip().encode(), set())


def _read(directory: int, name: str) -> bytes | None:
    try:
        # non-blocking, because something that is not a file (a FIFO) must not hang the caller
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return None
    try:
        content = chunk = os.read(descriptor, 4096)
        while len(chunk) == 4096:
            chunk = os.read(descriptor, 4096)
            content += chunk
        # a FIFO reads as empty too, but is not a lease that lost its owner
        return content if content or S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _scan(directory: int, prefix: str, index: _Index) -> None:
    # The reference looks for an owner's files recursively; a sub-directory does not move our directory's time, so an
    # index with one in it is not kept.
    with os.scandir(directory) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                index.nested = True
                try:
                    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                except OSError:
                    continue
                try:
                    _scan(inner, f"{prefix}{name}/", index)
                finally:
                    os.close(inner)
            elif name != _LOCK and not name.startswith(_LAST):
                index.add(prefix + name, _read(directory, name))


class LeaseStore:
    """Opens networks and keeps their indexes.  One per process; safe to share between threads, because an index is
    only touched by the holder of its directory's lock, and each opening has a lock of its own."""

    def __init__(self) -> None:
        self._indexes: dict[tuple[int, int], _Index] = {}

    def open(self, data_dir: str, network: str) -> LockedNetwork:
        """The network's directory, created if needed, with its lock taken.  StoreError when that is impossible."""
        path = os.path.join(data_dir, network)
        while True:
            locked = self._lock(path)
            if locked is not None:
                return locked
            try:
                os.makedirs(path, 0o755, exist_ok=True)
            except OSError as error:
                raise StoreError("creating lease directory", path, error) from None

    def open_existing(self, data_dir: str, network: str) -> LockedNetwork | None:
        """As `open`, but None where there is no directory and so no lease."""
        path = os.path.join(data_dir, network)
        while True:
            if not os.path.exists(path):
                return None
            locked = self._lock(path)
            if locked is not None:
                return locked

    def _lock(self, path: str) -> LockedNetwork | None:
        """None when the directory went away under us."""
        try:
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError("opening lease directory", path, error) from None
        lock = -1
        try:
            lock = os.open(_LOCK, os.O_RDONLY | os.O_CREAT, 0o750, dir_fd=directory)
            flock(lock, LOCK_EX)
            # whoever removes a network may have removed this very file while we waited for it
            current, ours = os.stat(_LOCK, dir_fd=directory), os.fstat(lock)
            if (current.st_dev, current.st_ino) == (ours.st_dev, ours.st_ino):
                return LockedNetwork(path, directory, lock, self._indexes)
        except FileNotFoundError:
            pass
        except OSError as error:
            _close(directory, lock)
            raise StoreError("locking leases", f"{path}/{_LOCK}", error) from None
        _close(directory, lock)
        return None


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


class LockedNetwork:
    """One network's leases, from `LeaseStore.open` to the end of the `with` block; all errors are StoreErrors that
    name the file.  Nothing here decides which address to give: see `pycni.ipam.leases`."""

    def __init__(self, path: str, directory: int, lock: int, indexes: dict[tuple[int, int], _Index]) -> None:
        self.path = path
        self._directory = directory
        self._lock = lock
        self._indexes = indexes
        state = os.fstat(directory)
        self._key = (state.st_dev, state.st_ino)
        kept = indexes.get(self._key)
        self._index = kept if kept is not None and kept.stamp == state.st_mtime_ns else None
        self._moved = False

    def __enter__(self) -> LockedNetwork:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            self._indexes.pop(self._key, None)
            if (kind is None or issubclass(kind, CniError)) and self._index is not None and not self._index.nested:
                self._keep(self._index)
        finally:
            _close(self._directory, self._lock)

    def _keep(self, index: _Index) -> None:
        if self._moved:
            now = time.time_ns()
            try:
                os.utime(self._directory, ns=(now, now))
            except OSError:
                return
            index.stamp = now
            if os.fstat(self._directory).st_mtime_ns != now:
                return
        while len(self._indexes) >= _MOST_INDEXES:
            self._indexes.pop(next(iter(self._indexes)), None)
        self._indexes[self._key] = index

    def _loaded(self) -> _Index:
        if self._index is None:
            index = _Index()
            try:
                _scan(self._directory, "", index)
            except OSError as error:
                raise StoreError("reading leases", self.path, error) from None
            self._index = index
            self._moved = True
        return self._index

    def taken(self, family: int) -> set[int]:
        """The numeric values of the taken addresses of family 4 or 6; not to be changed by the caller."""
        return self._loaded().taken[family]

    def addresses_of(self, container_id: str, ifname: str) -> list[Address]:
        """What this owner holds, leases in the old format (container id alone) included, in the order of names.  As in
        the reference, those in sub-directories count for him, and for nobody else."""
        index = self._loaded()
        paths = index.owned_by(container_id, ifname) | index.owned_by_old_format(container_id)
        names = [path.rpartition("/")[2] for path in sorted(paths)]
        return [address for address in map(_parse_name, names) if address is not None]

    def holds(self, container_id: str, ifname: str) -> bool:
        """Whether any file belongs to this owner, also now: the index misses what is written into one in place."""
        index = self._loaded()
        owned = index.owned_by(container_id, ifname) | index.owned_by_old_format(container_id)
        return any(_read(self._directory, path) == index.paths[path] for path in owned)

    def last_reserved(self, set_number: int) -> Address | None:
        """The address given last of a range set; None when nothing legible is written."""
        content = _read(self._directory, f"{_LAST}{set_number}")
        return _parse_name(content.decode("ascii", "replace")) if content else None

    def reserve(self, address: Address, container_id: str, ifname: str, set_number: int) -> bool:
        """Take an address; False when somebody has it.  On an error nothing is left behind."""
        name, content = str(address), content_of(container_id, ifname)
        if not self._create(name, content):
            return False
        try:
            self._write_last(f"{_LAST}{set_number}", name.encode())
        except StoreError:
            self.remove(name)
            raise
        return True

    def _create(self, name: str, content: bytes) -> bool:
        self._moved = True
        descriptor = self._open_new(name)
        if descriptor is None:
            found = _read(self._directory, name)
            if found is not None and not trimmed(found):
                self.remove(name)
                descriptor = self._open_new(name)
            if descriptor is None:
                if self._index is not None:
                    self._index.add(name, found or None)
                return False
        try:
            written = os.write(descriptor, content)
            if written != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.remove(name)
            raise StoreError("writing lease", f"{self.path}/{name}", error) from None
        finally:
            os.close(descriptor)
        if self._index is not None:
            self._index.add(name, content)
        return True

    def _open_new(self, name: str) -> int | None:
        try:
            return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._directory)
        except FileExistsError:
            return None
        except OSError as error:
            raise StoreError("creating lease", f"{self.path}/{name}", error) from None

    def _write_last(self, name: str, text: bytes) -> None:
        try:
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=self._directory)
            try:
                os.pwrite(descriptor, text, 0)
                if os.fstat(descriptor).st_size > len(text):
                    os.ftruncate(descriptor, len(text))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError("writing", f"{self.path}/{name}", error) from None

    def remove(self, path: str) -> None:
        """One lease file is gone, whoever owned it."""
        self._moved = True
        try:
            os.unlink(path, dir_fd=self._directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError("releasing lease", f"{self.path}/{path}", error) from None
        if self._index is not None:
            self._index.discard(path)

    def _remove_all(self, paths: Iterable[str]) -> None:
        failure: StoreError | None = None
        for path in paths:
            try:
                self.remove(path)
            except StoreError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def release(self, container_id: str, ifname: str) -> bool:
        """Give back everything of this owner; where there is nothing, leases in the old format that name only the
        container.  Whether there was anything.  Leases without an owner go too: one of them may have become his."""
        index = self._loaded()
        owned = sorted(index.owned_by(container_id, ifname) or index.owned_by_old_format(container_id))
        self._remove_all([*owned, *sorted(index.ownerless)])
        return bool(owned)

    def illegible(self, before: float) -> dict[str, Freed]:
        """By their paths, the leases that name no attachment, so that no DEL will ever give them back: those without an
        owner, and those with something illegible in them that were last written before this moment (unix seconds)."""
        found: dict[str, Freed] = {}
        for path, content in self._loaded().paths.items():
            address = _parse_name(path)
            if address is None or content is None or owner_of(content) is not None:
                continue
            if not trimmed(content) or os.stat(path, dir_fd=self._directory).st_mtime < before:
                found[path] = Freed(address, "", "")
        return found

    def sweep(self, before: float) -> tuple[Freed, ...]:
        """Give back the illegible ones."""
        freed = self.illegible(before)
        self._remove_all(freed)
        return tuple(freed.values())

    def collect(self, keep: frozenset[tuple[str, str]]) -> tuple[Freed, ...]:
        """Give back every lease whose owner, a pair of container id and interface name, is not in `keep`."""
        containers = {container_id for container_id, _ in keep}
        freed: dict[str, Freed] = {}
        for path, content in self._loaded().paths.items():
            address = _parse_name(path)
            if address is None or content is None:
                continue
            container, separator, ifname = trimmed(content).decode("utf-8", "replace").partition("\r\n")
            wanted = (container, ifname) in keep if separator else container in containers
            if not wanted:
                freed[path] = Freed(address, container, ifname)
        self._remove_all(freed)
        return tuple(freed.values())
