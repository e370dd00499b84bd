"""The measuring: both sides take turns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from ..chain.private_host import BenchError
from .cases import BOUND_BY_KERNEL, KERNEL_ALONE, Case, chosen
from .outcome import Outcome, Samples
from .sides import Side, side

__all__ = ["run"]

Call = Callable[[Side, str, int], float]


def run(machine: dict[str, str], only: Sequence[str], rounds: int) -> Outcome:
    outcome = Outcome(machine, rounds)
    with side("reference") as reference, side("ours") as ours:
        first = 0
        for case in chosen(only, guest=False):
            if case.driver and not reference.has(case.driver):
                outcome.left_out.append(case.name)
                continue
            for name, measure in _measurements(case):
                print(f"plugins: {name}", file=sys.stderr, flush=True)
                try:
                    outcome.samples[name] = measure((reference, ours), range(first, first + rounds + 1))
                except BenchError as error:
                    outcome.failures.append(f"{name}: {error}")
                first += rounds + 1
    return outcome


Measure = Callable[[tuple[Side, Side], range], Samples]


def _measurements(case: Case) -> list[tuple[str, Measure]]:
    def plugins(sides: tuple[Side, Side], numbers: range) -> Samples:
        for each in sides:
            each.prepare(case, numbers)
        return _taking_turns(sides, numbers, lambda which, verb, number: which.call(case, verb, number))

    def moves(sides: tuple[Side, Side], numbers: range) -> Samples:
        for each in sides:
            each.prepare_moves(numbers)
        return _taking_turns(sides, numbers, Side.move)

    return [(case.name, plugins), *([(KERNEL_ALONE, moves)] if case.name == BOUND_BY_KERNEL else [])]


def _taking_turns(sides: tuple[Side, Side], numbers: range, call: Call) -> Samples:
    """Seconds by verb; a round before the first is not counted."""
    samples: Samples = {"ADD": ([], []), "DEL": ([], [])}
    for turn, number in enumerate(numbers):
        order = (0, 1) if turn % 2 else (1, 0)
        for verb, found in samples.items():
            for which in order:
                wall = call(sides[which], verb, number)
                if turn:
                    found[which].append(wall)
            for each in sides:
                each.finish()
    return samples
