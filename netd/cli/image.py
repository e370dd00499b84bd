"""Commands on images that are here."""

from __future__ import annotations

import time

from netd.cli import moments, output
from netd.cli.client import ApiError, escaped, query
from netd.cli.container import show_objects
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
    """Prints what became of tags and images."""

    def remove(name: str) -> None:
        for item in context.daemon.call("DELETE", query(_path(name), force=arguments.force)) or ():
            for key, value in item.items():
                context.out.write(f"{key}: {value}\n")

    return _each(context, arguments.images, remove)


def inspect(context: Context, arguments: Arguments) -> int:
    """An array of those that exist."""
    found: list[dict[str, object]] = []
    failed = _each(context, arguments.images, lambda name: found.append(context.daemon.get(_path(name, "/json"))))
    show_objects(context, arguments.format, found)
    return failed


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
