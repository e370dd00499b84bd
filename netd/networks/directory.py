"""The configuration directory: reading every list in it, and adding and taking away ours.

A file appears complete or not at all, and of two programs creating the same one exactly one succeeds: the text is
written to a hidden file, synced, and linked to its name, which fails if the name exists.  Unlinking the hidden file
afterwards is the event on which containerd reloads.  Hidden files carry no extension that a client reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from typing import Any

from netd.networks.conflist import Malformed, Network, read
from netd.networks.errors import Ambiguous, Damaged, NameTaken, NotFound
from pycni.record import Record

EXTENSIONS = (".conflist", ".conf", ".json")
LOCK_NAME = ".pynet.lock"
RETIRED = ".removing"
DRAFT = ".pynet-new"


class Unreadable(Record):
    """A file that is no network list, and why.  One such file makes every nerdctl command fail."""

    file: str
    reason: str


class Inventory(Record):
    """The lists of a directory, sorted by file as clients sort them, and the files that are none.
    `retired` are networks whose removal has begun."""

    networks: tuple[Network, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    retired: tuple[Network, ...] = ()

    def find(self, wanted: str) -> Network:
        """By exact id, exact name, then unique id prefix (docker's precedence); raises NotFound, also as Damaged, or
        Ambiguous."""
        for network in self.networks:
            if wanted in (network.id, network.name):
                return network
        matches = [network for network in self.networks if len(wanted) >= 3 and network.id.startswith(wanted)]
        if len({network.id for network in matches}) > 1:
            raise Ambiguous(f"network {wanted}: the id prefix fits {' and '.join(item.name for item in matches)}")
        if matches:
            return matches[0]
        for each in self.unreadable:
            if os.path.basename(each.file).rpartition(".")[0] in (wanted, f"nerdctl-{wanted}"):
                raise Damaged(f"network {wanted} not found: {each.file}: {each.reason}; mend or remove that file")
        raise NotFound(f"network {wanted} not found")


@contextlib.contextmanager
def locked(directory: str) -> Iterator[None]:
    """Holds the directory's lock, creating both as needed; one holder on this machine at a time."""
    os.makedirs(directory, mode=0o755, exist_ok=True)
    descriptor = os.open(os.path.join(directory, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def load(directory: str) -> Inventory:
    """Every list: the directory's own, and those in its sub-directories, where nerdctl keeps a namespace's.
    A missing directory is an empty one."""
    networks: list[Network] = []
    unreadable: list[Unreadable] = []
    retired: list[Network] = []
    for path in _files(directory):
        is_retired = path.endswith(RETIRED)
        try:
            network = read(json.loads(_content(path)), path.removesuffix(RETIRED))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError, Malformed) as error:
            unreadable.append(Unreadable(path, _reason(error)))
            continue
        if is_retired:
            retired.append(network.replace(file=path))
        else:
            networks.append(network if network.created else network.replace(created=_changed(path)))
    return Inventory(tuple(networks), tuple(unreadable), tuple(retired))


def _content(path: str) -> str:
    # a FIFO or a device would keep who reads it waiting, or never end
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a file")
        return stream.read()


def _files(directory: str) -> Iterator[str]:
    folders = [directory]
    try:
        for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
            if entry.is_dir():
                # <network>/*.conf holds plugins of a list, not lists (contract 1.15)
                folders.append(entry.path)
            elif entry.name.endswith(EXTENSIONS) or (entry.name.startswith(".") and entry.name.endswith(RETIRED)):
                yield entry.path
    except FileNotFoundError:
        return
    for folder in folders[1:]:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.endswith(".conflist"):
                yield entry.path


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error}"
    return str(error)


def _changed(path: str) -> str:
    from datetime import UTC, datetime

    try:
        moment = os.stat(path).st_mtime
    except OSError:
        return ""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def path_of(directory: str, name: str) -> str:
    return os.path.join(directory, f"{name}.conflist")


def text_of(value: dict[str, Any]) -> str:
    """The text of a list's file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def add(directory: str, value: dict[str, Any]) -> str:
    """Writes `<name>.conflist` and returns its path; NameTaken when such a file exists, OSError when writing fails,
    in which case nothing is left."""
    name = value["name"]
    path = path_of(directory, name)
    hidden = os.path.join(directory, f".{name}.{os.getpid()}{DRAFT}")
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(descriptor, 0o644)
            stream.write(text_of(value))
            stream.flush()
            os.fsync(descriptor)
        os.link(hidden, path)
    except FileExistsError:
        raise NameTaken(f"network {name} exists already: {path}") from None
    finally:
        os.unlink(hidden)
    _sync(directory)
    return path


def sweep(directory: str) -> None:
    """Removes what a `create` that was killed left of its file.  Only under the lock: then nobody is writing one."""
    for name in os.listdir(directory):
        if name.startswith(".") and name.endswith(DRAFT):
            os.unlink(os.path.join(directory, name))


def retire(network: Network) -> str:
    """Takes the list out of every client's sight, keeping it for the rest of the removal; returns its new path.
    A retired one stays where it is."""
    if network.file.endswith(RETIRED):
        return network.file
    folder, base = os.path.split(network.file)
    hidden = os.path.join(folder, f".{base}{RETIRED}")
    os.rename(network.file, hidden)
    _sync(folder)
    return hidden


def forget(path: str) -> None:
    """Removes a retired list for good; absent is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    _sync(os.path.dirname(path))


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
