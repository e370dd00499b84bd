"""Containers under real conmon and runc: restart policies while the daemon runs."""

from __future__ import annotations

import pytest
from clean_house import house, script
from container_client import PATIENCE, until
from container_house import House

from netd.failure import Conflict
from netd.runtime.model import RestartPolicy

__all__ = ["house"]


def test_a_failing_container_is_restarted_as_often_as_was_said(house: House) -> None:
    listener = house.events.subscribe()
    host = {"restart_policy": RestartPolicy(name="on-failure", maximum_retry_count=2)}
    made = house.create(*script("echo run; exit 7"), host=host)
    ended = house.containers.wait(made.id, "next-exit")
    house.containers.start(made.id)
    assert ended.result(PATIENCE) == 7
    assert (made.restart_count, made.state.status) == (2, "exited")
    assert list(house.containers.logs(made.id)) == [(1, b"run\n" * 3)]
    deaths = [event.time_ns for event in listener.take() if event.action in ("die", "start")]
    assert deaths[2] - deaths[1] >= 100_000_000
    assert deaths[4] - deaths[3] >= 200_000_000


def test_stopping_between_two_lives_ends_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netd.runtime.restart._FIRST_DELAY", 1000.0)
    made = house.create("false", host={"restart_policy": RestartPolicy(name="always")})
    ended = house.containers.wait(made.id, "next-exit")
    house.containers.start(made.id)
    until(lambda: made.state.status == "restarting")
    assert made.state.running
    assert not ended.done()
    with pytest.raises(Conflict, match="is restarting"):
        house.attach(made.id)
    with pytest.raises(Conflict, match="container is restarting"):
        house.containers.remove(made.id)
    house.containers.stop(made.id)
    assert ended.result(PATIENCE) == 1
    assert made.state.status == "exited"


def test_a_follower_of_the_log_stays_over_restarts(house: House) -> None:
    host = {"restart_policy": RestartPolicy(name="on-failure", maximum_retry_count=2)}
    made = house.run(*script("echo run; exit 1"), host=host)
    assert b"".join(data for _, data in house.containers.logs(made.id, follow=True)) == b"run\n" * 3


def test_what_the_user_stopped_is_not_restarted(house: House) -> None:
    made = house.run("sleep", "1000", host={"restart_policy": RestartPolicy(name="always")})
    house.containers.stop(made.id, timeout=0)
    assert (made.state.status, made.restart_count) == ("exited", 0)
