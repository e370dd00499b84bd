"""`pynet ps`."""

from __future__ import annotations

import time

from netd.cli import moments, output, ports_text
from netd.cli.client import query
from netd.cli.filters import as_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from netd.cli.context import Context
    from netd.cli.flags import Arguments

COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}
_SHORT_ID, _SHORT_COMMAND = 12, 20


def ps(context: Context, arguments: Arguments) -> int:
    """Docker's table, newest first, or what --quiet and --format ask for."""
    last = 1 if arguments.latest else arguments.last
    wanted = query(
        "/containers/json",
        all=arguments.all or last > 0,
        limit=last if last > 0 else None,
        filters=as_query(arguments.filter),
    )
    listed = context.daemon.get(wanted)
    if arguments.quiet and not arguments.format:
        length = None if arguments.no_trunc else _SHORT_ID
        context.out.write("".join(f"{item['Id'][:length]}\n" for item in listed))
        return 0
    now = time.time()
    rows = [row(item, now, arguments.no_trunc) for item in listed]
    context.out.write(output.formatted(arguments.format or "table", rows, COLUMNS))
    return 0


def row(item: Mapping[str, Any], now: float, whole: bool) -> dict[str, Any]:
    """The fields that --format knows, of one entry of GET /containers/json."""
    command = item["Command"]
    if not whole and len(command) > _SHORT_COMMAND:
        command = command[: _SHORT_COMMAND - 1] + "…"
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "ID": item["Id"] if whole else item["Id"][:_SHORT_ID],
        "Image": item["Image"] if whole else _image(item["Image"]),
        "Command": f'"{command}"',
        "CreatedAt": moments.local(item["Created"]),
        "RunningFor": moments.since(item["Created"], now),
        "Ports": ports_text.summary(item.get("Ports") or ()),
        "State": item["State"],
        "Status": item["Status"],
        "Names": ",".join(_names(item["Names"] or [], whole)),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted((item.get("Labels") or {}).items())),
        "Mounts": ",".join(mount.get("Name") or mount["Source"] for mount in item.get("Mounts") or ()),
        "Networks": ",".join(networks),
    }


def _image(name: str) -> str:
    """An image without a name goes by its short id."""
    return name.removeprefix("sha256:")[:_SHORT_ID] if name.startswith("sha256:") else name


def _names(names: list[str], whole: bool) -> list[str]:
    """Without the slash; links, which have a second one, only with --no-trunc."""
    bare = [name.removeprefix("/") for name in names]
    return bare if whole else [name for name in bare if "/" not in name]
