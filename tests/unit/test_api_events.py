"""Events: their shape, and which of them a listener wants."""

from __future__ import annotations

import pytest

from netd.api.events import as_json, wanted
from netd.api.filters import Filters
from netd.runtime.bus import Event

DIED = Event(
    1_700_000_000_000_000_005, "container", "die", "c1", {"name": "web", "image": "box", "exitCode": "3", "a": "b"}
)
CONNECTED = Event(1, "network", "connect", "n1", {"name": "mynet", "type": "bridge", "container": "c1"})
EXEC = Event(1, "container", "exec_start: sh -c x", "c1", {"name": "web"})


def test_containers_repeat_themselves_for_old_clients() -> None:
    assert as_json(DIED) == {
        "Type": "container",
        "Action": "die",
        "Actor": {"ID": "c1", "Attributes": {"name": "web", "image": "box", "exitCode": "3", "a": "b"}},
        "scope": "local",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_000_000_005,
        "status": "die",
        "id": "c1",
        "from": "box",
    }


def test_networks_do_not() -> None:
    assert set(as_json(CONNECTED)) == {"Type", "Action", "Actor", "scope", "time", "timeNano"}


@pytest.mark.parametrize(
    ("filters", "died", "connected"),
    [
        ({}, True, True),
        ({"type": ["network"]}, False, True),
        ({"type": ["network", "container"], "event": ["die"]}, True, False),
        ({"container": ["web"]}, True, False),
        ({"container": ["c1"]}, True, True),
        ({"network": ["mynet"]}, False, True),
        ({"network": ["n1"], "container": ["c1"]}, False, True),
        ({"image": ["box"]}, True, False),
        ({"label": ["a=b"]}, True, False),
        ({"scope": ["swarm"]}, False, False),
        ({"daemon": ["x"]}, False, False),
    ],
)
def test_filters(filters: dict[str, list[str]], died: bool, connected: bool) -> None:
    assert wanted(DIED, Filters(filters)) is died
    assert wanted(CONNECTED, Filters(filters)) is connected


def test_execs_are_found_by_their_first_word() -> None:
    assert wanted(EXEC, Filters({"event": ["exec_start"]}))
    assert not wanted(EXEC, Filters({"event": ["exec"]}))
