"""The engine's own figures: memory, idling, and the time until it answers."""

from __future__ import annotations

import time
from dataclasses import dataclass

from . import ours
from .contestants import contestant
from .figures import Series
from .measure import POPULATING_WIDTH, say

__all__ = ["EngineFigures", "measure_engine"]

SETTLING = 3.0  # seconds in which it closes what it keeps open between the plugins of a chain
ATTACHED = 100


@dataclass(frozen=True)
class EngineFigures:
    """Memory in MB after start and with containers attached; switches of all its threads while it idled."""

    memory_at_start: float
    memory_attached: float
    memory_after: float
    attached: int
    switches: int
    ticks: int
    threads: int
    seconds: float
    ready: Series


def measure_engine(starts: int, seconds: float) -> EngineFigures:
    """Start it that often, then attach containers, let it idle that long, and detach them."""
    say(f"engine: {starts} starts, {ATTACHED} containers, {seconds:g} s idle")
    with contestant("nft") as member:
        assert member.engine is not None and member.ready_after is not None
        ready = [member.ready_after]
        for _ in range(starts - 1):
            member.host.ask("stop", pid=member.engine)
            member.engine, wall = ours.start_engine(member.host)
            ready.append(wall)
        at_start = _memory(member.host.ask("process", pid=member.engine))
        member.prepare(ATTACHED)
        member.attach_all(range(ATTACHED), POPULATING_WIDTH)
        member.finish_deferred()
        time.sleep(SETTLING)
        before = member.host.ask("process", pid=member.engine)
        time.sleep(seconds)
        after = member.host.ask("process", pid=member.engine)
        member.detach_all(range(ATTACHED), POPULATING_WIDTH)
        member.finish_deferred()
        last = member.host.ask("process", pid=member.engine)
    return EngineFigures(
        memory_at_start=at_start,
        memory_attached=_memory(after),
        memory_after=_memory(last),
        attached=ATTACHED,
        switches=after["switches"] - before["switches"],
        ticks=after["ticks"] - before["ticks"],
        threads=after["threads"],
        seconds=seconds,
        ready=Series.of(ready),
    )


def _memory(process: dict[str, int]) -> float:
    return process["memory"] / 1024
