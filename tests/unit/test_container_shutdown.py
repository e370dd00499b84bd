"""Containers end when the machine goes down."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netd import systemd
from netd.runtime import shutdown
from netd.runtime.entry import Run
from netd.runtime.model import Container, ContainerConfig, HostConfig

SECONDS = 10.0


class Resumed:
    """runc, as far as it is asked."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def resume(self, container_id: str) -> None:
        self.ids.append(container_id)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for each in started:
        with each:
            each.kill()


def made(**config: Any) -> Container:
    return Container("id", "name", "", ContainerConfig(**config), HostConfig())


def container(processes: list[subprocess.Popen[bytes]], script: str, **config: Any) -> tuple[Container, Run]:
    """One whose process has run the script's beginning."""
    process = subprocess.Popen(["sh", "-c", f"{script}; echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    processes.append(process)
    assert process.stdout is not None and process.stdout.read(1) == b"\n"
    found = made(**config)
    found.state.status = "running"
    return found, Run("", process.pid)


def test_each_gets_its_own_signal_and_time(processes: list[subprocess.Popen[bytes]]) -> None:
    running = [
        container(processes, ":"),
        container(processes, "trap '' TERM", stop_signal="SIGUSR1"),
        container(processes, "trap '' TERM", stop_timeout=0),
        container(processes, "trap '' TERM", stop_timeout=1),
    ]
    began = time.monotonic()
    shutdown.end(running, Resumed())  # type: ignore[arg-type]
    assert 1.0 <= time.monotonic() - began < 1.0 + SECONDS
    assert [each.wait(SECONDS) for each in processes] == [-15, -10, -9, -9]


def test_a_paused_one_goes_on_and_one_that_has_ended_is_left_alone(processes: list[subprocess.Popen[bytes]]) -> None:
    paused, ended = container(processes, ":"), container(processes, ":")
    paused[0].state.status = "paused"
    processes[1].kill()
    processes[1].wait(SECONDS)
    ended[1].forget()
    resumed = Resumed()
    shutdown.end([paused, ended], resumed)  # type: ignore[arg-type]
    assert processes[0].wait(SECONDS) == -15 and resumed.ids == [paused[0].id]


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 10), (3, 3), (-1, 60), (600, 60)])
def test_nobody_takes_longer_than_systemd_waits(timeout: int | None, seconds: float) -> None:
    assert shutdown._timeout(made(stop_timeout=timeout)) == seconds


@pytest.mark.parametrize(("state", "expected"), [("stopping", True), ("running", False), ("degraded", False)])
def test_systemd_is_asked_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, expected: bool
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\n[ $1 = is-system-running ] && echo {state}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(systemd, "BOOTED", str(tmp_path / "absent"))
    assert not shutdown.is_going_down()
    monkeypatch.setattr(systemd, "BOOTED", str(tmp_path))
    assert shutdown.is_going_down() is expected
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not shutdown.is_going_down()
