"""A tar archive unpacked into a tree, as docker's API does it (PUT /containers/{id}/archive).

Nothing outside the tree is ever touched, whatever names and links are in the archive or in the tree, and be the tree
changed meanwhile: directories are opened from within it, and what is done there is done to a name in one of them.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import tarfile
from contextlib import suppress
from typing import IO

from netd.failure import Forbidden, InvalidParameter
from netd.files.beneath import make_directories, normal, open_beneath
from netd.files.packed import damage_named, unpacked
from netd.files.reading import XATTR
from pycni.record import Record

_CHUNK = 1 << 17
_NODES = {tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK, tarfile.FIFOTYPE: stat.S_IFIFO}


class How(Record):
    """`keep_kinds`: no directory is replaced by something else, nor the reverse.  `owner` (uid, gid) of everything,
    None: the archive says.  `renamed`: the first part of all names becomes this, "" leaves it."""

    keep_kinds: bool = False
    owner: tuple[int, int] | None = None
    renamed: str = ""


def unpack(root: int, path: str, stream: IO[bytes], how: How) -> None:
    """`stream` is a tar, plain or packed (`netd.files.packed`); `path` a directory of the tree.  OSError where it is
    none, InvalidParameter for an archive that is damaged or leads out of it, Forbidden where it is read-only."""
    os.close(open_beneath(root, normal(path), os.O_PATH | os.O_DIRECTORY))
    try:
        with (
            damage_named(),
            unpacked(stream) as plain,
            tarfile.open(fileobj=plain, mode="r|", bufsize=_CHUNK) as archive,
        ):
            _Unpacker(root, normal(path), archive, how).all()
    except tarfile.TarError as error:
        raise InvalidParameter(f"the archive is damaged: {error}") from error


class _Unpacker:
    def __init__(self, root: int, path: str, archive: tarfile.TarFile, how: How) -> None:
        self._root = root
        self._path = path
        self._archive = archive
        self._how = how
        self._times: dict[str, tarfile.TarInfo] = {}

    def all(self) -> None:
        while (member := self._archive.next()) is not None:
            self._archive.members.clear()  # type: ignore[attr-defined]  # millions of them would be kept
            try:
                self._one(member)
            except OSError as error:
                raise _named(error, member.name) from error
        # what was put into a directory has changed its time
        for place, member in reversed(self._times.items()):
            with suppress(OSError):
                self._set_time(place, member)

    def _one(self, member: tarfile.TarInfo) -> None:
        place = self._place(member.name)
        if place == self._path:
            return
        directory, name = posixpath.split(place)
        at = make_directories(self._root, directory)
        try:
            if self._make_room(at, name, member):
                self._make(at, name, member)
            self._describe(at, name, member)
            if member.isdir():
                self._times[place] = member
        finally:
            os.close(at)

    def _place(self, name: str) -> str:
        """In the tree; InvalidParameter for a name that leads out of where it is unpacked."""
        if posixpath.normpath(name).startswith("../") or posixpath.normpath(name) == "..":
            raise InvalidParameter(f"invalid archive: {name!r} leads out of {self._path}")
        inner = normal(name)
        if self._how.renamed:
            inner = "/".join(("", self._how.renamed, *inner.split("/")[2:]))
        return normal(f"{self._path}/{inner}")

    def _make_room(self, at: int, name: str, member: tarfile.TarInfo) -> bool:
        """Whether it has to be made: a directory where one is to be stays, with all that is in it."""
        try:
            mode = os.lstat(name, dir_fd=at).st_mode
        except FileNotFoundError:
            return True
        if stat.S_ISDIR(mode) and member.isdir():
            return False
        if self._how.keep_kinds and stat.S_ISDIR(mode):
            raise InvalidParameter(f'cannot overwrite directory "{member.name}" with non-directory "{self._path}"')
        if self._how.keep_kinds and member.isdir():
            raise InvalidParameter(f'cannot overwrite non-directory "{member.name}" with directory "{self._path}"')
        if stat.S_ISDIR(mode):
            shutil.rmtree(name, dir_fd=at)
        else:
            os.unlink(name, dir_fd=at)
        return True

    def _make(self, at: int, name: str, member: tarfile.TarInfo) -> None:
        if member.isdir():
            os.mkdir(name, 0o700, dir_fd=at)
        elif member.isreg():
            self._fill(at, name, member)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=at)
        elif member.islnk():
            self._link(at, name, member)
        elif member.type in _NODES:
            device = os.makedev(member.devmajor, member.devminor)
            os.mknod(name, _NODES[member.type] | 0o600, device, dir_fd=at)
        else:
            raise InvalidParameter(f"invalid archive: {member.name!r} is of an unknown kind")

    def _fill(self, at: int, name: str, member: tarfile.TarInfo) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        source = self._archive.extractfile(member)
        assert source is not None
        with open(os.open(name, flags, 0o600, dir_fd=at), "wb", buffering=0) as file:
            shutil.copyfileobj(source, file, _CHUNK)

    def _link(self, at: int, name: str, member: tarfile.TarInfo) -> None:
        directory, target = posixpath.split(self._place(member.linkname))
        other = open_beneath(self._root, directory, os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(target, name, src_dir_fd=other, dst_dir_fd=at, follow_symlinks=False)
        finally:
            os.close(other)

    def _describe(self, at: int, name: str, member: tarfile.TarInfo) -> None:
        """Owner, mode, capabilities, time."""
        if member.islnk():
            return
        uid, gid = self._how.owner or (member.uid, member.gid)
        os.chown(name, uid, gid, dir_fd=at, follow_symlinks=False)
        if not member.issym():
            made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            try:
                os.chmod(f"/proc/self/fd/{made}", stat.S_IMODE(member.mode))
                for key, value in member.pax_headers.items():
                    if key.startswith(XATTR):
                        _set_attribute(made, key.removeprefix(XATTR), value)
            finally:
                os.close(made)
        nanoseconds = int(member.mtime * 1_000_000_000)
        os.utime(name, ns=(nanoseconds, nanoseconds), dir_fd=at, follow_symlinks=False)

    def _set_time(self, place: str, member: tarfile.TarInfo) -> None:
        made = open_beneath(self._root, place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            nanoseconds = int(member.mtime * 1_000_000_000)
            os.utime(made, ns=(nanoseconds, nanoseconds))
        finally:
            os.close(made)


def _set_attribute(made: int, name: str, value: str) -> None:
    """A file system that has none is no error, as for docker."""
    with suppress(OSError):
        os.setxattr(f"/proc/self/fd/{made}", name, value.encode("utf-8", "surrogateescape"))


def _named(error: OSError, name: str) -> Exception:
    if error.errno == 30:  # EROFS
        return Forbidden("container rootfs is marked read-only")
    return InvalidParameter(f"unpacking {name}: {(error.strerror or str(error)).lower()}")
