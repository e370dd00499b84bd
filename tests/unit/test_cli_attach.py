"""`pynet attach` and `pynet start -a` against a scripted daemon: their calls, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api_script import ID, Script
from cli_process import piped
from scripted_container import AT, Cat


def inspected(**state: object) -> dict[str, Any]:
    return {
        "Id": ID,
        "State": {"Running": True, "Paused": False, "Restarting": False, **state},
        "Config": {"Tty": False, "OpenStdin": True},
        "HostConfig": {"AutoRemove": False},
    }


def test_attach(said: Script, tmp_path: Path) -> None:
    cat = Cat(said, status=5, condition="not-running")
    cat.started.set()
    said.on("GET /containers/web/json", inspected())
    done = piped(tmp_path, "attach", "web", stdin=b"abc")
    assert (done.returncode, done.stdout) == (5, b"abcend\n")
    for state, message in (
        ({"Running": False}, b"pynet: container web does not run: pynet start -ai web does both\n"),
        ({"Paused": True}, b"pynet: container web is paused: it cannot be attached to\n"),
    ):
        said.on("GET /containers/web/json", inspected(**state))
        done = piped(tmp_path, "attach", "web")
        assert (done.returncode, done.stderr) == (1, message)


def test_start_and_attach(said: Script, tmp_path: Path) -> None:
    Cat(said, status=6)
    said.on("GET /containers/web/json", inspected(Running=False))
    done = piped(tmp_path, "start", "-ai", "web", stdin=b"abc")
    assert (done.returncode, done.stdout) == (6, b"abcend\n")
    assert said.asked[1:] == [f"POST {AT}/{each}" for each in ("attach", "wait", "start")]
    assert piped(tmp_path, "start", "-a", "web", "db").stderr == b"pynet: --attach: one container at a time\n"
