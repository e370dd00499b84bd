"""Samples, their medians and minima, and what a row of the table says about them. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Comparison", "Row", "Series", "Verdict", "verdict"]


@dataclass(frozen=True)
class Series:
    """Samples of one figure of one side, in seconds, in the order they were taken."""

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError("a series needs at least one sample")

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def minimum(self) -> float:
        return min(self.samples)

    @classmethod
    def of(cls, samples: Sequence[float]) -> Series:
        """The series of these samples."""
        return cls(tuple(samples))


@dataclass(frozen=True)
class Comparison:
    """One figure of both sides, from interleaved samples; a ratio above 1 says how many times faster ours is."""

    base: Series
    ours: Series

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return self.base.median / self.ours.median

    @property
    def ratio_of_minima(self) -> float:
        return self.base.minimum / self.ours.minimum


Verdict = str  # "goal", "at least", "missed", or "" where nothing was promised


def verdict(value: float, goal: float | None, at_least: float | None, *, smaller: bool = False) -> Verdict:
    """Which of the two figures a value reaches; smaller says that less is better."""
    sign = -1 if smaller else 1
    if goal is not None and sign * value >= sign * goal:
        return "goal"
    if at_least is not None:
        return "at least" if sign * value >= sign * at_least else "missed"
    return "" if goal is None else "missed"


@dataclass(frozen=True)
class Row:
    """A line of the table: what is compared, the figures as text, and what was promised.

    `value` is what the promise is about: a ratio, or a size or time of the engine where `smaller` is better.
    """

    group: str
    what: str
    base: str
    ours: str
    value: float
    unit: str = "x"
    minima: float | None = None
    goal: float | None = None
    at_least: float | None = None
    smaller: bool = False
    samples: int = 0

    @property
    def verdict(self) -> Verdict:
        return verdict(self.value, self.goal, self.at_least, smaller=self.smaller)

    def with_cells(self, base: str, ours: str) -> Row:
        """The same line with these texts for the two sides."""
        return replace(self, base=base, ours=ours)

    def without_promise(self) -> Row:
        """The same line where nothing was promised."""
        return replace(self, goal=None, at_least=None)
