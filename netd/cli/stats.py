"""`pynet container stats`: docker's columns, from two samples of each container."""

from __future__ import annotations

import time

from netd.cli import output
from netd.cli.client import ApiError, container, query
from netd.cli.progress import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from netd.cli.context import Context
    from netd.cli.flags import Arguments

COLUMNS = {
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_INTERVAL = 1.0
"""Seconds between two samples."""

_CLEAR = "\x1b[H\x1b[2J"
_SHORT_ID = 12


def stats(context: Context, arguments: Arguments) -> int:
    """A table once with --no-stream, else anew every second until interrupted."""
    before = _samples(context, arguments)
    while True:
        time.sleep(_INTERVAL)
        now = _samples(context, arguments)
        rows = [row(sample, before.get(ref, sample), arguments.no_trunc) for ref, sample in now.items()]
        text = output.formatted(arguments.format or "table", rows, COLUMNS)
        live = not arguments.no_stream and context.out.isatty()
        context.out.write(_CLEAR + text if live else text)
        context.out.flush()
        if arguments.no_stream:
            return 0
        before = now


def _samples(context: Context, arguments: Arguments) -> dict[str, dict[str, Any]]:
    """By id.  A container that was named and is not there is an error; one that went meanwhile is left out."""
    daemon = context.daemon
    named = arguments.containers
    refs = named or [item["Id"] for item in daemon.get(query("/containers/json", all=arguments.all))]
    found = {}
    for ref in refs:
        try:
            sample = daemon.get(container(ref, "/stats?stream=0&one-shot=1"))
        except ApiError:
            if named:
                raise
            continue
        found[sample["id"]] = sample
    return found


def row(sample: dict[str, Any], before: dict[str, Any], whole: bool = False) -> dict[str, Any]:
    """The fields that --format knows; "--" of a container that does not run."""
    identity = {"ID": sample["id"] if whole else sample["id"][:_SHORT_ID], "Name": sample["name"].lstrip("/")}
    identity["Container"] = identity["ID"]
    memory = sample["memory_stats"]
    if not memory:
        return {**identity, **dict.fromkeys(COLUMNS.keys() - identity.keys(), "--")}
    # as docker counts: what the kernel may take back at once is not used
    inactive = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    used = max(memory["usage"] - inactive, 0)
    traffic = list((sample.get("networks") or {}).values())
    disk = sample["blkio_stats"]["io_service_bytes_recursive"] or []
    return {
        **identity,
        "CPUPerc": f"{_processors(sample, before):.2f}%",
        "MemUsage": f"{_binary(used)} / {_binary(memory['limit'])}",
        "MemPerc": f"{100 * used / memory['limit']:.2f}%",
        "NetIO": " / ".join(size(sum(each[key] for each in traffic)) for key in ("rx_bytes", "tx_bytes")),
        "BlockIO": " / ".join(
            size(sum(each["value"] for each in disk if each["op"] == op)) for op in ("read", "write")
        ),
        "PIDs": str(sample["pids_stats"].get("current", 0)),
    }


def _processors(sample: dict[str, Any], before: dict[str, Any]) -> float:
    """Percent of one processor."""
    now, then = sample["cpu_stats"], before["cpu_stats"]
    machine = now.get("system_cpu_usage", 0) - then.get("system_cpu_usage", 0)
    used = now["cpu_usage"]["total_usage"] - then["cpu_usage"]["total_usage"]
    return 100 * used / machine * now["online_cpus"] if machine > 0 and used > 0 else 0.0


def _binary(amount: float) -> str:
    """`12.3MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.4g}{unit}"
        amount /= 1024
    return f"{amount:.4g}TiB"
