"""kill -9 at every step of an ADD and a DEL of bridge with bandwidth: the next DEL or GC leaves no device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_host import Container, CrashHost
from test_kill_each_step import Stage, engine_dies
from test_kill_macspoofchk import NoFlow

LIMITS = {"ingressRate": 800_000, "ingressBurst": 160_000, "egressRate": 800_000, "egressBurst": 160_000}


class LimitedStage(Stage):
    """Containers of a list with bridge, which gives no addresses, and bandwidth."""

    def __init__(self, host: CrashHost) -> None:
        self.host = host
        plugins = [{"type": "bridge", "bridge": "br0"}, {"type": "bandwidth", **LIMITS}]
        with host.engine() as engine:
            self.stays = Container(host, "stays", plugins).added()
            self.victim = Container(host, "victim", plugins).added()
            self.victim.deleted()
            engine.sync()
        self.flow = NoFlow()  # type: ignore[assignment]
        self.before = host.snapshot()
        self.problems: list[str] = []


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[LimitedStage]:
    with CrashHost(tmp_path / "crash") as host:
        yield LimitedStage(host)


@pytest.mark.parametrize(("when", "recovery"), [("before", "DEL"), ("after", "GC")])
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_kill_the_engine_at_any_step(stage: LimitedStage, command: str, when: str, recovery: str) -> None:
    assert sum(name.startswith("bwp") for name in stage.before["devices"]) == 1
    step, seen = 1, []
    while what := engine_dies(stage, command, step, when):
        with stage.host.engine() as engine:
            stage.recover(recovery, "engine")
            engine.sync()
        stage.look(what)
        seen.append(what)
        step += 1
    assert any("netlink [36]" in each for each in seen) == (command == "ADD"), "a queueing discipline is made"
    assert step > 4
    assert not stage.problems, "\n".join(stage.problems)
