"""Commands on images that are here."""

from __future__ import annotations

import time

from netd.cli import moments, output
from netd.cli.client import ApiError, escaped, query
from netd.cli.container import NOT_FOUND, show_objects
from netd.cli.filters import as_query
from netd.cli.image_get import split
from netd.cli.progress import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from netd.cli.context import Context
    from netd.cli.flags import Arguments

_NONE = "<none>"
_SHORT_ID = 12
_COMMAND = 45
_HISTORY = {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}
COLUMNS = {"Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "CreatedSince": "CREATED", "Size": "SIZE"}


def ls(context: Context, arguments: Arguments) -> int:
    """Docker's table, or what --quiet and --format ask for."""
    filters = [*arguments.filter, *([f"reference={arguments.image}"] if arguments.image else [])]
    listed = context.daemon.get(query("/images/json", all=arguments.all, filters=as_query(filters)))
    now = time.time()
    rows = [row for item in listed for row in rows_of(item, now, arguments.no_trunc)]
    if arguments.quiet and not arguments.format:
        context.out.write("".join(f"{each}\n" for each in dict.fromkeys(row["ID"] for row in rows)))
        return 0
    columns = dict(COLUMNS)
    if arguments.digests:
        columns = {"Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", **COLUMNS}
    context.out.write(output.formatted(arguments.format or "table", rows, columns))
    return 0


def rows_of(item: Mapping[str, Any], now: float, whole: bool) -> list[dict[str, Any]]:
    """The fields that --format knows: one row for each tag, or one for an image without."""
    digests = {digest.partition("@")[0]: digest.partition("@")[2] for digest in item.get("RepoDigests") or ()}
    names = [split(tag) for tag in item.get("RepoTags") or () if tag != f"{_NONE}:{_NONE}"]
    if not names:
        names = [(name, _NONE) for name in digests] or [(_NONE, _NONE)]
    common = {
        "ID": item["Id"] if whole else item["Id"].removeprefix("sha256:")[:_SHORT_ID],
        "CreatedSince": moments.since(item["Created"], now),
        "CreatedAt": moments.local(item["Created"]),
        "Size": size(item["Size"]),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted((item.get("Labels") or {}).items())),
    }
    return [
        {"Repository": name, "Tag": tag, "Digest": digests.get(name, _NONE), **common} for name, tag in sorted(names)
    ]


def rm(context: Context, arguments: Arguments) -> int:
    """Prints what became of tags and images; with --force what is absent is fine."""

    def remove(name: str) -> None:
        try:
            found = context.daemon.call("DELETE", query(_path(name), force=arguments.force))
        except ApiError as error:
            if not (arguments.force and error.status == NOT_FOUND):
                raise
            return
        for item in found or ():
            for key, value in item.items():
                context.out.write(f"{key}: {value}\n")

    return _each(context, arguments.images, remove)


def inspect(context: Context, arguments: Arguments) -> int:
    """An array of those that exist."""
    found: list[dict[str, object]] = []
    failed = _each(context, arguments.images, lambda name: found.append(context.daemon.get(_path(name, "/json"))))
    show_objects(context, arguments.format, found)
    return failed


def history(context: Context, arguments: Arguments) -> int:
    """Docker's table, last step first."""
    now = time.time()
    whole = arguments.no_trunc
    rows = [
        {
            "ID": step["Id"] if whole else step["Id"].removeprefix("sha256:")[:_SHORT_ID],
            "CreatedSince": moments.since(step["Created"], now) if step["Created"] > 0 else "N/A",
            "CreatedAt": moments.local(step["Created"]),
            "CreatedBy": step["CreatedBy"] if whole else _cut(step["CreatedBy"].replace("\t", " ")),
            "Size": size(step["Size"]),
            "Comment": step["Comment"],
        }
        for step in context.daemon.get(_path(arguments.image, "/history"))
    ]
    if arguments.quiet:
        context.out.write("".join(f"{row['ID']}\n" for row in rows))
    else:
        context.out.write(output.formatted(arguments.format or "table", rows, _HISTORY))
    return 0


def _cut(text: str) -> str:
    return text if len(text) <= _COMMAND else text[: _COMMAND - 1] + "…"


def prune(context: Context, arguments: Arguments) -> int:
    """Removes images, after asking."""
    if not arguments.force:
        what = "without at least one container associated to them" if arguments.all else "without a name"
        context.out.write(f"WARNING! This will remove all images {what}.\nAre you sure? [y/N] ")
        context.out.flush()
        if context.input.readline().strip().lower() not in ("y", "yes"):
            return 0
    filters = as_query([*arguments.filter, *(["dangling=false"] if arguments.all else [])])
    answer = context.daemon.post(query("/images/prune", filters=filters))
    for item in answer.get("ImagesDeleted") or ():
        for key, value in item.items():
            context.out.write(f"{key}: {value}\n")
    context.out.write(f"Total reclaimed space: {size(answer['SpaceReclaimed'])}\n")
    return 0


def tag(context: Context, arguments: Arguments) -> int:
    name, label = split(arguments.reference)
    context.daemon.post(query(_path(arguments.image, "/tag"), repo=name, tag=label))
    return 0


def _path(name: str, rest: str = "") -> str:
    """Slashes of an image's name are part of the path (contract 6.1: /images/{name}/json)."""
    return "/images/" + "/".join(escaped(part) for part in name.split("/")) + rest


def _each(context: Context, names: Iterable[str], act: Callable[[str], None]) -> int:
    failed = 0
    for name in names:
        try:
            act(name)
        except ApiError as error:
            context.complain(str(error))
            failed = 1
    return failed
