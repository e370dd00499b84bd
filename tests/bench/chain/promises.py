"""What is compared with what, and the figures promised for it (the project's issue 3)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "EXISTING",
    "GROUPS",
    "IDLE_SWITCHES",
    "MEMORY_MB",
    "NERDCTL",
    "PAIRS",
    "PARALLEL",
    "READY_SECONDS",
    "Pair",
    "Promise",
]


@dataclass(frozen=True)
class Promise:
    """A goal and the least that must be reached; None where nothing was promised."""

    goal: float | None = None
    at_least: float | None = None


NOTHING = Promise()


@dataclass(frozen=True)
class Pair:
    """Two contestants of one interleaved run."""

    group: str
    ours: str
    base: str
    add: Promise = NOTHING
    delete: Promise = NOTHING
    deferred: bool = False
    """Another line for DEL together with what it leaves to the engine's reaper."""


PAIRS = (
    Pair("nft", "nft", "ref-nft", Promise(12, 8), Promise(15, 10), deferred=True),
    Pair("nft", "nft", "ref-iptables"),
    Pair("iptables", "iptables", "ref-iptables", Promise(6, 4), Promise(3.5, 2.5)),
    Pair("default", "default", "ref-default"),
    Pair("twin", "twin", "ref-nft", Promise(2, 1.5), Promise(2.5, 2)),
    Pair("in-process", "in-process", "ref-nft", Promise(1.3, 1), Promise(1.3, 1)),
    Pair("in-process", "in-process-iptables", "ref-iptables", Promise(1.3, 1), Promise(1.3, 1)),
    Pair("tuning", "tuning", "ref-tuning", Promise(4, 3), Promise(4, 3)),
    Pair("netavark", "nft", "netavark", Promise(4, 2.5), Promise(10, 6)),
)
EXISTING = {100: NOTHING, 500: Promise(12, 8)}
PARALLEL = Promise(10, 6)
MEMORY_MB = Promise(25, 40)
IDLE_SWITCHES = Promise(0, 0)
READY_SECONDS = Promise(0.3, 1)
NERDCTL = Promise(None, 1)

GROUPS = (*dict.fromkeys(pair.group for pair in PAIRS), "existing", "parallel", "engine", "nerdctl")
