"""`scripts/bench-names`: the name server against dnsmasq and aardvark-dns on the same 1000 names, taking turns."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from ..chain.document import body, rewrite
from ..chain.machine import host
from ..chain.private_host import BenchError
from .measure import LONE, beside_flood, questions, steady, storm
from .servers import ECHO, Inside, Server, answers_rightly, contestants, second_container
from .tables import Flood, Series, percentile, promises, table

__all__ = ["main"]

TURNS_BESIDE_FLOOD = 5
COMMAND = "scripts/bench-names"


def main() -> int:
    """The exit status: 1 when something failed to run, or a gate was asked for and missed."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each measurement")
    parser.add_argument("--json", metavar="FILE", help="every sample as well")
    parser.add_argument("--doc", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--gate", action="store_true", help="exit status 1 when a figure is below its 'at least'")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="pycni-names-", dir="/var/tmp") as directory:
            return run(Path(directory), options)
    except (BenchError, FileNotFoundError) as error:
        sys.stderr.write(f"{COMMAND}: {error}\n")
        return 1


def run(scratch: Path, options: argparse.Namespace) -> int:
    """All contestants run all the time, idle but for whose turn it is."""
    facts = host()
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
        series = _rounds(space, servers, file, options)
        busy = Inside()
        stack.callback(busy.close)
        flood = _neighbour(space, busy, servers[0], file, scratch, options.seconds)
    return _told(facts, series, flood, notes, options)


def _rounds(space: Inside, servers: list[Server], file: Path, options: argparse.Namespace) -> list[Series]:
    """In each round all have their turn, a different one first."""
    series = [Series(server.label) for server in servers]
    for turn in range(options.rounds):
        order = [(turn + index) % len(servers) for index in range(len(servers))]
        for at in order:
            series[at].many.append(storm(space, servers[at], file, options.seconds))
        for at in order:
            series[at].lone.append(storm(space, servers[at], file, options.seconds / 2, LONE))
        for at in order:
            series[at].latencies.append(steady(space, servers[at], file, options.seconds))
    for each, server in zip(series, servers, strict=True):
        each.resident_mb = server.resident_mb()
    return series


def _neighbour(quiet: Inside, busy: Inside, server: Server, file: Path, scratch: Path, seconds: float) -> Flood:
    second_container(busy, scratch)
    flood = Flood()
    for _ in range(TURNS_BESIDE_FLOOD):
        flood.alone.append(percentile(steady(quiet, server, file, seconds), 99))
        flood.beside.append(beside_flood(quiet, busy, server, file, seconds))
    return flood


def _told(
    facts: dict[str, str], series: list[Series], flood: Flood, notes: list[str], options: argparse.Namespace
) -> int:
    promised, missed = promises(series, ECHO, flood)
    tables = [promised, table(series, ECHO)]
    explained = (
        f"Medians of {options.rounds} interleaved rounds of {options.seconds:g} s; ratios are medians of each round's."
    )
    notes = [str(flood), explained, *notes]
    print("\n\n".join([", ".join(f"{label} {value}" for label, value in facts.items()), *tables, *notes]))
    if options.json:
        text = json.dumps({"flood": vars(flood), **{each.label: asdict(each) for each in series}})
        Path(options.json).write_text(text)
    if options.doc:
        rewrite(body(facts, tables, notes), COMMAND)
    for what in missed:
        print(f"below what was promised: {what}")
    return 1 if options.gate and missed else 0


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"
    sys.exit(main())
