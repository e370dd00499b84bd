"""`scripts/bench-run`: what `run --rm IMAGE true` costs with pynet, nerdctl, podman and docker, taking turns."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys

from ..chain.private_host import BenchError
from .engines import NETWORKS, OURS, Engine, engines
from .many import many
from .parts import parts

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench-run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--containers", type=int, default=200, metavar="N", help="on one network; 0: leave that out")
    options = parser.parse_args()
    try:
        with contextlib.ExitStack() as stack:
            return run(stack, options)
    except (BenchError, AssertionError, FileNotFoundError) as error:
        sys.stderr.write(f"scripts/bench-run: {error}\n")
        return 1


def run(stack: contextlib.ExitStack, options: argparse.Namespace) -> int:
    contestants, notes = engines(stack)
    samples = measure(contestants, options.rounds)
    print(table(contestants, samples))
    ours = contestants[0]
    print("\n" + parts(ours, options.rounds, {network: samples[OURS, network] for network in NETWORKS}))
    if options.containers:
        print("\n" + many(ours, options.containers))
    print("\n".join(notes))
    return 0


def measure(contestants: list[Engine], rounds: int) -> dict[tuple[str, str], list[float]]:
    """Seconds by engine and network."""
    samples: dict[tuple[str, str], list[float]] = {
        (engine.label, network): [] for engine in contestants for network in NETWORKS
    }
    for turn in range(rounds):
        for place in range(len(contestants)):
            engine = contestants[(turn + place) % len(contestants)]
            for network in NETWORKS:
                samples[engine.label, network].append(engine.run(network))
    return samples


def table(contestants: list[Engine], samples: dict[tuple[str, str], list[float]]) -> str:
    """Markdown; medians and, in brackets, minima, in milliseconds."""
    ours = statistics.median(samples[OURS, "bridge"])
    lines = ["| run --rm IMAGE true | bridge | host | none | ours takes |", "|---|---|---|---|---|"]
    for engine in contestants:
        cells = [
            f"{statistics.median(values) * 1000:.0f} ({min(values) * 1000:.0f})"
            for values in (samples[engine.label, network] for network in NETWORKS)
        ]
        ratio = "" if engine.label == OURS else f"{ours / statistics.median(samples[engine.label, 'bridge']):.2f}x"
        lines.append(f"| {engine.label} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"
    sys.exit(main())
