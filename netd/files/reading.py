"""A file or directory of a tree as a tar archive, as docker's API sends it (GET /containers/{id}/archive)."""

from __future__ import annotations

import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Generator
from typing import IO, Any

from netd.files.beneath import normal, open_last
from pycni.record import Record

_BUFFER = 1 << 17
_CAPABILITY = "security.capability"
XATTR = "SCHILY.xattr."
"""How pax headers of extended attributes begin."""

_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
"""Go's os.FileMode."""

_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


class PathStat(Record):
    """`mode` in Go's bits; `mtime` seconds; `link_target` an absolute path within the tree, "" but for links."""

    name: str
    size: int
    mode: int
    mtime: float
    link_target: str = ""


def look(root: int, path: str) -> PathStat:
    """OSError where there is nothing."""
    found = open_last(root, path)
    try:
        info = os.fstat(found)
        target = ""
        if stat.S_ISLNK(info.st_mode):
            target = normal(posixpath.join(posixpath.dirname(normal(path)), os.readlink("", dir_fd=found)))
        return PathStat(
            posixpath.basename(normal(path)) or "/", info.st_size, go_mode(info.st_mode), info.st_mtime, target
        )
    finally:
        os.close(found)


def go_mode(mode: int) -> int:
    bits = sum(bit for flag, bit in _GO_BITS if mode & flag)
    return mode & 0o777 | bits | _GO_KINDS.get(stat.S_IFMT(mode), 0)


def archive(
    root: int,
    path: str,
    write: Callable[[bytes], object],
    name: str = "",
    owner: tuple[int, int] | None = None,
) -> None:
    """Names in the archive begin with `name`, or with the last part of `path`: "." for "/etc/.".  `owner` (uid, gid)
    instead of the files' own.  What is no file, directory, link,
    device or pipe is left out.  OSError where there is nothing."""
    base = name or ("." if path.endswith("/.") else posixpath.basename(normal(path)) or "/")
    found = open_last(root, path)
    try:
        with tarfile.open(fileobj=_Sink(write), mode="w|", bufsize=_BUFFER, format=tarfile.PAX_FORMAT) as out:  # type: ignore[call-overload]
            _Writer(out, owner).all(found, base)
    finally:
        os.close(found)


class _Sink:
    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


class _Writer:
    def __init__(self, out: tarfile.TarFile, owner: tuple[int, int] | None) -> None:
        self._out = out
        self._owner = owner
        self._linked: dict[tuple[int, int], str] = {}

    def all(self, found: int, name: str) -> None:
        """Depth first, directories before what is in them, one descriptor open for each level."""
        levels = [self._entries(os.dup(found), "", (name,))]
        try:
            while levels:
                inner = next(levels[-1], None)
                if inner is None:
                    levels.pop()
                else:
                    levels.append(inner)
        finally:
            for level in levels:
                level.close()

    def _entries(self, at: int, prefix: str, only: tuple[str, ...] = ()) -> Generator[Any, None, None]:
        """Writes the entries of a directory, and gives an iterator of the same kind for each directory among them."""
        try:
            for each in only or sorted(os.listdir(f"/proc/self/fd/{at}")):
                try:
                    entry = os.dup(at) if only else os.open(each, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                except FileNotFoundError:
                    continue  # removed meanwhile
                try:
                    name = f"{prefix}{each}"
                    if self._one(entry, name):
                        yield self._entries(os.dup(entry), name if name.endswith("/") else f"{name}/")
                finally:
                    os.close(entry)
        finally:
            os.close(at)

    def _one(self, entry: int, name: str) -> bool:
        """Whether it is a directory."""
        info = os.fstat(entry)
        kind = _KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return False
        member = tarfile.TarInfo(name)
        member.type, member.mode, member.mtime = kind, stat.S_IMODE(info.st_mode), int(info.st_mtime)
        member.uid, member.gid = self._owner or (info.st_uid, info.st_gid)
        if kind == tarfile.SYMTYPE:
            member.linkname = os.readlink("", dir_fd=entry)
        elif kind in (tarfile.BLKTYPE, tarfile.CHRTYPE):
            member.devmajor, member.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
        elif kind == tarfile.REGTYPE:
            self._regular(entry, member, info)
            return False
        self._out.addfile(member)
        return kind == tarfile.DIRTYPE

    def _regular(self, entry: int, member: tarfile.TarInfo, info: os.stat_result) -> None:
        first = self._linked.setdefault((info.st_dev, info.st_ino), member.name) if info.st_nlink > 1 else member.name
        if first != member.name:
            member.type, member.linkname = tarfile.LNKTYPE, first
            self._out.addfile(member)
            return
        with open(f"/proc/self/fd/{entry}", "rb") as file:
            try:
                value = os.getxattr(file.fileno(), _CAPABILITY)
                member.pax_headers = {XATTR + _CAPABILITY: value.decode("utf-8", "surrogateescape")}
            except OSError:
                pass  # it has none, as nearly all
            member.size = info.st_size
            self._out.addfile(member, _Exactly(file))  # type: ignore[arg-type]


class _Exactly:
    """A file that has the size it had: one that grows is cut, and one that shrinks filled up with zeros."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (piece := self._file.read(size - len(data))):
            data += piece
        return data.ljust(size, b"\0")
