"""kill -9 at every step of an ADD and a DEL of bridge with macspoofchk: the next DEL or GC leaves no rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_host import Container, CrashHost
from test_kill_each_step import Stage, engine_dies


class NoFlow:
    """In the place of a connection, which needs a published port."""

    def assert_alive(self) -> None:
        """There is nothing to ask."""

    def close(self) -> None:
        """There is nothing to close."""


class BridgeStage(Stage):
    """Containers of a list with bridge alone."""

    def __init__(self, host: CrashHost) -> None:
        self.host = host
        ipam = {"type": "host-local", "subnet": "10.1.0.0/16", "dataDir": str(host.leases)}
        plugins = [{"type": "bridge", "bridge": "br0", "isGateway": True, "macspoofchk": True, "ipam": ipam}]
        with host.engine() as engine:
            self.stays = Container(host, "stays", plugins).added()
            self.victim = Container(host, "victim", plugins).added()
            self.victim.deleted()
            engine.sync()
        self.flow = NoFlow()  # type: ignore[assignment]
        self.before = host.snapshot()
        self.problems: list[str] = []


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[BridgeStage]:
    with CrashHost(tmp_path / "crash") as host:
        yield BridgeStage(host)


@pytest.mark.parametrize(("when", "recovery"), [("before", "DEL"), ("after", "GC")])
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_kill_the_engine_at_any_step(stage: BridgeStage, command: str, when: str, recovery: str) -> None:
    assert 'comment "macspoofchk-stays-eth0"' in stage.before["rules"]
    step = 1
    while what := engine_dies(stage, command, step, when):
        with stage.host.engine() as engine:
            stage.recover(recovery, "engine")
            engine.sync()
        stage.look(what)
        step += 1
    assert step > 8
    assert not stage.problems, "\n".join(stage.problems)
