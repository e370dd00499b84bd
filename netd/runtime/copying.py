"""docker cp: what is at a path in a container, and archives out of it and into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO

from netd.failure import Failure, Forbidden, InvalidParameter, NotFound
from netd.files import reading, writing
from netd.files.reading import PathStat
from netd.runtime.bundle.inside import read_beneath
from netd.runtime.bundle.users import find_user
from netd.runtime.entry import Entry
from netd.runtime.parts import Parts
from netd.runtime.roots import with_root

_LARGEST_FILE = 1 << 20


class Copying:
    """Each may take as long as its archive; other users of a container that runs do not notice."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def look(self, entry: Entry, path: str) -> PathStat:
        """NotFound in docker's words."""
        return with_root(self._parts, entry, lambda root: _look(entry, root, path))

    def read(
        self, entry: Entry, path: str, found: Callable[[PathStat], object], write: Callable[[bytes], object]
    ) -> None:
        """Calls `found`, then `write` with a tar, piece by piece."""

        def work(root: int) -> None:
            found(_look(entry, root, path))
            try:
                reading.archive(root, path, write)
            except OSError as error:
                raise Failure(f"reading {path} of container {entry.container.name}: {error}") from error

        with_root(self._parts, entry, work)

    def write(self, entry: Entry, path: str, stream: IO[bytes], keep_kinds: bool, owned_by_user: bool) -> None:
        """Unpacks a tar; with `owned_by_user` all of it belongs to the container's user."""

        def work(root: int) -> None:
            owner = self._owner(entry, root) if owned_by_user else None
            try:
                writing.unpack(root, path, stream, writing.How(keep_kinds, owner))
            except NotADirectoryError:
                raise InvalidParameter("extraction point is not a directory") from None
            except OSError as error:
                raise _problem(entry, path, error) from error

        with_root(self._parts, entry, work)

    def _owner(self, entry: Entry, root: int) -> tuple[int, int] | None:
        user = entry.container.config.user or self._parts.images.find(entry.container.image_id).config.user
        if not user:
            return None
        passwd = read_beneath(root, "/etc/passwd", _LARGEST_FILE)
        known = find_user(user, passwd, read_beneath(root, "/etc/group", _LARGEST_FILE))
        return known.uid, known.gid


def _look(entry: Entry, root: int, path: str) -> PathStat:
    try:
        return reading.look(root, path)
    except OSError as error:
        raise _problem(entry, path, error) from error


def _problem(entry: Entry, path: str, error: OSError) -> Failure:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"Could not find the file {path} in container {entry.container.name}")
    if isinstance(error, NotADirectoryError):
        return InvalidParameter(f"{path}: not a directory")
    if error.errno == 30:  # EROFS
        return Forbidden("container rootfs is marked read-only")
    return Failure(f"{path} in container {entry.container.name}: {os.strerror(error.errno or 0).lower()}")
