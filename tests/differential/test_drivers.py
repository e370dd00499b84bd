"""Plugins whose drivers this kernel may lack: their keys, errors and DELs here, their devices in the ring vm
(`tests/vm/test_differential.py`)."""

from __future__ import annotations

from typing import Any

from case_strategies import cases, spoiled
from comparison import Comparison
from driver_strategies import bridge_vlan, dummy, ipvlan, vlan, vrf
from hypothesis import given
from hypothesis import strategies as st
from test_devices import placed
from verdict import judge, share


@share(0.6)
@given(placed(cases(st.tuples(spoiled(vlan, often=6)).map(list))))
def test_vlan(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(0.6)
@given(placed(cases(st.tuples(spoiled(ipvlan, often=6)).map(list))))
def test_ipvlan(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(0.5)
@given(cases(st.tuples(spoiled(dummy, often=6)).map(list)))
def test_dummy(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(0.5)
@given(cases(vrf))
def test_vrf(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(0.5)
@given(cases(st.tuples(spoiled(bridge_vlan, often=6)).map(list)))
def test_bridge_with_vlans(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
