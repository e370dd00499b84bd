"""kill -9 at every step of ADD and of DEL, in the engine and in-process: the next DEL or GC leaves nothing, a new
engine resumes, and another container of the same network never notices."""

from __future__ import annotations

import difflib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_host import BACKENDS, NETWORK, SECONDS, Container, CrashHost, Flow, Outcome, chain

# every moment and every recovery with each backend and policy that share no code with the others
WAYS = [
    ("nftables", "same-bridge", "before", "DEL"),
    ("nftables", "isolated", "after", "GC"),
    ("iptables", "same-bridge", "after", "DEL"),
    ("iptables", "isolated", "before", "GC"),
]


class Stage:
    """A host with a container that stays, and the one whose calls are killed."""

    def __init__(self, host: CrashHost, backend: str, policy: str) -> None:
        self.host = host
        with host.engine() as engine:
            self.stays = Container(host, "stays", chain(host, backend, policy, 9000)).added()
            self.victim = Container(host, "victim", chain(host, backend, policy)).added()
            self.victim.deleted()
            engine.sync()
        self.flow = Flow(self.stays, 9000)
        self.before = host.snapshot()
        self.problems: list[str] = []

    def recover(self, how: str, via: str) -> None:
        """What a runtime does then."""
        if how == "DEL":
            self.victim.deleted(via)
        else:
            self.victim.collect(["stays"], via)
        self.flow.assert_alive()

    def look(self, step: str) -> None:
        """Notes what is there that was not before, or is missing, in `problems`; once, not again at the next step."""
        now = self.host.snapshot()
        found = difference(self.before, now)
        found += [f"in the container: {name}" for name in self.host.devices_in(self.victim.netns)]
        if found:
            self.problems.append("\n    ".join([f"killed {step}", *found]))
        self.before = now

    def close(self) -> None:
        self.flow.close()


