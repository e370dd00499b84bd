"""The command: `scripts/bench-plugins`, or `python -m tests.bench.plugins` when everything it needs is there."""

from __future__ import annotations

import argparse
import json
import sys

from ..chain.document import body, rewrite
from ..chain.figures import Comparison, Row, Series
from ..chain.machine import machine
from ..chain.private_host import BenchError
from ..chain.promises import Promise
from ..chain.table import ratio_row, table
from .cases import CASES, Case
from .sides import Side, side

__all__ = ["main"]

ROUNDS = 20

Samples = dict[str, tuple[list[float], list[float]]]
"""By verb the reference's seconds and ours."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench-plugins", description="Each plugin against the reference's.")
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, metavar="N", help=f"samples of each figure (default {ROUNDS})")
    add("--only", action="append", metavar="PLUGIN", help="only this one; may be repeated")
    add("--json", metavar="FILE", help="write every sample there")
    add("--doc", action="store_true", help="put the table into docs/performance.md")
    add("--gate", action="store_true", help="exit status 1 when a figure is below its 'at least'")
    given = parser.parse_args()
    names = {case.name.partition(",")[0] for case in CASES}
    for name in given.only or ():
        if name not in names:
            parser.error(f"--only {name}: there are {', '.join(sorted(names))}")
    if given.rounds < 1:
        parser.error("--rounds: at least 1")
    return given


def measure(case: Case, sides: tuple[Side, Side], first: int, rounds: int) -> Samples:
    """Seconds by verb, the reference's and ours, taking turns; a round before the first is not counted."""
    samples: Samples = {"ADD": ([], []), "DEL": ([], [])}
    numbers = range(first, first + rounds + 1)
    for each in sides:
        each.prepare(case, numbers)
    for turn, number in enumerate(numbers):
        order = (0, 1) if turn % 2 else (1, 0)
        for verb, found in samples.items():
            for which in order:
                wall = sides[which].call(case, verb, number)
                if turn:
                    found[which].append(wall)
            for each in sides:
                each.finish()
    return samples


def rows_of(case: Case, samples: Samples) -> list[Row]:
    return [
        ratio_row(
            case.name, f"{verb} {case.name}", Comparison(Series.of(base), Series.of(ours)), Promise(None, case.at_least)
        )
        for verb, (base, ours) in samples.items()
    ]


def run(given: argparse.Namespace) -> tuple[list[Row], list[str], list[str], dict[str, object]]:
    """Rows, notes on what was left out, failures, samples."""
    rows: list[Row] = []
    left_out: list[str] = []
    failures: list[str] = []
    every: dict[str, object] = {}
    chosen = [case for case in CASES if not given.only or case.name.partition(",")[0] in given.only]
    with side("reference") as reference, side("ours") as ours:
        first = 0
        for case in chosen:
            if case.driver and not reference.has(case.driver):
                left_out.append(case.name)
                continue
            print(f"plugins: {case.name}", file=sys.stderr, flush=True)
            try:
                samples = measure(case, (reference, ours), first, given.rounds)
            except BenchError as error:
                failures.append(f"{case.name}: {error}")
                continue
            finally:
                first += given.rounds + 1
            rows += rows_of(case, samples)
            every[case.name] = samples
    return rows, left_out, failures, every


def main() -> int:
    """The exit status: 1 when something failed to run, or a gate was asked for and missed."""
    given = arguments()
    facts = machine()
    try:
        rows, left_out, failures, samples = run(given)
    except BenchError as error:
        print(f"scripts/bench-plugins: {error}", file=sys.stderr)
        return 1
    notes = [f"Medians with minima in brackets, of {given.rounds} interleaved rounds; C launcher and engine."]
    if left_out:
        notes.append(f"Left out, for this kernel has no driver for them: {', '.join(left_out)}.")
    print("\n".join(f"{label}: {value}" for label, value in facts.items()))
    print("", table(rows) if rows else "", *notes, sep="\n\n")
    for failure in failures:
        print(f"FAILED: {failure}")
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"machine": facts, "rounds": given.rounds, "samples": samples}, file, indent=1)
            file.write("\n")
    if given.doc:
        rewrite(body(facts, [table(rows)], notes), "scripts/bench-plugins")
    missed = [row.what for row in rows if row.verdict == "missed"]
    for what in missed:
        print(f"below what was promised: {what}")
    return 1 if failures or (given.gate and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
