"""`scripts/bench-names`: the name server against dnsmasq and aardvark-dns on the same 1000 names, taking turns."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from ..chain.private_host import BenchError
from .measure import RATE, Series, flooding, questions, steady, storm
from .servers import ECHO, Inside, Server, answers_rightly, contestants, second_container

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench-names", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.5, metavar="S", help="of each measurement")
    parser.add_argument("--json", metavar="FILE", help="every sample as well")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="pycni-names-", dir="/var/tmp") as directory:
            return run(Path(directory), options)
    except (BenchError, FileNotFoundError) as error:
        sys.stderr.write(f"scripts/bench-names: {error}\n")
        return 1


def run(scratch: Path, options: argparse.Namespace) -> int:
    """All contestants run all the time, idle but for whose turn it is."""
    makers, notes = contestants()
    space = Inside()
    with contextlib.ExitStack() as stack:
        stack.callback(space.close)
        servers: list[Server] = []
        for make in makers:
            servers.append(make(space, scratch))
            stack.callback(servers[-1].stop)
        for server in servers:
            answers_rightly(space, server)
        file = questions(scratch)
        series = [Series(server.label) for server in servers]
        for turn in range(options.rounds):
            for index in range(len(servers)):
                at = (turn + index) % len(servers)
                series[at].samples.append(storm(space, servers[at], file, options.seconds))
                series[at].latencies += steady(space, servers[at], file, options.seconds)
        for each, server in zip(series, servers, strict=True):
            each.resident_mb = server.resident_mb()
        alone, beside = _neighbour(stack, scratch, space, servers[0], file, options.seconds * 2)
    print(table(series))
    print(
        f"\nWhile a container floods the name server another's p99 at {RATE}/s is {beside:.1f} ms; else {alone:.1f} ms."
    )
    print("\n".join(notes))
    if options.json:
        text = json.dumps({each.label: [vars(sample) for sample in each.samples] for each in series})
        Path(options.json).write_text(text)
    return 0


def _neighbour(
    stack: contextlib.ExitStack, scratch: Path, quiet: Inside, server: Server, file: Path, seconds: float
) -> tuple[float, float]:
    """The 99th percentiles (ms) of a quiet container without and beside one that floods."""
    busy = Inside()
    stack.callback(busy.close)
    second_container(busy, scratch)
    alone, beside = Series("alone"), Series("beside")
    alone.latencies = steady(quiet, server, file, seconds)
    flood = flooding(busy, server, file, seconds * 2)
    try:
        beside.latencies = steady(quiet, server, file, seconds)
    finally:
        flood.kill()
        flood.wait()
    return alone.percentile(99), beside.percentile(99)


def table(series: list[Series]) -> str:
    """Markdown; ratios are ours to the row's: of queries more than 1 is better, of processor time less."""
    ours = series[0]
    lines = [
        f"| server | queries/s | ours is | CPU µs/query | ours needs | p50, p99 at {RATE}/s (ms) | memory (MB) |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in series:
        against = each is not ours and each.label != ECHO
        more = f"{ours.per_second / each.per_second:.2f}x" if against else ""
        less = f"{ours.cpu_us / each.cpu_us:.2f}x" if against else ""
        latency = f"{each.percentile(50):.2f}, {each.percentile(99):.2f}"
        lines.append(
            f"| {each.label} | {each.per_second:,.0f} | {more} | {each.cpu_us:.1f} | {less} | {latency} | "
            f"{each.resident_mb:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"
    sys.exit(main())
