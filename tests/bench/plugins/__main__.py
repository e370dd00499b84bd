"""The command: `scripts/bench-plugins`, or `python -m tests.bench.plugins` when everything it needs is there."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..chain.document import body, rewrite
from ..chain.machine import machine
from ..chain.private_host import BenchError
from . import guest
from .cases import CASES
from .rounds import run

__all__ = ["main"]

ROUNDS = 20


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench-plugins", description="Each plugin against the reference's.")
    add = parser.add_argument
    add("--rounds", type=int, default=ROUNDS, metavar="N", help=f"samples of each figure (default {ROUNDS})")
    add("--only", action="append", default=[], metavar="PLUGIN", help="only this one, or this line; may be repeated")
    add(
        "--guest",
        action="store_true",
        help="in the guest of scripts/vm; by default what needs drivers that this kernel may lack",
    )
    add("--json", metavar="FILE", help="write every sample there")
    add("--doc", action="store_true", help="put the table into docs/performance.md")
    add("--gate", action="store_true", help="exit status 1 when a figure is below its 'at least'")
    given = parser.parse_args()
    names = {name for case in CASES for name in (case.name, case.plugin)}
    for name in given.only:
        if name not in names:
            parser.error(f"--only {name!r}: there are {', '.join(sorted(names))}")
    if given.rounds < 1:
        parser.error("--rounds: at least 1")
    return given


def main() -> int:
    """The exit status: 1 when something failed to run, or a gate was asked for and missed."""
    given = arguments()
    try:
        outcome = guest.run(given.only, given.rounds) if given.guest else run(machine(), given.only, given.rounds)
    except BenchError as error:
        print(f"scripts/bench-plugins: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"{label}: {value}" for label, value in outcome.machine.items()))
    print("", outcome.table(), *outcome.notes(), sep="\n\n")
    for failure in outcome.failures:
        print(f"FAILED: {failure}")
    if given.json:
        Path(given.json).write_text(f"{json.dumps(outcome.as_json(), indent=1)}\n")
    if given.doc:
        command = "scripts/bench-plugins --guest" if given.guest else "scripts/bench-plugins"
        rewrite(body(outcome.machine, [outcome.table()], outcome.notes()), command)
    missed = outcome.missed()
    for what in missed:
        print(f"below what was promised: {what}")
    return 1 if outcome.failures or (given.gate and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
