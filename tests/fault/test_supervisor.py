"""`pynetd` without a process's name: it starts all, starts again what is killed, and leaves nothing when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_process import EngineProcess
from launchers import ROOT

from netd.engine import client
from netd.supervise import PROCESSES
from pycni_plugins.dnsname.server import NoNameServer, question

SECONDS = 20
PROGRAM = ("-m", "netd.daemon")


def start(tmp_path: Path) -> EngineProcess:
    """In namespaces of its own, as the API makes a default network."""
    words = ("/usr/bin/unshare", "--net", "--mount", "--propagation", "private", "--")
    options = ("--root", str(tmp_path / "root"))
    return EngineProcess(tmp_path / "pynetd", PROGRAM, words, options, python=sys.executable)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[EngineProcess]:
    process = start(tmp_path)
    yield process
    if process.process.poll() is None:
        process.stop()


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        os.sched_yield()
    return True


def children(pid: int) -> dict[str, int]:
    """Pids by the name of the process each is to be, the word before its options."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"--run-dir" in words:
            found[words[words.index(b"--run-dir") - 1].decode()] = int(child)
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def comes_to_rest(pid: int) -> bool:
    """Whether no thread of it runs for a fifth of a second.  The traceback of one that runs meanwhile may be nonsense,
    and end the process before the other threads have theirs."""
    since, before = time.monotonic(), ""

    def rests() -> bool:
        nonlocal since, before
        try:
            now = "".join(path.read_text() for path in sorted(Path(f"/proc/{pid}/task").glob("*/status")))
        except (FileNotFoundError, ProcessLookupError):  # a thread has ended
            now = ""
        if now != before:
            since, before = time.monotonic(), now
        return time.monotonic() - since > 0.2

    return eventually(rests)


def engine_pid(daemon: EngineProcess) -> int:
    try:
        return int(client.status(daemon.socket)["pid"])
    except client.NoEngine:
        return 0


def names_answer(daemon: EngineProcess) -> bool:
    try:
        return question(str(daemon.run_dir), "status")["attachments"] == 0
    except NoNameServer:
        return False


def test_all_of_them_serve_when_it_says_so(daemon: EngineProcess) -> None:
    running = children(daemon.process.pid)
    assert set(running) == set(PROCESSES)
    assert engine_pid(daemon) == running["engine"]
    assert names_answer(daemon)


@pytest.mark.parametrize("name", PROCESSES)
def test_what_is_killed_is_started_again_and_the_others_go_on(daemon: EngineProcess, name: str) -> None:
    before = children(daemon.process.pid)
    for _ in range(2):
        victim = children(daemon.process.pid)[name]
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: children(daemon.process.pid).get(name, victim) != victim)  # noqa: B023
        assert eventually(lambda: bool(engine_pid(daemon)) and names_answer(daemon))
    after = children(daemon.process.pid)
    assert {key: pid for key, pid in after.items() if key != name} == {
        key: pid for key, pid in before.items() if key != name
    }
    assert f"{name} was killed by signal 9; starting it again" in daemon.log.read_text()


@pytest.mark.parametrize("name", PROCESSES)
def test_one_that_crashes_says_where(daemon: EngineProcess, name: str) -> None:
    victim = children(daemon.process.pid)[name]
    assert comes_to_rest(victim)
    os.kill(victim, signal.SIGSEGV)
    assert eventually(lambda: f"{name} was killed by signal 11; starting it again" in daemon.log.read_text())
    assert "Segmentation fault" in daemon.log.read_text()
    assert f"netd/{name}/main.py" in daemon.log.read_text()


def test_a_stop_ends_all_and_leaves_no_socket(daemon: EngineProcess) -> None:
    running = children(daemon.process.pid)
    assert daemon.stop() == 0
    assert all(is_gone(pid) for pid in running.values())
    assert not list(daemon.run_dir.glob("*.sock"))


def test_killed_itself_its_processes_end_and_a_new_one_serves(daemon: EngineProcess, tmp_path: Path) -> None:
    running = children(daemon.process.pid)
    daemon.kill()
    assert eventually(lambda: all(is_gone(pid) for pid in running.values()))
    again = start(tmp_path)
    try:
        assert names_answer(again)
        assert engine_pid(again)
    finally:
        assert again.stop() == 0


def test_a_second_one_is_refused(daemon: EngineProcess) -> None:
    second = subprocess.run(
        [sys.executable, *PROGRAM, "--run-dir", str(daemon.run_dir)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=ROOT,
    )
    assert (second.returncode, second.stderr) == (1, f"pynetd: another pynetd runs with {daemon.run_dir}\n")


def test_one_that_cannot_start_ends_all(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    (run_dir / "dns.sock").mkdir(parents=True)
    done = subprocess.run(
        [
            "/usr/bin/unshare",
            "--net",
            "--",
            sys.executable,
            *PROGRAM,
            "--run-dir",
            str(run_dir),
            "--root",
            str(tmp_path / "root"),
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert f"listening on {run_dir}/dns.sock: it exists and is no socket" in done.stderr
    assert not (run_dir / "cni.sock").exists()
