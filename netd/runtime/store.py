"""Containers on disk, in two places.

`ROOT/containers/<id>/config.json` outlives a reboot; it is replaced by renaming, so readers see the old one or the new.
`RUN/containers/<id>/` exists from the first step of a start to the last step of cleaning up after the end, and holds
what conmon and runc need; its `state.json` is written when the process is about to run, and is then the newer text.  So
after a crash: no such directory, nothing runs; a directory without `state.json`, a start was cut off.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import DecodeError

from netd.failure import Failure
from netd.runtime.model import Container, decode, encode
from netd.runtime.places import RuntimePlaces

_NEW = ".new"
_REMOVED = ".removed"
BOOT_ID = "/proc/sys/kernel/random/boot_id"

_log = logging.getLogger(__name__)


class Store:
    """The caller holds a container's lock."""

    def __init__(self, places: RuntimePlaces) -> None:
        self._places = places
        self._live = f"{places.run}/containers"
        self._boot_file = f"{places.run}/containers.boot"

    def directory(self, container_id: str) -> str:
        return self._places.container(container_id)

    def live(self, container_id: str) -> str:
        """The directory of a started container; also runc's bundle."""
        return f"{self._live}/{container_id}"

    def create(self, container: Container) -> None:
        """The container is there, whatever happens next; with auto-remove, only until the power fails.  Failure, and
        nothing is left."""
        final = self.directory(container.id)
        draft = final + _NEW
        durable = not container.host_config.auto_remove
        try:
            with _told(container):
                os.makedirs(draft, 0o710)
                _write(f"{draft}/config.json", encode(container), durable)
                os.rename(draft, final)
                if durable:
                    _sync_directory(self._places.containers)
        except Failure:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def note(self, container: Container, durable: bool = False) -> None:
        """As `save`, of what has happened already: where the disk is full the log says so, and the container can be
        stopped and removed all the same.  A daemon that starts before a later text was written finds an older one."""
        try:
            self.save(container, durable)
        except Failure as error:
            _log.error("%s", error)

    def save(self, container: Container, durable: bool = False) -> None:
        """`durable`: on the disk when this returns, else after a reboot an older text may be found.  A container with
        auto-remove is of no use after a reboot, so while it runs only RUN knows.  Failure; the former text stays."""
        live = self.is_live(container.id)
        if live:
            self.save_live(container)
        if not (live and container.host_config.auto_remove):
            with _told(container):
                _replace(f"{self.directory(container.id)}/config.json", encode(container), durable)

    def is_live(self, container_id: str) -> bool:
        """Whether its process runs, or ended and was not cleaned up after: `save_live` was called, `end` not yet."""
        return os.path.exists(f"{self.live(container_id)}/state.json")

    def save_live(self, container: Container) -> None:
        """Its process runs, or is about to; Failure."""
        with _told(container):
            _replace(f"{self.live(container.id)}/state.json", encode(container), durable=False)

    def begin(self, container_id: str) -> str:
        """An empty directory for a start."""
        path = self.live(container_id)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path, 0o700)
        return path

    def end(self, container_id: str) -> None:
        """Nothing of the process is left."""
        shutil.rmtree(self.live(container_id), ignore_errors=True)

    def set_aside(self, container_id: str) -> None:
        """The container is gone, whatever happens next; its files are for `delete`, or the next `load`."""
        with suppress(FileNotFoundError):
            os.rename(self.directory(container_id), self.directory(container_id) + _REMOVED)

    def delete(self, container_id: str) -> None:
        """The files of a container that was set aside."""
        shutil.rmtree(self.directory(container_id) + _REMOVED, ignore_errors=True)

    def load(self) -> tuple[list[Container], list[str]]:
        """All containers, and one sentence for each that cannot be read; drafts and remains are deleted."""
        containers: list[Container] = []
        problems: list[str] = []
        for name in sorted(_names(self._places.containers)):
            path = self.directory(name)
            if name.endswith((_NEW, _REMOVED)):
                shutil.rmtree(path)
                continue
            try:
                containers.append(self._read(name))
            except (OSError, DecodeError) as error:
                problems.append(f"container {name} cannot be read, and is left alone: {error}")
        return containers, problems

    def _read(self, container_id: str) -> Container:
        for path in (f"{self.live(container_id)}/state.json", f"{self.directory(container_id)}/config.json"):
            try:
                with open(path, "rb") as stream:
                    return decode(stream.read())
            except FileNotFoundError:
                continue
        raise FileNotFoundError(2, "no config.json", self.directory(container_id))

    def started(self) -> set[str]:
        """Ids of containers that were started and not cleaned up after."""
        return set(_names(self._live))

    def is_same_boot(self) -> bool:
        """False after a reboot (or at the very first time), when nothing in RUN means anything."""
        try:
            with open(self._boot_file, "rb") as stream:
                return stream.read() == _boot()
        except FileNotFoundError:
            return False

    def note_boot(self) -> None:
        """What a reboot left is cleaned up."""
        os.makedirs(self._places.run, 0o755, exist_ok=True)
        _replace(self._boot_file, _boot(), durable=False)


def _boot() -> bytes:
    with open(BOOT_ID, "rb") as stream:
        return stream.read()


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _write(path: str, text: bytes, durable: bool) -> None:
    with open(path, "wb") as stream:
        stream.write(text)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())


@contextmanager
def _told(container: Container) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Failure(f"writing down container {container.name}: {error.filename or 'its files'}: {reason}") from error


def _replace(path: str, text: bytes, durable: bool) -> None:
    draft = path + _NEW
    try:
        _write(draft, text, durable)
        os.rename(draft, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft)
        raise OSError(error.errno, error.strerror, path) from None
    if durable:
        _sync_directory(os.path.dirname(path))


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
