"""The differential suite's cases of plugins whose drivers the machine's kernel may lack.

A case takes seconds in the guest, so there are few; the seed is that of the ring (docs/differential.md)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "differential"))

import comparison as comparison_module
from case_strategies import cases
from comparison import Comparison
from driver_strategies import bridge_vlan, dummy, ipvlan, vlan, vrf
from test_devices import placed
from twin_pair import Pair
from verdict import QUIET, judge

FEW = settings(QUIET, max_examples=7)
_STEPS = st.sampled_from(
    (
        (["ADD", "CHECK", "DEL", "DEL"], ["c1"]),
        (["ADD", "CHECK", "DEL"], ["c1"]),
        (["ADD", "DEL"], ["c1"]),
        ([{"command": "ADD", "vanish": True}, "DEL"], ["c1"]),
    )
)
_VERSIONS = st.sampled_from(("0.4.0", "1.0.0", "1.1.0"))


def few(plugins: Any, **options: Any) -> Any:
    return cases(plugins, version=_VERSIONS, args=st.just(""), operations=_STEPS, **options)


@pytest.fixture(scope="module")
def comparison() -> Iterator[Comparison]:
    """In an emulated guest the kernel takes longer to finish what it does later."""
    comparison_module.SETTLING_SECONDS = 20
    pair = Pair()
    yield Comparison(pair)
    pair.close()


@FEW
@given(placed(few(st.tuples(vlan).map(list))))
def test_vlan(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@FEW
@given(placed(few(st.tuples(ipvlan).map(list))))
def test_ipvlan(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@FEW
@given(few(st.tuples(dummy).map(list)))
def test_dummy(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@FEW
@given(few(vrf))
def test_vrf(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@FEW
@given(few(st.tuples(bridge_vlan).map(list)))
def test_bridge_with_vlans(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
