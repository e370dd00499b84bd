"""GET /containers/{id}/stats: what a container uses, once or every second."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import msgspec

from netd.api.core import Core
from netd.api.exchange import Exchange
from netd.api.reply import JSON, json_reply
from netd.api.router import Route
from netd.failure import NotFound
from netd.runtime.model import NEVER, Container
from netd.runtime.usage import System, Usage, system, usage

_INTERVAL = 1.0
"""Seconds between two samples: docker's."""

Sample = tuple[str, Usage, System]
"""With the moment it was taken, RFC 3339."""


class Statistics:
    """The one endpoint; nobody's numbers are taken when nobody asks."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.routes = (Route("GET", "/containers/{id}/stats", self.stats),)

    async def stats(self, exchange: Exchange) -> None:
        """`stream=0`: one object, over a second, with `one-shot=1` at once; else one a second while client and
        container are there.  Of a container that does not run all is 0."""
        call = await exchange.with_body()
        ref, query = call["id"], call.query
        container = self._core.containers.get(ref)
        before = await self._core.run(_sample, container)
        if not query.flag("stream", default=True):
            if before is not None and not query.flag("one-shot") and await _passes(exchange):
                now = await self._core.run(_sample, container)
                await exchange.reply(json_reply(shown(container, now, before)))
            else:
                await exchange.reply(json_reply(shown(container, before, None)))
            return
        await exchange.begin(JSON)
        await exchange.send(msgspec.json.encode(shown(container, before, None)) + b"\n")
        while await _passes(exchange):
            try:
                container = self._core.containers.get(container.id)
            except NotFound:
                break
            now = await self._core.run(_sample, container)
            await exchange.send(msgspec.json.encode(shown(container, now, before)) + b"\n")
            before = now
        await exchange.end()


def shown(container: Container, now: Sample | None, before: Sample | None) -> dict[str, Any]:
    """Docker's object; `before` is the sample that percentages are of."""
    identity = {"name": f"/{container.name}", "id": container.id}
    if now is None:
        return {"read": NEVER, "preread": NEVER, **_EMPTY, **identity}
    read, used, machine = now
    disk = [{"major": major, "minor": minor, "op": op, "value": value} for major, minor, op, value in used.disk]
    networks = {name: {key: getattr(each, key) for key in each._fields} for name, each in used.traffic}
    return {
        "read": read,
        "preread": before[0] if before else NEVER,
        **_EMPTY,
        "pids_stats": {"current": used.pids, **({"limit": used.pids_limit} if used.pids_limit else {})},
        "blkio_stats": {**_NO_DISK, "io_service_bytes_recursive": disk or None},
        "cpu_stats": _cpu(used, machine),
        "precpu_stats": _cpu(before[1], before[2]) if before else _NO_CPU,
        "memory_stats": _memory(used),
        **identity,
        **({"networks": networks} if networks else {}),
    }


def _cpu(used: Usage, machine: System) -> dict[str, Any]:
    return {
        "cpu_usage": {
            "total_usage": used.cpu,
            **({"percpu_usage": used.per_cpu} if used.per_cpu else {}),
            "usage_in_kernelmode": used.cpu_kernel,
            "usage_in_usermode": used.cpu_user,
        },
        "system_cpu_usage": machine.cpu,
        "online_cpus": machine.processors,
        "throttling_data": {
            "periods": used.periods,
            "throttled_periods": used.throttled_periods,
            "throttled_time": used.throttled,
        },
    }


def _memory(used: Usage) -> dict[str, Any]:
    machines = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "usage": used.memory,
        **({"max_usage": used.memory_most, "failcnt": used.memory_failures} if used.per_cpu else {}),
        "stats": dict(used.memory_details),
        "limit": min(used.memory_limit or machines, machines),
    }


_NO_DISK = dict.fromkeys(
    (
        "io_service_bytes_recursive",
        "io_serviced_recursive",
        "io_queue_recursive",
        "io_service_time_recursive",
        "io_wait_time_recursive",
        "io_merged_recursive",
        "io_time_recursive",
        "sectors_recursive",
    )
)
_NO_CPU = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}
_EMPTY: dict[str, Any] = {
    "pids_stats": {},
    "blkio_stats": _NO_DISK,
    "num_procs": 0,
    "storage_stats": {},
    "cpu_stats": _NO_CPU,
    "precpu_stats": _NO_CPU,
    "memory_stats": {},
}


def _sample(container: Container) -> Sample | None:
    """None when it does not run."""
    pid = container.state.pid
    if not container.state.running or not pid:
        return None
    try:
        used = usage(pid, own_network=container.host_config.network_mode != "host")
    except ProcessLookupError:
        return None
    return datetime.now(UTC).isoformat().replace("+00:00", "Z"), used, system()


async def _passes(exchange: Exchange) -> bool:
    """An interval, or False when the client leaves before its end."""
    leaving = asyncio.ensure_future(exchange.until_closed())
    try:
        done, _ = await asyncio.wait((leaving,), timeout=_INTERVAL)
        return not done
    finally:
        leaving.cancel()
