"""A machine that really restarts, once by a power cut and once properly: what pynetd makes of what it finds.

The tests run on the host and boot the guest of `scripts/vm` three times with one disk; life.py is what happens inside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from guest_boot import boot

RUNNING = {"static", "always", "joiner", "plain", "failing", "revived", "late"}

WEB = {"8080": "always", "8081": "static", "8082": "plain"}
"""Who serves a port of the host."""

LISTS = {"bridge": "pynet-bridge"}
"""CNI's name of a network, where it is another."""

Seen = Mapping[str, Any]


def live(job: Path, life: str, *options: str) -> dict[str, Any]:
    """One life of the machine, and what was seen in it."""
    done = boot(job, "life.py", life, *options)
    log = job / f"{life}.log"
    said = log.read_text() if log.exists() else ""
    assert done.returncode == 0, f"{life}: {done.stdout}{done.stderr}\npynetd said:\n{said}"
    seen: dict[str, Any] = json.loads((job / f"{life}.json").read_text())
    return {**seen, "log": said, "seconds": json.loads((job / f"{life}-seconds.json").read_text())}


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    job = tmp_path_factory.mktemp("machine")
    found = {
        "born": live(job, "born", "--cut"),
        "revived": live(job, "revived"),
        "buried": live(job, "buried"),
    }
    for name in ("killed", "nothing"):
        found[name] = json.loads((job / f"{name}.json").read_text())
    return found


@pytest.fixture(params=["revived", "buried"], ids=["after a power cut", "after a shutdown"])
def after(request: pytest.FixtureRequest, lives: dict[str, Any]) -> Seen:
    found: Seen = lives[request.param]
    return found


@pytest.fixture
def before(lives: dict[str, Any]) -> Seen:
    found: Seen = lives["born"]
    return found


def _with(seen: Seen, status: str) -> set[str]:
    return {name for name, each in seen["containers"].items() if each["status"] == status}


def _static(each: Mapping[str, Any]) -> list[str]:
    """The addresses on mynet."""
    found: list[str] = each["networks"]["mynet"]
    return found


def test_containers_do_not_notice_that_pynetd_was_killed(lives: dict[str, Any], before: Seen) -> None:
    """All of its processes at once; cgroup v2 is all that this machine has."""
    killed = lives["killed"]
    assert "starting it again" in before["log"]
    # a new daemon starts what is always to run
    (again,) = (name for name, each in killed["containers"].items() if each != before["containers"][name])
    assert again == "revived" and killed["containers"][again]["status"] == "running"
    assert killed["traffic"] == before["traffic"]
    assert {**killed["answers"], again: []} == before["answers"]
    for name in ("static", "always", "plain"):
        assert _of(before, name) == _of(killed, name) != []


def test_policies_are_honoured(before: Seen, after: Seen) -> None:
    assert _with(before, "running") == {"static", "always", "joiner", "plain", "failing", "never", "brief"}
    assert _with(after, "running") == RUNNING
    assert _with(after, "exited") == {"halted", "done", "renamed"}
    assert _with(after, "created") == {"created"}
    codes = {name: each["exit code"] for name, each in after["containers"].items()}
    assert codes["done"] == 0 and codes["halted"] == 137 and codes["renamed"] == 255
    assert {each["error"] for each in after["containers"].values()} == {""}


def test_containers_are_who_they_were(before: Seen, after: Seen) -> None:
    for name in RUNNING & set(before["containers"]):
        was, now = before["containers"][name], after["containers"][name]
        assert now["id"] == was["id"]
        assert set(now["networks"]) == set(was["networks"])
        # a container that did not run had no ports
        assert now["ports"] == was["ports"]
    assert _static(after["containers"]["static"]) == ["10.99.0.77", "fd00:99::77"]


def test_what_was_done_just_before_is_still_true(after: Seen) -> None:
    assert set(after["containers"]["late"]["networks"]) == {"latenet", "mynet"}
    assert "never" not in after["containers"] and "brief" not in after["containers"]


def test_packets_reach_published_ports(before: Seen, after: Seen) -> None:
    expected = {port: before["containers"][name]["id"][:12] for port, name in WEB.items()}
    assert before["traffic"] == after["traffic"] == {**expected, "38412/sctp": "192.0.2.2"}


def test_names(before: Seen, after: Seen) -> None:
    for seen in (before, after):
        on_mynet = {name for name, each in seen["containers"].items() if each["networks"].get("mynet", [""])[0]}
        expected = {name: [_static(seen["containers"][name])[0]] for name in on_mynet & set(seen["answers"])}
        expected["www"] = expected["always"]
        assert seen["answers"] == {name: expected.get(name, []) for name in seen["answers"]}


def test_exactly_the_running_ones_have_addresses_and_files(after: Seen) -> None:
    """Those of a CNI client whose namespaces went with the machine are given back, too."""
    running = [after["containers"][name] for name in RUNNING]
    found = after["files"]
    addresses = [
        f"{LISTS.get(network, network)}/{address}"
        for each in running
        for network, pair in each["networks"].items()
        for address in pair
        if address
    ]
    assert found["leases"] == sorted(addresses)
    joined = after["containers"]["joiner"]["id"]
    assert found["started"] == sorted(each["id"] for each in running)
    assert found["namespaces"] == sorted(each["id"][:12] for each in running if each["id"] != joined)
    results = {name.split("-")[-2] for name in found["results"]}
    assert results == {each["id"] for each in running if each["id"] != joined}
    assert found["containers"] == sorted(each["id"] for each in after["containers"].values())
    assert found["lists"] == [".pynet.lock", "latenet.conflist", "mynet.conflist"]


def test_rules_are_as_before(before: Seen, lives: dict[str, Any]) -> None:
    """Rule for rule after the second restart, where the same run as after the first; after the first, those of who runs
    again are all there, and none of who does not."""
    revived, buried = lives["revived"], lives["buried"]
    assert sorted(revived["rules"]) == sorted(buried["rules"])
    for name in ("static", "always", "plain"):
        assert _of(before, name) == _of(revived, name) != []
    gone = [before["containers"][name]["id"] for name in ("never", "brief")]
    assert not [rule for rule in revived["rules"] if any(each in rule for each in (*gone, "cnitool"))]


def _of(seen: Seen, name: str) -> list[str]:
    """The rules that name the container or its addresses."""
    return [rule for rule in seen["rules"] if f"<{name} " in rule or seen["containers"][name]["id"] in rule]


def test_the_daemon_has_nothing_to_complain_of(after: Seen) -> None:
    assert after["log"] == ""


def test_in_the_end_nothing_is_left(lives: dict[str, Any]) -> None:
    found = lives["nothing"]["files"]
    assert found.pop("lists") == [".pynet.lock"]
    links = found.pop("links")
    assert sorted(set(links) - {"pynet0"}) == ["lan", "lo"]
    assert found == {key: [] for key in found}
    assert lives["nothing"]["containers"] == {}
