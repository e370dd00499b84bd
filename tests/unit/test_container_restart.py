"""Restart policies and their back-off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.runtime.model import HostConfig, RestartPolicy
from netd.runtime.restart import Backoff, check_policy, restarts_after_exit, restarts_with_daemon

NAMES = ("", "no", "always", "unless-stopped", "on-failure")


@pytest.mark.parametrize(
    ("name", "most", "code", "restarts", "again"),
    [
        ("", 0, 1, 0, False),
        ("no", 0, 1, 0, False),
        ("always", 0, 0, 7, True),
        ("unless-stopped", 0, 0, 7, True),
        ("on-failure", 0, 0, 0, False),
        ("on-failure", 0, 1, 99, True),
        ("on-failure", 3, 1, 2, True),
        ("on-failure", 3, 1, 3, False),
    ],
)
def test_the_policy_decides(name: str, most: int, code: int, restarts: int, again: bool) -> None:
    policy = RestartPolicy(name=name, maximum_retry_count=most)
    assert restarts_after_exit(policy, code, restarts, stopped_by_user=False) is again
    assert restarts_with_daemon(policy, code, restarts, stopped_by_user=False) is again


@given(st.sampled_from(NAMES), st.integers(0, 3), st.integers(0, 255), st.integers(0, 5))
def test_what_the_user_stopped_stays_stopped_but_always_comes_back_with_the_daemon(
    name: str, most: int, code: int, restarts: int
) -> None:
    policy = RestartPolicy(name=name, maximum_retry_count=most)
    assert not restarts_after_exit(policy, code, restarts, stopped_by_user=True)
    assert restarts_with_daemon(policy, code, restarts, stopped_by_user=True) is (name == "always")


def test_the_delay_doubles_from_100_ms_to_a_minute() -> None:
    backoff = Backoff()
    delays = []
    for _ in range(12):
        backoff = backoff.after_run(9.9)
        delays.append(backoff.delay)
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-2:] == [60.0, 60.0]


@given(st.lists(st.floats(0, 9.99), max_size=20))
def test_a_run_of_ten_seconds_starts_it_anew(short_runs: list[float]) -> None:
    backoff = Backoff()
    for seconds in short_runs:
        backoff = backoff.after_run(seconds)
    assert backoff.after_run(10.0).delay == 0.1


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HostConfig(restart_policy=RestartPolicy(name="sometimes")), "unknown policy 'sometimes'"),
        (HostConfig(restart_policy=RestartPolicy(name="on-failure", maximum_retry_count=-1)), "cannot be negative"),
        (HostConfig(restart_policy=RestartPolicy(name="always", maximum_retry_count=1)), "only be used with 'on-fail"),
        (HostConfig(restart_policy=RestartPolicy(name="always"), auto_remove=True), "'AutoRemove' container"),
    ],
)
def test_contradictions_are_refused(host: HostConfig, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        check_policy(host)


@pytest.mark.parametrize("name", NAMES)
def test_docker_s_policies_are_known(name: str) -> None:
    check_policy(HostConfig(restart_policy=RestartPolicy(name=name)))
