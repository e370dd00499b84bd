"""Waiting for an address to answer its neighbours, by a scripted kernel."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pycni.kernel.model import Route
from pycni.plan import in_force
from pycni.spec.address import Address, Prefix

ADDRESS = Address.parse("fd00::1")
OWN = Route(Prefix.host(ADDRESS), device=1)
SUBNET = Route(Prefix.host(ADDRESS), device=7)


class Script:
    """A namespace whose answers to `route_to` are these, the last one for ever, on a clock of its own."""

    def __init__(self, answers: list[Route | None], master: int | None = 0) -> None:
        self.answers = list(answers)
        self.master = master
        self.asked = 0
        self.now = 100.0

    def link_by_index(self, index: int) -> Any:
        assert index == 7
        return None if self.master is None else SimpleNamespace(index=index, master=self.master)

    def route_to(self, address: Address) -> Route | None:
        assert address == ADDRESS
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def awaited(monkeypatch: pytest.MonkeyPatch, script: Script) -> tuple[int, float]:
    """Times asked, and seconds that passed."""
    monkeypatch.setattr(in_force, "time", script)
    in_force.await_own(script, 7, ADDRESS)  # type: ignore[arg-type]
    return script.asked, script.now - 100.0


def test_an_address_in_force_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert awaited(monkeypatch, Script([OWN])) == (1, 0.0)


def test_neither_no_route_nor_the_subnets_is_the_addresses_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, seconds = awaited(monkeypatch, Script([None, SUBNET, SUBNET, OWN]))
    assert asked == 4
    assert 0 < seconds < 0.01


def test_half_a_second_is_enough_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    _, seconds = awaited(monkeypatch, Script([SUBNET]))
    assert 0.5 <= seconds < 0.55


@pytest.mark.parametrize("master", [9, None])
def test_a_device_in_a_vrf_and_one_that_is_gone_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, master: int | None
) -> None:
    assert awaited(monkeypatch, Script([SUBNET], master)) == (0, 0.0)
