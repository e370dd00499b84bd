"""Our plugins in a CNI directory: placed over what stands there, which is kept and put back byte for byte.

    <dest>/bridge, <dest>/host-local, …     hard links of one launcher
    <dest>/.pynet-kept/<name>               what stood there before, moved aside as it was
    <dest>/.pynet-kept/manifest.json        which names are ours

A plugin is replaced by rename, so there is never a moment without one.  What is kept is linked before it is replaced;
interrupted anywhere, the same call again finishes the work.  A file that someone put over ours later (a package
update, say) is theirs: install keeps it in turn, uninstall leaves it where it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Sequence

from pycni.invoke import is_ours
from pycni.record import Record
from pycni.spec.errors import CniError

KEPT = ".pynet-kept"
MANIFEST = "manifest.json"


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
    kept = os.path.join(dest, KEPT)
    os.makedirs(kept, mode=0o755, exist_ok=True)
    if all(_holds(os.path.join(dest, name), launcher) for name in names) and _one_file(dest, names):
        return [Change(name, "unchanged", os.path.lexists(os.path.join(kept, name))) for name in names]
    _write_manifest(kept, {*_manifest(kept), *names})
    draft = os.path.join(dest, f".pynet-launcher.{os.getpid()}")
    try:
        _write(draft, launcher, 0o755)
        changes = [_replace(dest, kept, name, draft) for name in names]
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
    _sync(dest)
    return changes


def withdraw(dest: str) -> list[Change]:
    """Puts back what `place` replaced and removes what it added.  A directory without our files is left as it is."""
    kept = os.path.join(dest, KEPT)
    changes = [_restore(dest, kept, name) for name in sorted(_manifest(kept))]
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(kept, MANIFEST))
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(kept)
        _sync(dest)
    return changes


def _replace(dest: str, kept: str, name: str, draft: str) -> Change:
    path, aside = os.path.join(dest, name), os.path.join(kept, name)
    if os.path.lexists(path) and not _is_ours(path):
        # a second name for the same file keeps its bytes, mode, owner and times
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        os.link(path, aside, follow_symlinks=False)
    fresh = os.path.join(dest, f".{name}.{os.getpid()}")
    try:
        os.link(draft, fresh)
        os.rename(fresh, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
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
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
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
    draft = os.path.join(kept, f".{MANIFEST}.{os.getpid()}")
    _write(draft, (json.dumps({"plugins": sorted(names)}, indent=1) + "\n").encode(), 0o644)
    os.rename(draft, os.path.join(kept, MANIFEST))
    _sync(kept)


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
