"""What is measured: queries a second, processor time a query, latency at a steady rate, also beside a flood."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

from ..chain.private_host import BenchError
from .servers import ECHO, NAMES, Inside, Server, name, source
from .tables import RATE, Sample, percentile

__all__ = ["LONE", "MANY", "beside_flood", "questions", "steady", "storm"]

MANY = ("-c", "4", "-q", "50")
"""dnsperf's load: 50 queries under way, at 4 clients."""

LONE = ("-c", "50", "-q", "50")
"""The same from 50 clients, so that nearly every question comes alone."""

_LATENCY = re.compile(r"^> \S+ \S+ \S+ ([0-9.]+)$", re.MULTILINE)


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


def storm(space: Inside, server: Server, file: Path, seconds: float, load: tuple[str, ...] = MANY) -> Sample:
    """As many as it can answer; BenchError unless all were answered well."""
    before = server.cpu_seconds()
    report = space.run(_dnsperf(server, file, *load, "-l", f"{seconds:g}"))
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


def beside_flood(quiet: Inside, busy: Inside, server: Server, file: Path, seconds: float) -> float:
    """The 99th percentile (ms) of a quiet container while another asks as fast as it can."""
    words = busy.words(_dnsperf(server, file, "-c", "8", "-q", "400", "-l", f"{seconds * 2 + 1:g}"))
    flood = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return percentile(steady(quiet, server, file, seconds), 99)
    finally:
        flood.kill()
        flood.wait()
