"""The engine killed, stopped and started again under its callers."""

from __future__ import annotations

import _socket
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_process import CONFIG, DEL, EngineProcess, facts, probe
from launchers import KINDS, install, telltale

from netd.engine import client
from netd.engine.client import NoEngine

PRIVATE = ("/usr/bin/unshare", "--net", "--")
SECONDS = 20
Children = list[subprocess.Popen[bytes]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(tmp_path / "engine", prefix=PRIVATE)
    yield engine
    engine.kill()


@pytest.fixture(params=KINDS)
def launcher(request: pytest.FixtureRequest, engine: EngineProcess, tmp_path: Path) -> Path:
    """A probe launcher whose in-process path ends with status 7."""
    settings = {**engine.settings, "entry": telltale(tmp_path / "telltale")}
    return install(str(request.param), tmp_path / "bin", settings) / "probe"


@pytest.fixture
def children() -> Iterator[Children]:
    """Processes a test leaves to be ended here."""
    started: Children = []
    yield started
    for each in started:
        each.kill()
        each.communicate(timeout=SECONDS)


class Blocked:
    """A call that is inside the plugin and stays there until `release`."""

    def __init__(self, launcher: Path, directory: Path, command: str, children: Children) -> None:
        self._release = directory / "release"
        entered = directory / "entered"
        os.mkfifo(self._release)
        environment = {
            **DEL,
            "CNI_COMMAND": command,
            "CNI_NETNS": "/proc/self/ns/net",
            "CNI_NETNS_OVERRIDE": "1",
            "CNI_ARGS": "block",
            "PROBE_ENTERED": str(entered),
            "PROBE_RELEASE": str(self._release),
        }
        self.process = subprocess.Popen(
            [str(launcher)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        children.append(self.process)
        assert self.process.stdin is not None
        self.process.stdin.write(CONFIG)
        self.process.stdin.close()
        self.process.stdin = None
        deadline = time.monotonic() + SECONDS
        while not entered.exists():
            assert time.monotonic() < deadline, "the call did not reach the plugin"

    def release(self) -> None:
        os.close(os.open(self._release, os.O_WRONLY))

    def result(self) -> tuple[int, bytes]:
        """Exit status and standard output."""
        stdout, _stderr = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, stdout


def test_an_add_in_flight_is_told_to_try_again(
    launcher: Path, engine: EngineProcess, tmp_path: Path, children: Children
) -> None:
    blocked = Blocked(launcher, tmp_path, "ADD", children)
    engine.kill()
    status, stdout = blocked.result()
    assert (status, json.loads(stdout)["code"]) == (1, 11)
    # the DEL every runtime sends then
    assert probe(launcher).returncode == 7


@pytest.mark.parametrize("command", ["DEL", "CHECK"])
def test_another_command_in_flight_runs_again_in_process(
    launcher: Path, engine: EngineProcess, tmp_path: Path, command: str, children: Children
) -> None:
    blocked = Blocked(launcher, tmp_path, command, children)
    engine.kill()
    status, stdout = blocked.result()
    assert (status, json.loads(stdout)["stdin"]) == (7, CONFIG.decode())


def test_a_plugin_that_ends_the_engine(launcher: Path, engine: EngineProcess) -> None:
    assert probe(launcher, {"CNI_ARGS": "exit"}).returncode == 7
    assert engine.process.wait(SECONDS) == 1


def test_callers_in_the_queue_of_a_killed_engine(
    launcher: Path, engine: EngineProcess, tmp_path: Path, children: Children
) -> None:
    """More ADDs than workers: those inside are told so, those nobody had taken yet run in-process."""
    inside = []
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        inside.append(Blocked(launcher, tmp_path / str(number), "ADD", children))
    environment = {**DEL, "CNI_COMMAND": "ADD", "CNI_NETNS": "/proc/self/ns/net", "CNI_NETNS_OVERRIDE": "1"}
    queued = [
        subprocess.Popen([str(launcher)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
        for _ in range(6)
    ]
    children += queued
    _await_queue(engine, 6)
    engine.kill()
    assert [json.loads(each.result()[1])["code"] for each in inside] == [11] * 4
    for each in queued:
        stdout, _stderr = each.communicate(timeout=SECONDS)
        assert (each.returncode, json.loads(stdout)["name"]) == (7, "probe")


def _await_queue(engine: EngineProcess, length: int) -> None:
    """Until so many connections wait to be accepted; each has sent its request or is about to."""
    deadline = time.monotonic() + SECONDS
    while True:
        command = ["/usr/bin/nsenter", f"--net=/proc/{engine.process.pid}/ns/net", "--", "ss", "-xlH"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        queued = [line.split()[2] for line in done.stdout.splitlines() if engine.socket in line]
        if queued == [str(length)]:
            return
        assert time.monotonic() < deadline, done.stdout


def test_a_new_engine_takes_over(launcher: Path, engine: EngineProcess, tmp_path: Path) -> None:
    assert facts(probe(launcher))["pid"] == engine.process.pid
    engine.kill()
    assert Path(engine.socket).exists(), "a killed engine cannot remove its socket"
    assert probe(launcher).returncode == 7
    with pytest.raises(NoEngine, match="refused"):
        client.status(engine.socket)
    again = EngineProcess(tmp_path / "engine", prefix=PRIVATE)
    try:
        assert facts(probe(launcher))["pid"] == again.process.pid != engine.process.pid
    finally:
        again.kill()


def test_a_second_engine_is_refused(engine: EngineProcess, tmp_path: Path, launcher: Path) -> None:
    with pytest.raises(AssertionError, match="another engine serves there"):
        EngineProcess(tmp_path / "engine", prefix=PRIVATE)
    assert facts(probe(launcher))["pid"] == engine.process.pid


def test_sigterm_lets_running_calls_finish(
    launcher: Path, engine: EngineProcess, tmp_path: Path, children: Children
) -> None:
    blocked = Blocked(launcher, tmp_path, "ADD", children)
    engine.process.terminate()
    deadline = time.monotonic() + SECONDS
    # later callers are turned away, and serve themselves
    while (done := probe(launcher)).returncode != 7:
        assert time.monotonic() < deadline, done
    assert engine.process.poll() is None, "it waits for the call inside"
    blocked.release()
    status, stdout = blocked.result()
    assert (status, json.loads(stdout)) == (0, {"cniVersion": "1.1.0"})
    assert engine.process.wait(SECONDS) == 0
    assert not Path(engine.socket).exists()
    assert "Traceback" not in engine.log.read_text()


def test_an_idle_engine_stops_at_once(engine: EngineProcess) -> None:
    assert engine.stop() == 0


def test_a_caller_that_leaves_takes_nothing_with_it(
    launcher: Path, engine: EngineProcess, tmp_path: Path, children: Children
) -> None:
    blocked = Blocked(launcher, tmp_path, "ADD", children)
    blocked.process.kill()
    blocked.process.communicate(timeout=SECONDS)
    blocked.release()
    assert facts(probe(launcher))["pid"] == engine.process.pid
    deadline = time.monotonic() + SECONDS
    while client.status(engine.socket)["busy"]:
        assert time.monotonic() < deadline


def test_a_caller_that_says_nothing_does_not_hold_the_engine(launcher: Path, engine: EngineProcess) -> None:
    silent = [_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM) for _ in range(4)]
    for each in silent:  # every worker
        each.connect(engine.socket)
    assert facts(probe(launcher))["pid"] == engine.process.pid
    for each in silent:
        each.close()


def test_a_socket_from_systemd_outlives_the_engines(tmp_path: Path, children: Children) -> None:
    """Calls made while no engine runs wait for the next one, and a stopping engine leaves the socket to it."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "sock"))
    listener.listen(8)
    path = install("c", tmp_path / "bin", {"socket": str(tmp_path / "sock")}) / "probe"
    for number in range(3):
        command = [str(path)]
        child = subprocess.Popen(
            command, env=DEL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        children.append(child)
        assert child.stdin is not None
        child.stdin.write(CONFIG)
        child.stdin.close()
        child.stdin = None
        engine = EngineProcess(tmp_path / f"engine-{number}", prefix=PRIVATE, passed=listener.fileno())
        try:
            _stdout, stderr = child.communicate(timeout=SECONDS)
            assert json.loads(stderr)["pid"] == engine.process.pid
            assert engine.stop() == 0
        finally:
            engine.kill()
        assert not Path(engine.socket).exists()
    listener.close()
