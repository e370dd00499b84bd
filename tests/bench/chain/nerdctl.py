"""What the plugins are worth to a user: `nerdctl run --rm` on ours and on the reference's, by the wall clock.

Uses the client ring's disposable hosts (tests/clients), one for each side, at the same time.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from time import perf_counter

from tests.clients.containerd import start_containerd
from tests.clients.host import disposable_host
from tests.clients.nerdctl import Nerdctl
from tests.clients.plugin_sets import install_plugins

from .figures import Series
from .measure import say
from .private_host import BenchError

__all__ = ["NerdctlFigures", "measure_nerdctl"]

SETS = ("reference", "ours")


@dataclass(frozen=True)
class NerdctlFigures:
    """Seconds of one `run --rm`, with the default network and with --net host, of either side."""

    reference: Series
    ours: Series
    reference_host: Series
    ours_host: Series


def measure_nerdctl(rounds: int) -> NerdctlFigures:
    """Run containers to their end, alternating between the sides."""
    say(f"nerdctl run --rm, {rounds} rounds")
    samples: dict[tuple[str, str], list[float]] = {(name, net): [] for name in SETS for net in ("bridge", "host")}
    try:
        with contextlib.ExitStack() as stack:
            sides = {name: _side(stack, name) for name in SETS}
            for nerdctl in sides.values():
                nerdctl.once("--net", "bridge", "--", "true")  # makes the default network's list
            for turn in range(rounds):
                for name in SETS[:: -1 if turn % 2 else 1]:
                    for net in ("bridge", "host"):
                        samples[name, net].append(_timed(sides[name], net))
    except AssertionError as error:  # how the client ring says that a client failed
        raise BenchError(f"nerdctl: {error}") from error
    return NerdctlFigures(*(Series.of(samples[name, net]) for net in ("bridge", "host") for name in SETS))


def _side(stack: contextlib.ExitStack, plugin_set: str) -> Nerdctl:
    host = stack.enter_context(disposable_host())
    install_plugins(host, plugin_set)
    nerdctl = Nerdctl(host, start_containerd(host, "2.1"))
    nerdctl.load_image()
    return nerdctl


def _timed(nerdctl: Nerdctl, net: str) -> float:
    began = perf_counter()
    nerdctl.once("--net", net, "--", "true")
    return perf_counter() - began
