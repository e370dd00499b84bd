"""Our units under Debian's systemd: sockets, services that are killed and restarted, the next boot, removal.

The tests run on the host and boot the guest of `scripts/vm` twice with one disk; managed.py is what happens inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from guest_boot import boot

ENGINE, NAMES, API, LEASES = (f"pynetd{part}.service" for part in ("", "-dns", "-api", "-dhcp"))
SOCKETS = ("pynetd.socket", "pynetd-api.socket", "pynetd-dhcp.socket")

CHAIN = 5
"""The calls for one ADD or DEL on a network of `pynet create`."""

Seen = Mapping[str, Any]


def seen_in(job: Path, name: str) -> dict[str, Any]:
    """What was seen between two boots."""
    done = boot(job, "managed.py", name, "--systemd")
    journal = job / "journal.log"
    said = [line for line in journal.read_text().splitlines() if " kernel: " not in line] if journal.exists() else []
    report = "\n".join([f"{name}: {done.stdout}{done.stderr}", "the journal:", *said])
    assert done.returncode == 0, report
    # shown with whatever fails
    print(report)
    seen: dict[str, Any] = json.loads((job / f"{name}.json").read_text())
    return {**seen, "console": (job / "console.log").read_text(errors="replace")}


@pytest.fixture(scope="module")
def boots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    job = tmp_path_factory.mktemp("systemd")
    return {name: seen_in(job, name) for name in ("installed", "booted")}


@pytest.fixture
def installed(boots: dict[str, Any]) -> Seen:
    found: Seen = boots["installed"]
    return found


@pytest.fixture
def booted(boots: dict[str, Any]) -> Seen:
    found: Seen = boots["booted"]
    return found


def states(seen: Seen) -> dict[str, str]:
    return {name: each["ActiveState"] for name, each in seen["units"].items()}


def pid(seen: Seen, service: str) -> int:
    return int(seen["units"][service]["MainPID"])


def served(seen: Seen) -> bool:
    """Whether the engine that systemd runs served one ADD or DEL, all of it, and nothing else."""
    status: dict[str, Any] = seen["status"]
    return status == {"pid": pid(seen, ENGINE), "calls": {"succeeded": CHAIN}}


def test_installing_enables_everything_and_starts_what_is_not_called(installed: Seen) -> None:
    assert installed["verified"] == ""
    seen = installed["installed"]
    expected = {*SOCKETS, NAMES, API}
    assert {name for name, each in seen["units"].items() if each["UnitFileState"] == "enabled"} == expected
    assert {name for name, state in states(seen).items() if state == "active"} == expected
    assert [seen["units"][name]["SubState"] for name in (SOCKETS[0], SOCKETS[2])] == ["listening", "listening"]
    assert (pid(seen, ENGINE), pid(seen, LEASES)) == (0, 0)


def test_the_first_call_starts_the_engine_and_is_served_by_it(installed: Seen) -> None:
    seen = installed["added"]
    assert seen["addresses"] == ["10.99.0.2/24"]
    assert states(seen)[ENGINE] == "active" and states(seen)[LEASES] == "inactive"
    assert served(seen)
    assert f"running, pid {pid(seen, ENGINE)}, since" in seen["said"] and "5 succeeded" in seen["said"]


@pytest.mark.parametrize(("moment", "restarts"), [("killed", "1"), ("started again", "0")])
def test_so_does_the_next_call_after_a_kill_and_after_a_stop(installed: Seen, moment: str, restarts: str) -> None:
    seen = installed[moment]
    assert states(seen)[ENGINE] == "active" and seen["units"][ENGINE]["NRestarts"] == restarts
    assert served(seen) and pid(seen, ENGINE) not in (pid(installed["added"], ENGINE), seen.get("was"))


def test_what_is_stopped_is_still_listened_for(installed: Seen) -> None:
    seen = installed["stopped"]
    assert states(seen)[ENGINE] == "inactive" and seen["units"][SOCKETS[0]]["SubState"] == "listening"


def test_the_dhcp_daemon_comes_with_a_call_and_goes_with_the_last_lease(installed: Seen) -> None:
    seen = installed["leased"]
    assert seen["addresses"] == ["192.0.2.10/24"] and states(seen)[LEASES] == "active"
    kept = installed["lease kept"]
    assert states(kept)[LEASES] == "active" and pid(kept, LEASES) not in (0, kept["was"])
    assert " 192.0.2.10 " in kept["given"]
    end = installed["in the end"]
    assert states(end)[LEASES] == "inactive" and end["units"][SOCKETS[2]]["SubState"] == "listening"


def test_the_journal_has_what_a_service_says(installed: Seen) -> None:
    said = [line.rpartition("/eth0: ")[2] for line in installed["said"].splitlines() if "/leased/eth0: " in line]
    assert said == ["looking for a lease", "leased 192.0.2.10/24", "goes on", "released: DEL"]


def test_a_container_inherits_nothing_of_the_service(installed: Seen) -> None:
    score, environment = installed["inherited"]
    names = {each.partition("=")[0] for each in environment.split("\0") if each}
    assert score == "0" and names == {"PATH", "HOSTNAME", "HOME"}


def test_containers_do_not_notice_restarts(installed: Seen) -> None:
    before, seen = installed["used"], installed["restarted"]
    assert seen["containers"] == before["containers"]
    assert {each["status"] for each in before["containers"].values()} == {"running"}
    web = before["containers"]["web"]["id"]
    assert [found[key] for found in (before, seen) for key in ("web", "published")] == [web] * 4


def test_no_call_is_lost_while_services_restart(installed: Seen) -> None:
    """Of CNI and of the API; the services are others than before, and ready when systemctl returns."""
    seen = installed["restarted"]
    assert seen["errors"] == []
    assert {state for name, state in states(seen).items() if name in (ENGINE, NAMES, API)} == {"active"}
    assert all(pid(seen, name) != pid(installed["used"], name) for name in (ENGINE, NAMES, API))


def test_who_is_killed_comes_again(installed: Seen) -> None:
    seen = installed["revived"]
    assert seen["was"] == pid(installed["restarted"], NAMES) and pid(seen, NAMES) not in (0, seen["was"])
    assert states(seen)[NAMES] == "active" and seen["web"] == installed["used"]["web"]
    assert installed["in the end"]["failed"] == ""


def test_a_container_that_ignores_its_signal_does_not_hold_up_the_shutdown(installed: Seen) -> None:
    """systemd itself would wait for 90 s."""
    off = re.search(r"\[ *([0-9.]+)\] reboot: Power down", installed["console"])
    assert off and float(off[1]) - installed["left"] < 85


def test_the_next_boot_is_as_the_first(installed: Seen, booted: Seen) -> None:
    seen = booted["booted"]
    assert states(seen) == states(installed["installed"])
    assert seen["units"][SOCKETS[0]]["SubState"] == "listening"
    again = booted["came again"]["containers"]
    assert {name: each["status"] for name, each in again.items()} == {"web": "running", "client": "exited"}
    assert booted["came again"]["published"] == again["web"]["id"] == installed["used"]["containers"]["web"]["id"]


def test_removed_nothing_is_left(booted: Seen) -> None:
    assert set(states(booted["removed"]).values()) == {"inactive"} and booted["removed"]["loaded"] == ""
    assert (booted["files"], booted["sockets"], booted["processes"]) == ([], [], "")
