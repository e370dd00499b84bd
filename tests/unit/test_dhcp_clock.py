"""The clock of leases: with a real loop and the kernel's own timer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netd.dhcp.clock import Clock, now
from netd.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def clock(loop: Loop) -> Iterator[Clock]:
    made = Clock(loop)
    yield made
    made.close()


def timers() -> list[dict[str, str]]:
    """What the kernel says of this process's timers."""
    found = []
    for each in os.listdir("/proc/self/fd"):
        path = Path(f"/proc/self/fdinfo/{each}")
        lines = path.read_text().splitlines() if path.exists() else []
        if any(line.startswith("clockid:") for line in lines):
            found.append(dict(line.split(":", 1) for line in lines))
    return found


def test_sleep_counts(clock: Clock) -> None:
    """No test can send its machine to sleep; but of its clocks only one goes on then, and wakes who waits."""
    clock.after(1000, lambda: None)
    (timer,) = timers()
    assert int(timer["clockid"]) == time.CLOCK_BOOTTIME
    remaining = int(timer["it_value"].strip(" ()").split(",")[0])
    assert 900 < remaining <= 1000


def test_they_ring_in_order_and_not_too_soon(loop: Loop, clock: Clock) -> None:
    began, rung = now(), []

    def ring(name: str) -> None:
        rung.append((name, now() - began))
        if name == "third":
            loop.stop()

    clock.after(0.03, lambda: ring("third"))
    clock.after(0.01, lambda: ring("never")).cancel()
    clock.after(0.02, lambda: ring("second"))
    clock.after(0, lambda: ring("first"))
    loop.run()
    assert [name for name, _ in rung] == ["first", "second", "third"]
    assert rung[1][1] >= 0.02 and rung[2][1] >= 0.03


def test_one_may_be_set_by_another(loop: Loop, clock: Clock) -> None:
    clock.after(0.001, lambda: clock.after(0.001, loop.stop) and None)
    loop.run()
