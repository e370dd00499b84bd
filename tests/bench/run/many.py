"""Whether a container starts as quickly when many are there."""

from __future__ import annotations

import statistics

from tests.clients.image import IMAGE

from .engines import Engine

__all__ = ["many"]

NETWORK = "crowd"
WINDOW = 10
"""Starts whose median counts, lest one of them decides."""


def many(engine: Engine, count: int) -> str:
    """One line; the containers are gone at the end."""
    pynet = engine.words[0]
    engine.host.run(pynet, "create", NETWORK)
    names = [f"crowd{number}" for number in range(count)]
    try:
        seconds = [
            engine.timed(pynet, "run", "-d", "--name", name, "--network", NETWORK, IMAGE, "sleep", "infinity")
            for name in names
        ]
    finally:
        engine.host.run(pynet, "container", "rm", "-f", *names, limit=300)
        engine.host.run(pynet, "rm", NETWORK)
    first, last = statistics.median(seconds[5 : 5 + WINDOW]), statistics.median(seconds[-WINDOW:])
    return (
        f"`run -d` on one network: the 10th takes {first * 1000:.0f} ms, number {count} {last * 1000:.0f} ms: "
        f"{last / first:.2f}x (medians of {WINDOW} starts around them)."
    )
