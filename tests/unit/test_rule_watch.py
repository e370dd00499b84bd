"""When the watch of the firewall's rules looks, and what it wakes up for; laws without a kernel."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.rule_events import committer, concerns
from netd.rule_watch import AGAIN_SECONDS, LONGEST_PAUSE, LONGEST_REST, LONGEST_WAIT, PATIENCE, QUIET_SECONDS, Pace
from pycni.kernel.netlink import attribute, attribute_be32, attribute_text

INET, IP, IP6, BRIDGE = 1, 2, 10, 7
NEWTABLE, DELTABLE, NEWCHAIN, DELCHAIN, NEWRULE, DELRULE, DELSET, DELELEMENT = 0, 2, 3, 5, 6, 8, 11, 14
NAME_OF = {DELCHAIN: 3, NEWCHAIN: 3}


def change(what: int, family: int, table: str, name: str = "") -> tuple[int, bytes]:
    parts = attribute_text(1, table)
    if name:
        parts += attribute_text(NAME_OF.get(what, 2), name)
    return what, bytes((family, 0, 0, 0)) + parts + attribute(9, b"the rest")


@pytest.mark.parametrize(
    "told",
    [
        change(DELTABLE, INET, "pynet"),
        change(DELELEMENT, INET, "pynet", "p_ports4"),
        change(DELRULE, INET, "pynet", "p_forward"),
        change(DELELEMENT, INET, "pynet_guard", "g_doors4"),
        change(DELSET, INET, "pynet", "p_bridges"),
        change(DELTABLE, IP, "nat"),
        change(DELTABLE, IP6, "filter"),
        change(DELRULE, IP, "nat", "PREROUTING"),
        change(DELRULE, IP6, "filter", "FORWARD"),
        change(DELRULE, IP, "nat", "CNI-0123456789abcdef"),
        change(DELCHAIN, IP, "filter", "CNI-FORWARD"),
        change(DELRULE, IP, "filter", "PYNET-FORWARD"),
        change(DELTABLE, BRIDGE, "nat"),
        change(DELRULE, BRIDGE, "nat", "PREROUTING"),
        change(DELCHAIN, BRIDGE, "nat", "cni-br-iface-c1-eth0-mac"),
        change(DELTABLE, INET, "firewalld"),
        change(NEWTABLE, INET, "firewalld"),
    ],
)
def test_what_may_take_away_rules_of_ours(told: tuple[int, bytes]) -> None:
    assert concerns(*told)


@pytest.mark.parametrize(
    "told",
    [
        change(NEWTABLE, INET, "pynet"),
        change(NEWCHAIN, IP, "nat", "CNI-x"),
        change(NEWRULE, IP, "filter", "FORWARD"),
        change(DELRULE, IP, "nat", "KUBE-SERVICES"),
        change(DELRULE, IP, "filter", "DOCKER-USER"),
        change(DELRULE, IP, "filter", "INPUT"),
        change(DELELEMENT, IP, "fail2ban", "banned"),
        change(DELTABLE, IP, "pynet"),
        change(DELRULE, INET, "firewalld", "filter_FORWARD"),
        (DELTABLE, b""),
        (DELRULE, b"\x02"),
    ],
)
def test_what_cannot(told: tuple[int, bytes]) -> None:
    assert not concerns(*told)


@given(st.integers(0, 30), st.binary(max_size=64))
def test_nothing_that_is_sent_is_too_strange(what: int, payload: bytes) -> None:
    assert concerns(what, payload) in (True, False)


def test_who_made_a_change() -> None:
    payload = bytes(4) + attribute_be32(1, 7) + attribute_be32(2, 4711) + attribute_text(3, "iptables-restor")
    assert committer(payload) == "iptables-restor"
    assert committer(bytes(4)) == ""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1))
def test_rules_are_back_within_two_seconds(pauses: list[float], length: float) -> None:
    """However soon after a look of any length the first removal comes, and however many follow it: each puts the look
    off until nobody removes anything, but not for ever."""
    pace = Pace(0.0)
    assert pace.due == 0.0
    pace.looked(0.0, length, lost=True, failed=False)
    assert pace.due is None
    first = now = length + pauses[0]
    pace.removed(first)
    for pause in pauses[1:]:
        now += pause
        pace.removed(now)
    due = pace.due
    assert due is not None
    assert due >= min(now + QUIET_SECONDS, first + LONGEST_WAIT) - 1e-9
    assert QUIET_SECONDS - 1e-9 <= due - first <= LONGEST_REST + 1e-9
    assert due - first + length <= 2.0 + 1e-9


def test_who_keeps_removing_meets_longer_and_longer_pauses() -> None:
    pace, now, waits = Pace(0.0), 0.0, []
    for _ in range(40):
        pace.removed(now)
        assert pace.due is not None
        waits.append(pace.due - now)
        now = pace.due
        pace.looked(now, now + 0.01, lost=True, failed=False)
        now += 0.01
    assert all(wait <= 2.0 for wait in waits[:PATIENCE])
    assert pace.fighting
    assert [round(wait, 6) for wait in waits[PATIENCE:]] == sorted(round(wait, 6) for wait in waits[PATIENCE:])
    assert waits[-1] == pytest.approx(LONGEST_PAUSE)
    # peace for some minutes
    now += 600
    pace.removed(now)
    assert pace.due is not None
    assert pace.due - now == pytest.approx(QUIET_SECONDS)
    pace.looked(pace.due, pace.due + 0.01, lost=True, failed=False)
    assert not pace.fighting


def test_what_cannot_be_restored_is_tried_a_few_times() -> None:
    pace, now = Pace(0.0), 0.0
    for wait in AGAIN_SECONDS:
        pace.looked(now, now, lost=False, failed=True)
        assert pace.due == now + wait
        now = pace.due
    pace.looked(now, now, lost=False, failed=True)
    assert pace.due is None
    pace.removed(now + 100)
    assert pace.due == now + 100 + QUIET_SECONDS
