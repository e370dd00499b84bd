"""A container's own files for /etc, on disk.  They are mounted into it, so they are changed in place.

<root>/containers/<id>/hosts  resolv.conf  resolv.conf.hash  hostname
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from hashlib import sha256

from netd.failure import Failure
from netd.runtime.places import RuntimePlaces
from netd.sandbox import files
from netd.sandbox.files import Line

_MODE = 0o644


class Etc:
    """The files of one container."""

    def __init__(self, runtime: RuntimePlaces, container_id: str) -> None:
        self._directory = runtime.container(container_id)
        self.hosts = f"{self._directory}/hosts"
        self.resolv_conf = f"{self._directory}/resolv.conf"
        self.hostname = f"{self._directory}/hostname"

    def ensure(self) -> None:
        """All three exist, so that they can be mounted; what is in them stays.  Failure."""
        os.makedirs(self._directory, 0o700, exist_ok=True)
        for path in (self.hosts, self.resolv_conf, self.hostname):
            os.close(_open(path))

    def write(self, hosts: str, resolv_conf: str, hostname: str) -> str:
        """All three, for a container that starts; the digest of resolv.conf.  Failure."""
        os.makedirs(self._directory, 0o700, exist_ok=True)
        _write(self.hosts, hosts)
        _write(self.hostname, f"{hostname}\n")
        _write(self.resolv_conf, resolv_conf)
        return digest(resolv_conf)

    def replace_resolv_conf(self, text: str, written: str) -> str:
        """Unless the container's own processes have changed the file, whose digest was `written` (contract 1.8); the
        digest for the next time.  Failure."""
        current = _read(self.resolv_conf)
        if current is None or digest(current) != written:
            return written
        if current != text:
            _write(self.resolv_conf, text)
        return digest(text)

    def change_hosts(self, remove: Iterable[Line], add: Iterable[Line]) -> None:
        """Only these lines; whatever else is in the file stays.  Failure."""
        self._edit(lambda text: files.with_lines(files.without(text, remove), add))

    def move_names(self, lines: Iterable[Line]) -> None:
        """These names are at other addresses now.  Failure."""
        self._edit(lambda text: files.with_names_at(text, lines))

    def rename_names(self, old: str, new: str) -> None:
        """Lines of the names `old` have the names `new`; "" takes them away.  Failure."""
        self._edit(lambda text: files.renamed(text, old, new))

    def _edit(self, change: Callable[[str], str]) -> None:
        before = _read(self.hosts)
        if before is None:
            return
        after = change(before)
        if after != before:
            _write(self.hosts, after)


def digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def _write(path: str, text: str) -> None:
    """In place: the file may be mounted somewhere.  A reader sees old text before new, never an empty file."""
    data = text.encode("utf-8", "surrogateescape")
    descriptor = _open(path)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    except OSError as error:
        raise _failure(path, error) from None
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    except OSError as error:
        raise _failure(path, error) from None


def _failure(path: str, error: OSError) -> Failure:
    return Failure(f"writing {path}: {(error.strerror or str(error)).lower()}")
