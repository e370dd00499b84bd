"""Our plugins in a CNI directory: placed over what stands there, which is kept and put back byte for byte.

    <dest>/bridge, <dest>/host-local, …     hard links of one launcher
    <dest>/.pynet-kept/<name>               what stood there before, moved aside as it was
    <dest>/.pynet-kept/manifest.json        which names are ours
    <dest>/.pynet-kept/.…                   drafts, of which a killed call leaves one

A plugin is replaced by rename, so there is never a moment without one.  What is kept is linked before it is replaced;
interrupted anywhere, the same call again finishes the work.  One call at a time has the directory's lock.  A file that
someone put over ours later (a package update, say) is theirs: install keeps it in turn, uninstall leaves it where it
is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence

from pycni.invoke import is_ours
from pycni.record import Record
from pycni.spec.errors import CniError

KEPT = ".pynet-kept"
MANIFEST = "manifest.json"
_LAUNCHER, _LINK, _LIST = _DRAFTS = (".launcher", ".link", f".{MANIFEST}")


class InstallError(CniError):
    """The directory or a file in it is not what it should be; nothing was replaced."""


class Change(Record):
    """What became of one name: `installed`, `unchanged`, `restored`, `removed`, or `left` (someone else's by now).
    `kept` says whether a file of before is kept aside."""

    name: str
    outcome: str
    kept: bool = False


def place(dest: str, names: Sequence[str], launcher: bytes) -> list[Change]:
    """Makes each name in `dest` a hard link of one file that holds these bytes.
    InstallError before anything was done, when one of them stands there as a directory; OSError when writing fails."""
    for name in names:
        _refuse_directory(os.path.join(dest, name))
    with _locked(dest):
        return _place(dest, os.path.join(dest, KEPT), names, launcher)


def _place(dest: str, kept: str, names: Sequence[str], launcher: bytes) -> list[Change]:
    os.makedirs(kept, mode=0o755, exist_ok=True)
    known = _manifest(kept)
    in_place = all(name in known and _holds(os.path.join(dest, name), launcher) for name in names)
    if in_place and _one_file(dest, names):
        return [Change(name, "unchanged", os.path.lexists(os.path.join(kept, name))) for name in names]
    _write_manifest(kept, {*known, *names})
    draft = os.path.join(kept, _LAUNCHER)
    try:
        _absent(draft)
        _write(draft, launcher, 0o755)
        changes = [_replace(dest, kept, name, draft) for name in names]
    finally:
        _absent(draft)
    _sync(dest)
    return changes


def withdraw(dest: str) -> list[Change]:
    """Puts back what `place` replaced and removes what it added.  A directory without our files is left as it is."""
    kept = os.path.join(dest, KEPT)
    if not os.path.isdir(kept):
        return []
    with _locked(dest):
        changes = [_restore(dest, kept, name) for name in sorted(_manifest(kept))]
        for name in (MANIFEST, *_DRAFTS):
            _absent(os.path.join(kept, name))
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(kept)
            _sync(dest)
    return changes


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Holds the directory's own lock, which leaves no file behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(dest: str, kept: str, name: str, draft: str) -> Change:
    path, aside = os.path.join(dest, name), os.path.join(kept, name)
    if os.path.lexists(path) and not _is_ours(path):
        # a second name for the same file keeps its bytes, mode, owner and times
        _absent(aside)
        os.link(path, aside, follow_symlinks=False)
    fresh = os.path.join(kept, _LINK)
    _absent(fresh)
    try:
        os.link(draft, fresh)
        os.rename(fresh, path)
    finally:
        _absent(fresh)
    return Change(name, "installed", os.path.lexists(aside))


def _restore(dest: str, kept: str, name: str) -> Change:
    path, aside = os.path.join(dest, name), os.path.join(kept, name)
    had_one = os.path.lexists(aside)
    if os.path.lexists(path) and not _is_ours(path):
        if had_one:
            os.unlink(aside)
        return Change(name, "left")
    if had_one:
        os.rename(aside, path)
        return Change(name, "restored")
    _absent(path)
    return Change(name, "removed")


def _is_ours(path: str) -> bool:
    """A link to our launcher elsewhere is the operator's, and kept like any other file."""
    return stat.S_ISREG(os.lstat(path).st_mode) and is_ours(path)


def _refuse_directory(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            raise InstallError(f"{path} is a directory, not a plugin")


def _holds(path: str, content: bytes) -> bool:
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read() == content and os.fstat(file.fileno()).st_mode & 0o777 == 0o755
    except OSError:
        return False


def _one_file(dest: str, names: Sequence[str]) -> bool:
    return len({os.lstat(os.path.join(dest, name)).st_ino for name in names}) == 1


def _manifest(kept: str) -> tuple[str, ...]:
    try:
        with open(os.path.join(kept, MANIFEST), encoding="utf-8") as file:
            names = json.load(file)["plugins"]
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError) as error:
        raise InstallError(f"{os.path.join(kept, MANIFEST)} is not ours: {error}") from None
    if not isinstance(names, list) or not all(_is_file_name(name) for name in names):
        raise InstallError(f"{os.path.join(kept, MANIFEST)} holds no list of plugins")
    return tuple(names)


def _is_file_name(name: object) -> bool:
    return isinstance(name, str) and "/" not in name and name not in ("", ".", "..")


def _write_manifest(kept: str, names: Iterable[str]) -> None:
    draft = os.path.join(kept, _LIST)
    _write(draft, (json.dumps({"plugins": sorted(names)}, indent=1) + "\n").encode(), 0o644)
    os.rename(draft, os.path.join(kept, MANIFEST))
    _sync(kept)


def _absent(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _write(path: str, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
