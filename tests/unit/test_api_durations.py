"""Docker's words for time spans and states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.api.durations import human, status_text
from netd.runtime.model import NEVER, State

SECOND = 10**9
HOUR = 3600


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (59 * 60 + 59, "59 minutes"),
        (HOUR, "About an hour"),
        (1.4 * HOUR, "About an hour"),
        (1.5 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * 24 * HOUR, "13 days"),
        (14 * 24 * HOUR, "2 weeks"),
        (59 * 24 * HOUR, "8 weeks"),
        (60 * 24 * HOUR, "2 months"),
        (729 * 24 * HOUR, "24 months"),
        (730 * 24 * HOUR, "2 years"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert human(int(seconds * SECOND)) == text


@given(st.integers(0, 10**19))
def test_every_span_has_a_text(nanoseconds: int) -> None:
    assert human(nanoseconds)


NOW = 1_000 * SECOND
STARTED, FINISHED = "1970-01-01T00:15:00Z", "1970-01-01T00:16:30.5Z"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (State(), "Created"),
        (State(status="created", exit_code=128, error="no"), "Created"),
        (State(status="running", started_at=STARTED), "Up About a minute"),
        (State(status="paused", started_at=STARTED), "Up About a minute (Paused)"),
        (
            State(status="restarting", started_at=STARTED, finished_at=FINISHED, exit_code=3),
            "Restarting (3) 9 seconds ago",
        ),
        (State(status="exited", started_at=STARTED, finished_at=FINISHED, exit_code=137), "Exited (137) 9 seconds ago"),
        (State(status="dead", started_at=NEVER), "Dead"),
    ],
)
def test_states(state: State, text: str) -> None:
    assert status_text(state, NOW) == text