def difference(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for each device, file, and line of the rules that is not the same."""
    found = []
    for what in ("devices", "files"):
        names = sorted(before[what].keys() | now[what].keys())
        pairs = [(name, before[what].get(name), now[what].get(name)) for name in names]
        found += [f"{what}: {name}: {old} -> {new}" for name, old, new in pairs if old != new]
    lines = difflib.ndiff(before["rules"].splitlines(), now["rules"].splitlines())
    return found + [f"rules: {line}" for line in lines if line[:1] in "+-"]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[[str, str], Stage]]:
    made: list[Stage] = []
    with CrashHost(tmp_path / "crash") as host:

        def make(backend: str, policy: str) -> Stage:
            made.append(Stage(host, backend, policy))
            return made[-1]

        try:
            yield make
        finally:
            for each in made:
                each.close()


def died(host: CrashHost, step: int) -> str:
    """What step number `step` was, empty when there were fewer."""
    count = host.dying.ask("count")
    return f"at step {step}: {count['chosen']}" if count["steps"] >= step else ""


def engine_dies(stage: Stage, command: str, step: int, when: str) -> str:
    """One ADD, and for `command` DEL its DEL, by an engine that dies at this step; what the step was."""
    host, victim = stage.host, stage.victim
    with host.engine(command=command, container="victim", step=step, when=when):
        outcomes = victim.add()
        if command == "DEL":
            assert victim.result is not None
            for each in victim.delete():
                # interrupted, the launcher does it again in-process
                assert each.result is None
            victim.result = None
        what = died(host, step)
        if what and command == "ADD":
            assert outcomes[-1].error["code"] == 11, what
        elif not what:
            assert [each.status for each in outcomes] == [0] * len(victim.plugins)
    stage.flow.assert_alive()
    return what


@pytest.mark.parametrize(("backend", "policy", "when", "recovery"), WAYS)
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_kill_the_engine_at_any_step(
    stage: Callable[[str, str], Stage], command: str, backend: str, policy: str, when: str, recovery: str
) -> None:
    """A full chain has some 50 steps for ADD and 30 for DEL."""
    set_up = stage(backend, policy)
    step = 1
    while what := engine_dies(set_up, command, step, when):
        with set_up.host.engine() as engine:
            set_up.recover(recovery, "engine")
            engine.sync()
        set_up.look(what)
        step += 1
    assert step > 25
    assert not set_up.problems, "\n".join(set_up.problems)


def process_dies(stage: Stage, command: str, step: int, when: str) -> tuple[str, list[Outcome]]:
    host, victim = stage.host, stage.victim
    if command == "DEL":
        victim.added("process")
    host.dying.ask("arm", command=command, container="victim", step=step, when=when)
    outcomes = victim.add("dying") if command == "ADD" else victim.delete("dying")
    return died(host, step), outcomes


@pytest.mark.parametrize(
    ("backend", "policy", "when", "recovery"),
    [("nftables", "isolated", "before", "GC"), ("iptables", "same-bridge", "before", "DEL")],
)
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_kill_an_in_process_call_at_any_step(
    stage: Callable[[str, str], Stage], command: str, backend: str, policy: str, when: str, recovery: str
) -> None:
    set_up = stage(backend, policy)
    step = 1
    while True:
        what, outcomes = process_dies(set_up, command, step, when)
        if not what:
            break
        assert [each.killed for each in outcomes].count(True) == 1, what
        set_up.recover(recovery, "process")
        set_up.look(what)
        step += 1
    assert step > 25
    assert not set_up.problems, "\n".join(set_up.problems)
    assert not any(each.killed for each in outcomes)


# --- between plugins, and what outlives the killed -------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("runtime", ["goes on", "gives up"])
def test_kill_the_engine_between_plugins(stage: Callable[[str, str], Stage], backend: str, runtime: str) -> None:
    """A runtime that goes on is served in-process; one that gives up sends DEL, or comes back with GC."""
    set_up = stage(backend, "same-bridge")
    host, whole = set_up.host, set_up.victim.plugins
    for done in range(1, len(whole)):
        with host.engine() as engine:
            first = Container(host, "victim", whole[:done], set_up.victim.netns).added()
        set_up.flow.assert_alive()
        set_up.victim.result = previous = first.result
        for config in whole[done:] if runtime == "goes on" else ():
            outcome = host.call({**config, "prevResult": previous}, "ADD", "victim", first.netns.path, "engine")
            set_up.victim.result = previous = outcome.result
        if runtime == "goes on":
            assert set_up.victim.check() == []
        with host.engine() as engine:
            set_up.recover("DEL" if done % 2 else "GC", "engine")
            engine.sync()
        set_up.look(f"after plugin {done}")
    for done in range(1, len(whole)):
        with host.engine() as engine:
            set_up.victim.added()
            last = Container(host, "victim", whole[-done:], set_up.victim.netns)
            last.result = set_up.victim.result
            last.deleted()
        with host.engine() as engine:
            set_up.recover("DEL" if done % 2 else "GC", "engine")
            engine.sync()
        set_up.look(f"after DEL of {done} plugins")
    assert not set_up.problems, "\n".join(set_up.problems)


def await_blocked(process: subprocess.Popen[str]) -> None:
    """Until the process waits for a flock(2), or has ended."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None:
        waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
        if str(process.pid) in {words[5] for words in waiting}:
            return
        assert time.monotonic() < deadline, "it neither ends nor waits for the lock"


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_a_program_that_outlives_its_plugin_is_waited_for(
    stage: Callable[[str, str], Stage], tmp_path: Path, command: str
) -> None:
    """iptables-restore of a killed plugin still commits: who comes next must not have looked before it did."""
    set_up = stage("iptables", "same-bridge")
    host, victim = set_up.host, set_up.victim
    bridge, portmap, *_ = victim.plugins
    result = host.call(bridge, "ADD", "victim", victim.netns.path, "process").result
    config = {"cniVersion": "1.1.0", "name": NETWORK, **portmap, "prevResult": result}
    entered, release = tmp_path / "entered", tmp_path / "release"
    for fifo in (entered, release):
        os.mkfifo(fifo)
    real = shutil.which("iptables-restore", path="/usr/sbin:/sbin")
    slow = tmp_path / "slow" / "iptables-restore"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\necho $$ >{entered}\nread line <{release}\nexec {real} "$@"\n')
    slow.chmod(0o755)
    environment = host.environment("ADD", "victim", victim.netns.path, "process")
    killed = host.start("portmap", {**environment, "PATH": f"{slow.parent}:{os.environ['PATH']}"}, "process")
    with killed:
        assert killed.stdin is not None
        killed.stdin.write(json.dumps(config))
        killed.stdin.close()
        program = os.pidfd_open(int(entered.read_text()))
        killed.kill()
    after = host.start("portmap", {**environment, "CNI_COMMAND": command}, "process")
    with after:
        assert after.stdin is not None
        after.stdin.write(json.dumps(config))
        after.stdin.close()
        await_blocked(after)
        release.write_text("\n")
        assert after.wait(SECONDS) == 0
    assert select.select([program], [], [], SECONDS)[0], "the program does not end"
    os.close(program)
    if command == "ADD":
        assert host.call(config, "CHECK", "victim", victim.netns.path, "process").result is None
        chains = [line for line in host.host.run(["iptables-save"]).stdout.splitlines() if "CNI-DN-" in line]
        assert len(chains) == len(set(chains)), "the rules of one port twice"
        Container(host, "victim", [portmap], victim.netns).deleted("process")
    Container(host, "victim", [bridge], victim.netns).deleted("process")
    set_up.look("with a program running")
    assert not set_up.problems, "\n".join(set_up.problems)


@pytest.mark.parametrize("backend", BACKENDS)
def test_kill_the_first_add_of_a_host_at_any_step(tmp_path: Path, backend: str) -> None:
    """With nothing there yet, neither bridge nor tables: what is shared may stay, nothing else."""
    with CrashHost(tmp_path / "crash") as host:
        plugins = chain(host, backend)
        victim = Container(host, "victim", plugins)
        step, what = 1, "first"
        while what:
            host.host.run(["sh", "-c", "nft flush ruleset; ip link del br0 2>/dev/null || true"])
            with host.engine(command="ADD", container="victim", step=step, when="before"):
                outcomes = victim.add()
            what = died(host, step)
            assert [each.status for each in outcomes].count(1) == bool(what)
            with host.engine() as engine:
                victim.deleted()
                engine.sync()
            found = host.snapshot()
            assert found["files"] == {}, what
            assert host.devices_in(host.host) in (["wan"], ["br0", "wan"]), what
            assert host.devices_in(victim.netns) == [], what
            rules = found["rules"]
            leftover = [
                line for line in rules.splitlines() if "victim" in line or "10.1.0." in line or "fd00:1" in line
            ]
            assert leftover == [], what
            step += 1
        assert step > 40
        victim.added()
        with Flow(victim, 8080) as flow:
            flow.assert_alive()
        assert victim.check() == []
