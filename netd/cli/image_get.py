"""How images get here: `pynet image pull`, `load` and `import`."""

from __future__ import annotations

from netd.cli import progress
from netd.cli.amounts import check_platform
from netd.cli.client import NoDaemon, query
from netd.failure import Failure, InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from netd.cli.context import Context
    from netd.cli.flags import Arguments

_PIECE = 1 << 20


def pull(context: Context, arguments: Arguments) -> int:
    """Prints the progress, or with --quiet the image's name."""
    if arguments.platform:
        check_platform("--platform", arguments.platform)
    fetch(context, arguments.image, None if arguments.quiet else context.out)
    if arguments.quiet:
        context.out.write(f"{arguments.image}\n")
    return 0


def fetch(context: Context, reference: str, stream: TextIO | None) -> None:
    """Pulls an image; Failure, ApiError."""
    name, tag = split(reference)
    response = context.daemon.stream("POST", query("/images/create", fromImage=name, tag=tag))
    progress.show(response.lines(), stream)


def split(reference: str) -> tuple[str, str]:
    """(name, tag or digest) of `name:tag` or `name@sha256:…`; without either the tag is `latest`.  Pure."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "latest")


def load(context: Context, arguments: Arguments) -> int:
    """Prints the names of what was loaded."""
    if not arguments.input and context.input.isatty():
        raise InvalidParameter("image load: give an archive: --input FILE, or on standard input")
    quiet = arguments.quiet or not context.out.isatty()
    _send(context, query("/images/load", quiet=quiet), arguments.input, False)
    return 0


def take(context: Context, arguments: Arguments) -> int:
    """`image import`; prints the image's id."""
    if arguments.file == "-" and context.input.isatty():
        raise InvalidParameter("image import -: give an archive on standard input")
    name, tag = split(arguments.reference) if arguments.reference else ("", "")
    path = query("/images/create", fromSrc="-", repo=name, tag=tag, message=arguments.message)
    for change in arguments.change:
        path += f"&{query('', changes=change)[1:]}"
    _send(context, path, "" if arguments.file == "-" else arguments.file, not context.out.isatty())
    return 0


def _send(context: Context, path: str, file: str, results_only: bool) -> None:
    """Failure names the file, if it is one."""
    content = _content(context, file)
    try:
        progress.show(context.daemon.upload(path, content).lines(), context.out, results_only)
    except NoDaemon:
        raise
    except Failure as error:
        raise Failure(f"{file}: {error}" if file else str(error)) from None


def _content(context: Context, path: str) -> Iterator[bytes]:
    """A file piece by piece, or standard input; it is opened at once, so that its absence is told first."""
    try:
        stream = open(path or context.input.fileno(), "rb", buffering=0, closefd=bool(path))  # noqa: SIM115
    except OSError as error:
        raise Failure(f"{path}: {(error.strerror or str(error)).lower()}") from None

    def pieces() -> Iterator[bytes]:
        with stream:
            while piece := stream.read(_PIECE):
                yield piece

    return pieces()
