"""What a run found, as Markdown, and what of it was promised (the project's issue 4).  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from ..chain.figures import verdict

__all__ = ["RATE", "Flood", "Sample", "Series", "promises", "table"]

RATE = 1000
"""Queries a second for the latency; slow enough that nobody queues."""


@dataclass
class Sample:
    """One contestant's turn under one load."""

    per_second: float
    cpu_us: float


@dataclass
class Series:
    """All turns of one contestant: `many` questions under way at each of a few clients, `lone` ones at each of many;
    `latencies`, in milliseconds, turn by turn."""

    label: str
    many: list[Sample] = field(default_factory=list)
    lone: list[Sample] = field(default_factory=list)
    latencies: list[list[float]] = field(default_factory=list)
    resident_mb: float = 0.0

    def percentiles(self, percent: float) -> list[float]:
        return [percentile(each, percent) for each in self.latencies]


@dataclass
class Flood:
    """The 99th percentiles (ms) of a quiet container, turn by turn, without and beside one that floods."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        alone, beside = (f"{median(each):.1f} (worst {max(each):.1f})" for each in (self.alone, self.beside))
        turns = f"in {len(self.beside)} turns"
        return f"p99 of a container at {RATE}/s {turns}: {alone} ms; beside one that floods: {beside} ms."


def percentile(values: Sequence[float], percent: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def above(values: Sequence[float], others: Sequence[float]) -> float:
    """By how much more: the median of the turns, each with its neighbour in time, or 0."""
    return max(0.0, median(value - other for value, other in zip(values, others, strict=True)))


def speed(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """How many times as many queries a second ours answers: the median of the rounds, in each of which both had their
    turn within seconds.  The machine's load changes from round to round."""
    return median(mine.per_second / other.per_second for mine, other in zip(ours, theirs, strict=True))


def cost(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """The same of processor time a query."""
    return median(mine.cpu_us / other.cpu_us for mine, other in zip(ours, theirs, strict=True))


def table(series: Sequence[Series], floor: str) -> str:
    """Ratios are ours to the row's: of queries more than 1 is better, of processor time less."""
    ours = series[0]
    lines = [
        "| server | queries/s | ours is | CPU µs/query | ours needs | one question a client: queries/s | ours is | CPU "
        f"| ours needs | p50, p99 at {RATE}/s (ms) | memory (MB) |",
        "|---" * 11 + "|",
    ]
    for each in series:
        cells = [each.label]
        for mine, samples in ((ours.many, each.many), (ours.lone, each.lone)):
            against = each is not ours and each.label != floor
            cells += [
                f"{median(sample.per_second for sample in samples):,.0f}",
                f"{speed(mine, samples):.2f}x" if against else "",
                f"{median(sample.cpu_us for sample in samples):.1f}",
                f"{cost(mine, samples):.2f}x" if against else "",
            ]
        cells += [
            ", ".join(f"{median(each.percentiles(percent)):.2f}" for percent in (50, 99)),
            f"{each.resident_mb:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def promises(series: Sequence[Series], floor: str, flood: Flood) -> tuple[str, list[str]]:
    """The table of what was promised, and those of its lines that were missed."""
    ours = series[0]
    rows: list[tuple[str, float, str, float | None, float | None, bool]] = []
    for each in series[1:]:
        if each.label.startswith("dnsmasq") or each.label == "aardvark-dns 2.1.0":
            rows.append((f"queries/s: ours to {each.label}", speed(ours.many, each.many), "x", 1.0, 0.85, False))
            goal, least = (0.75, None) if each.label.startswith("aardvark") else (None, 1.0)
            rows.append((f"CPU a query: ours to {each.label}", cost(ours.many, each.many), "x", goal, least, True))
        if each.label == floor:
            # beyond the machine's noise: each has as many chances of a quiet moment
            slower = max(0.0, min(ours.percentiles(99)) - min(each.percentiles(99)))
            rows.append((f"p99 at {RATE}/s, best round: more than {floor}", slower, " ms", None, 2.0, True))
    slower = above(flood.beside, flood.alone)
    rows.append(("p99 beside a container that floods: more than without", slower, " ms", None, 50.0, True))
    rows.append(("memory", ours.resident_mb, " MB", None, 16.0, True))
    lines = ["| promise | figure | goal | at least | reached |", "|---|---|---|---|---|"]
    missed = []
    for what, value, unit, goal, least, smaller in rows:
        reached = verdict(value, goal, least, smaller=smaller)
        if reached == "missed":
            missed.append(f"{what}: {value:.2f}{unit}")
        bounds = (f"{bound:g}{unit}" if bound is not None else "" for bound in (goal, least))
        lines.append(f"| {what} | {value:.2f}{unit} | {' | '.join(bounds)} | {reached} |")
    return "\n".join(lines), missed
