"""The command: `scripts/bench`, or `python -m tests.bench.chain` when everything it needs is there."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field, replace

from . import document, netavark, ours
from .contestants import contestant
from .engine import measure_engine
from .figures import Row
from .machine import machine
from .measure import Run, existing, interleaved, overhead, parallel
from .nerdctl import measure_nerdctl
from .private_host import BenchError
from .promises import EXISTING, GROUPS, PAIRS, Pair
from .table import (
    chain_rows,
    engine_rows,
    existing_rows,
    milliseconds,
    nerdctl_rows,
    parallel_rows,
    samples_as_json,
    steps_table,
    table,
)

ROUNDS, QUICK_ROUNDS = 20, 5
_IN_A_ROW = 5


@dataclass
class Report:
    """What is printed and written."""

    rows: list[Row] = field(default_factory=list)
    steps: str = ""
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    samples: dict[str, object] = field(default_factory=dict)

    def take(self, name: str, run: Run, rows: list[Row]) -> None:
        """One run's outcome."""
        self.rows += rows
        self.failures += [failure for failure in run.failures if failure not in self.failures]
        self.samples[name] = samples_as_json(run.samples)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Compares plugin chains with the reference's.")
    add = parser.add_argument
    add("--rounds", type=int, metavar="N", help=f"samples of each figure (default {ROUNDS})")
    add("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, and not the parts that take minutes")
    add("--only", action="append", choices=GROUPS, help="only this part; may be repeated")
    add("--self-test", action="store_true", help="the reference on both sides: every ratio must be about 1")
    add("--idle", type=float, default=10.0, metavar="SECONDS", help="how long the engine is watched idling")
    add("--json", metavar="FILE", help="write the figures and every sample there")
    add("--doc", action="store_true", help="put the table into docs/performance.md")
    add("--gate", action="store_true", help="exit status 1 when a figure is below its 'at least'")
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds: at least 1")
    given.rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    return given


def chosen_pairs(groups: list[str], notes: list[str]) -> list[Pair]:
    """The pairs of these groups, without netavark where it was not built."""
    pairs = [pair for pair in PAIRS if pair.group in groups]
    if any(pair.group == "netavark" for pair in pairs):
        try:
            netavark.program()
        except BenchError as error:
            notes.append(f"Left out: the comparison with netavark ({error}).")
            pairs = [pair for pair in pairs if pair.group != "netavark"]
    return pairs


def measure_in_a_row(report: Report, pair: Pair, rounds: int, *, self_test: bool) -> None:
    """A plugin that takes less than a millisecond once more, without a promise: only the two contestants, several
    containers each turn, so that one also sees it without what a dozen others leave in the processor's caches."""
    run = interleaved([pair.base, pair.ours], rounds, each_turn=_IN_A_ROW, self_test=self_test)
    rows = [replace(row, what=f"{row.what}, {_IN_A_ROW} in a row").without_promise() for row in chain_rows(run, [pair])]
    report.take("in-a-row", run, rows)


def measure_chain(report: Report, pairs: list[Pair], rounds: int, *, self_test: bool) -> None:
    """One container at a time, all contestants in one run."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.base, pair.ours)))
    run = interleaved(names, rounds, self_test=self_test)
    report.take("chain", run, chain_rows(run, pairs))
    report.steps = steps_table(run)


def measure(given: argparse.Namespace) -> Report:
    """Everything that was asked for."""
    report = Report()
    slow = ("existing", "nerdctl")
    groups = given.only or [group for group in GROUPS if not (given.quick and group in slow)]
    with contestant("ref-default") as member:
        floor = overhead(member, given.rounds * 4)
    report.notes.append(
        f"Times are medians with minima in brackets, of {given.rounds} interleaved rounds. "
        f"Each program's time includes {milliseconds(floor)} ms that starting and awaiting /bin/true takes."
    )
    pairs = chosen_pairs(groups, report.notes)
    if pairs:
        measure_chain(report, pairs, given.rounds, self_test=given.self_test)
    for pair in (pair for pair in pairs if pair.group == "tuning"):
        measure_in_a_row(report, pair, given.rounds, self_test=given.self_test)
    if "existing" in groups:
        runs = existing(["ref-nft", "nft"], list(EXISTING), given.rounds, self_test=given.self_test)
        rows = existing_rows(runs, "nft", "ref-nft")
        for count, run in runs.items():
            report.take(f"existing-{count}", run, [])
        report.rows += rows
    if "parallel" in groups:
        run = parallel(["ref-nft", "nft"], max(3, given.rounds // 4), self_test=given.self_test)
        report.take("parallel", run, parallel_rows(run, "nft", "ref-nft"))
    if given.self_test:
        report.notes.insert(0, "SELF-TEST: the reference played our part, so every ratio should be about 1.")
        report.rows = [row.without_promise() for row in report.rows]
    else:
        measure_ours_alone(report, groups, given)
    return report


def measure_ours_alone(report: Report, groups: list[str], given: argparse.Namespace) -> None:
    """The parts in which the reference cannot play our part."""
    try:
        if "engine" in groups:
            report.rows += engine_rows(measure_engine(max(3, given.rounds // 2), given.idle))
        if "nerdctl" in groups:
            report.rows += nerdctl_rows(measure_nerdctl(given.rounds))
    except BenchError as error:
        report.failures.append(str(error))


def publish(report: Report, facts: dict[str, str], given: argparse.Namespace) -> None:
    """Print, and write what was asked for.  `facts` are the machine's, as it was before."""
    tables = [text for text in (table(report.rows) if report.rows else "", report.steps) if text]
    print("\n".join(f"{label}: {value}" for label, value in facts.items()))
    print("", *tables, *report.notes, sep="\n\n")
    for failure in report.failures:
        print(f"FAILED: {failure}")
    if given.json:
        content = {
            "machine": facts,
            "rounds": given.rounds,
            "rows": [asdict(row) | {"reached": row.verdict} for row in report.rows],
            "notes": report.notes,
            "failures": report.failures,
            "samples": report.samples,
        }
        with open(given.json, "w") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
    if given.doc:
        document.rewrite(document.body(facts, tables, report.notes))


def main() -> int:
    """The exit status: 1 when something failed to run, or a gate was asked for and missed."""
    given = arguments()
    try:
        if not given.self_test:
            ours.ensure_commands()
        facts = machine()
        report = measure(given)
    except BenchError as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    publish(report, facts, given)
    missed = [row.what for row in report.rows if row.verdict == "missed"]
    for what in missed:
        print(f"below what was promised: {what}")
    return 1 if report.failures or (given.gate and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
