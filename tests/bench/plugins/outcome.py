"""What a run found: samples, and what is said about them.  Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..chain.figures import Comparison, Row, Series
from ..chain.promises import Promise
from ..chain.table import ratio_row, table
from .cases import BOUND_BY_KERNEL, KERNEL_ALONE, promise_of

__all__ = ["Outcome", "Samples"]

Samples = dict[str, tuple[list[float], list[float]]]
"""By verb the reference's seconds and ours."""

_KERNEL_ALONE = (
    "The kernel's part of host-device is moving the device, a netlink message for each move and no plugin: the "
    "reference moves it twice, through a namespace in between, we once. In each move the kernel waits for the end of "
    "an RCU grace period (`rcu_barrier`), which no caller can shorten. In DPDK mode nothing is moved: that is the rest."
)


@dataclass
class Outcome:
    """`samples` by the name of what was measured; `left_out` for want of a driver."""

    machine: dict[str, str]
    rounds: int
    samples: dict[str, Samples] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    emulated: bool = False

    def rows(self) -> Iterator[Row]:
        for name, samples in self.samples.items():
            for verb, (base, ours) in samples.items():
                comparison = Comparison(Series.of(base), Series.of(ours))
                yield ratio_row(name, f"{verb} {name}", comparison, Promise(None, promise_of(name)))

    def table(self) -> str:
        rows = list(self.rows())
        return table(rows) if rows else ""

    def missed(self) -> list[str]:
        """The lines below their promise, without those of host-device which the kernel alone keeps below it."""
        rows = list(self.rows())
        alone = {row.what.partition(" ")[0]: row.value for row in rows if row.group == KERNEL_ALONE}
        return [
            row.what
            for row in rows
            if row.verdict == "missed"
            and not (
                row.group == BOUND_BY_KERNEL and alone.get(row.what.partition(" ")[0], math.inf) < (row.at_least or 0)
            )
        ]

    def notes(self) -> list[str]:
        notes = [f"Medians with minima in brackets, of {self.rounds} interleaved rounds; C launcher and engine."]
        if self.emulated:
            notes.append("In a guest whose processor is emulated: the ratios mean something, the times do not.")
        if KERNEL_ALONE in self.samples:
            notes.append(_KERNEL_ALONE)
        if self.left_out:
            notes.append(f"Left out, for this kernel has no driver for them: {', '.join(self.left_out)}.")
        return notes

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcome:
        return cls(**value)
