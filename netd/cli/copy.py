"""`pynet container cp`: docker's rules of what becomes of source and target."""

from __future__ import annotations

import os
import stat
import threading

from netd.cli.client import ApiError, container, query
from netd.failure import InvalidParameter, NotFound
from netd.files.beneath import normal
from netd.files.reading import archive, go_mode
from netd.files.writing import How, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from netd.cli.client import Response
    from netd.cli.context import Context
    from netd.cli.flags import Arguments

_STAT = "x-docker-container-path-stat"
_STREAM = "-"
_CHUNK = 1 << 17
_DIRECTORY, _LINK = go_mode(stat.S_IFDIR), go_mode(stat.S_IFLNK)


def cp(context: Context, arguments: Arguments) -> int:
    """Prints nothing."""
    source, target = _split(arguments.source), _split(arguments.target)
    if bool(source[0]) == bool(target[0]):
        raise InvalidParameter("cp: exactly one of SOURCE and TARGET must be CONTAINER:PATH")
    if source[0]:
        _out_of(context, arguments, source, target[1])
    else:
        _into(context, arguments, source[1], target)
    return 0


def _split(text: str) -> tuple[str, str]:
    """Container and path; what begins with a slash or a dot is of this machine."""
    if text.startswith(("/", ".")) or ":" not in text:
        return "", text
    ref, _, path = text.partition(":")
    if not ref or not path:
        raise InvalidParameter(f"{text!r}: expected CONTAINER:PATH")
    return ref, path


def _out_of(context: Context, arguments: Arguments, source: tuple[str, str], target: str) -> None:
    ref, path = source[0], "/." if normal(source[1]) == "/" else source[1]
    if arguments.follow_link and (found := _look(context, ref, path)) is not None and found["mode"] & _LINK:
        path = found["linkTarget"]
    response = context.daemon.stream("GET", _path(ref, path))
    if target == _STREAM:
        output = context.out.buffer
        if output.isatty():
            raise InvalidParameter("cp: an archive is not for a terminal")
        for piece in response.pieces():
            output.write(piece)
        output.flush()
        return
    is_directory = bool(_stat_of(response)["mode"] & _DIRECTORY)
    directory, renamed = _place(path, is_directory, target, os.path.isdir(target), os.path.lexists(target))
    if is_directory and path.endswith("/."):
        os.makedirs(target, exist_ok=True)
        directory, renamed = target, ""
    owner = None if arguments.archive else (os.geteuid(), os.getegid())
    try:
        root = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"cp: {directory}: {(error.strerror or '').lower()}") from None
    try:
        unpack(root, "/", _Body(response.pieces()), How(True, owner, renamed))  # type: ignore[arg-type]
    finally:
        os.close(root)


def _into(context: Context, arguments: Arguments, source: str, target: tuple[str, str]) -> None:
    ref, path = target
    if source == _STREAM:
        pieces = iter(lambda: context.input.buffer.read(_CHUNK), b"")
        _upload(context, ref, path, arguments, pieces)
        return
    whole = os.path.realpath(source) if arguments.follow_link else os.path.abspath(source)
    inner = source.endswith("/.")
    if not os.path.lexists(whole):
        raise NotFound(f"cp: {source}: no such file or directory")
    is_directory = stat.S_ISDIR((os.stat if inner or source.endswith("/") else os.lstat)(whole).st_mode)
    found = _look(context, ref, path)
    if found is not None and found["mode"] & _LINK:
        path = found["linkTarget"]
        found = _look(context, ref, path)
    there = found is not None and bool(found["mode"] & _DIRECTORY)
    directory, renamed = _place(source, is_directory, path, there, found is not None)
    name = renamed or ("." if inner else os.path.basename(whole))
    owner = None if arguments.archive else (0, 0)
    _upload(context, ref, directory or "/", arguments, _archived(whole + "/." * inner, name, owner))


def _place(source: str, is_directory: bool, target: str, is_there: bool, exists: bool) -> tuple[str, str]:
    """The directory that it comes into, and its name there, "" for its own.  InvalidParameter."""
    if is_there:
        return target, ""
    if exists and is_directory:
        raise InvalidParameter(f"cp: {source} is a directory, and {target} is none")
    if target.endswith("/") and not is_directory:
        raise InvalidParameter(f"cp: {target}: the destination directory must exist")
    directory, name = os.path.split(target.rstrip("/"))
    return directory or ("/" if target.startswith("/") else ""), name


def _upload(context: Context, ref: str, path: str, arguments: Arguments, pieces: Iterator[bytes]) -> None:
    flags = {"noOverwriteDirNonDir": True, "copyUIDGID": arguments.archive}
    context.daemon.upload(query(container(ref, "/archive"), path=path, **flags), pieces, "PUT").body()


def _archived(path: str, name: str, owner: tuple[int, int] | None) -> Iterator[bytes]:
    """The archive in pieces, made in another thread."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    problem: list[OSError] = []

    def make() -> None:
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with os.fdopen(writing, "wb") as pipe:
                archive(root, path, pipe.write, name, owner)
        except OSError as error:
            problem.append(error)
        finally:
            os.close(root)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    with os.fdopen(reading, "rb") as pipe:
        yield from iter(lambda: pipe.read(_CHUNK), b"")
    thread.join()
    if problem:
        raise problem[0]


def _look(context: Context, ref: str, path: str) -> dict[str, Any] | None:
    """What is at a path; None where there is nothing."""
    try:
        return _stat_of(context.daemon.stream("HEAD", _path(ref, path)))
    except ApiError as error:
        if error.status != 404:
            raise
    context.daemon.get(container(ref, "/json"))  # says so where it is the container that is not there
    return None


def _stat_of(response: Response) -> dict[str, Any]:
    import json
    from base64 import b64decode

    found = json.loads(b64decode(response.headers[_STAT]))
    assert isinstance(found, dict)
    return found


def _path(ref: str, path: str) -> str:
    return query(container(ref, "/archive"), path=path)


class _Body:
    """Pieces as a file to be read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def read(self, size: int) -> bytes:
        while len(self._left) < size and (piece := next(self._pieces, b"")):
            self._left += piece
        data, self._left = self._left[:size], self._left[size:]
        return data
