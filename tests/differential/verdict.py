"""What every differential test does with a case, and with how many."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from typing import Any

from comparison import Comparison
from hypothesis import HealthCheck, Phase, settings

CASES = int(os.environ.get("PYCNI_DIFFERENTIAL_CASES", "1900"))
"""What shares are of; they add up to about 150 percent."""


QUIET = settings(
    deadline=None,
    database=None,
    derandomize=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.target, Phase.shrink),
)


def share(percent: float) -> Callable[[Any], Any]:
    """This part of the run's cases, at least five."""
    return settings(QUIET, max_examples=max(5, round(CASES * percent / 100)))


def judge(comparison: Comparison, case: dict[str, Any]) -> None:
    """AssertionError with what differs and the command that shows it again.  A case that came before, as a quarter of
    those that hypothesis draws, is neither run nor counted again."""
    text = json.dumps(case, sort_keys=True)
    if text in comparison.equal:
        return
    findings = comparison.run(case)
    if not findings:
        comparison.equal.add(text)
        return
    comparison.patience = 0.2
    lines = [f"{each.step}\n" + "\n".join(f"    {difference}" for difference in each.differences) for each in findings]
    command = f"scripts/differential --replay {shlex.quote(json.dumps(case))}"
    raise AssertionError("\n".join(["ours and the reference differ", *lines, f"again with:  {command}"]))
