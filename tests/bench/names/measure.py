"""What is measured: queries a second, processor time a query, latency at a steady rate, also beside a flood."""

from __future__ import annotations

import random
import re
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ..chain.private_host import BenchError
from .servers import ECHO, NAMES, Inside, Server, name, source

__all__ = ["RATE", "Sample", "Series", "flooding", "questions", "steady", "storm"]

RATE = 1000
"""Queries a second for the latency; slow enough that nobody queues."""
_LATENCY = re.compile(r"^> \S+ \S+ \S+ ([0-9.]+)$", re.MULTILINE)


@dataclass
class Sample:
    """One contestant's turn."""

    per_second: float
    cpu_us: float


@dataclass
class Series:
    """All turns of one contestant.  Latencies are milliseconds."""

    label: str
    samples: list[Sample] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    resident_mb: float = 0.0

    @property
    def per_second(self) -> float:
        return statistics.median(sample.per_second for sample in self.samples)

    @property
    def cpu_us(self) -> float:
        return statistics.median(sample.cpu_us for sample in self.samples)

    def percentile(self, percent: float) -> float:
        ranked = sorted(self.latencies)
        return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


def questions(scratch: Path) -> Path:
    """A file for dnsperf: every name once, in no order."""
    names = [name(number) for number in range(NAMES)]
    random.Random(1).shuffle(names)
    path = scratch / "questions"
    path.write_text("".join(f"{each} A\n" for each in names))
    return path


def _dnsperf(server: Server, file: Path, *options: str) -> list[str]:
    words = ["dnsperf", "-s", server.address, "-p", str(server.port), "-d", str(file), *options]
    asker = source(server)
    return [*words, "-a", asker] if asker else words


def _number(report: str, label: str) -> float:
    match = re.search(rf"^\s*{label}:\s+([0-9.]+)", report, re.MULTILINE)
    if match is None:
        raise BenchError(f"dnsperf did not print '{label}'")
    return float(match[1])


def storm(space: Inside, server: Server, file: Path, seconds: float) -> Sample:
    """As many as it can answer: 4 clients with 50 queries under way; BenchError unless all were answered well."""
    before = server.cpu_seconds()
    report = space.run(_dnsperf(server, file, "-c", "4", "-q", "50", "-l", f"{seconds:g}"))
    used = server.cpu_seconds() - before
    done = _number(report, "Queries completed")
    if server.label != ECHO and f"NOERROR {done:.0f} (100.00%)" not in report:
        raise BenchError(f"{server.label} did not answer all: {' '.join(report.split())}")
    return Sample(_number(report, "Queries per second"), used * 1e6 / done)


def steady(space: Inside, server: Server, file: Path, seconds: float) -> list[float]:
    """Milliseconds of every answer at RATE queries a second."""
    report = space.run(_dnsperf(server, file, "-v", "-c", "1", "-q", "20", "-Q", str(RATE), "-l", f"{seconds:g}"))
    found = [float(text) * 1000 for text in _LATENCY.findall(report)]
    if len(found) < seconds * RATE * 0.8:
        raise BenchError(f"{server.label} answered {len(found)} of {seconds * RATE:.0f} at {RATE}/s")
    return found


def flooding(space: Inside, server: Server, file: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A container that asks as fast as it can, in the background."""
    words = space.words(_dnsperf(server, file, "-c", "8", "-q", "400", "-l", f"{seconds:g}"))
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
