"""kill -9 at every step of an ADD and a DEL of macvlan and tap: the next DEL leaves nothing, and the next ADD succeeds
over what a killed one left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_host import Container, CrashHost
from test_kill_each_step import Stage, engine_dies
from test_kill_macspoofchk import NoFlow


class LinkStage(Stage):
    """Containers of a list with one plugin."""

    def __init__(self, host: CrashHost, plugin: str) -> None:
        self.host = host
        host.host.run(["ip", "link", "add", "wire", "type", "veth", "peer", "name", "end"])
        host.host.run(["ip", "link", "set", "wire", "up"])
        ipam = {"type": "host-local", "subnet": "10.1.0.0/16", "dataDir": str(host.leases)}
        plugins = [{"type": plugin, "master": "wire", "mtu": 1400, "ipam": ipam}]
        with host.engine() as engine:
            self.stays = Container(host, "stays", plugins).added()
            self.victim = Container(host, "victim", plugins).added()
            self.victim.deleted()
            engine.sync()
        self.flow = NoFlow()  # type: ignore[assignment]
        self.before = host.snapshot()
        self.problems: list[str] = []


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[[str], LinkStage]]:
    with CrashHost(tmp_path / "crash") as host:
        yield lambda plugin: LinkStage(host, plugin)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize("plugin", ["macvlan", "tap"])
def test_kill_the_engine_at_any_step(stage: Callable[[str], LinkStage], plugin: str, command: str, when: str) -> None:
    scene = stage(plugin)
    step = 1
    while what := engine_dies(scene, command, step, when):
        with scene.host.engine() as engine:
            scene.recover("DEL", "engine")
            engine.sync()
        scene.look(what)
        step += 1
    assert step > (4 if command == "ADD" else 2)
    assert not scene.problems, "\n".join(scene.problems)


def test_an_add_after_a_killed_one(stage: Callable[[str], LinkStage]) -> None:
    """What it left under its temporary name is in nobody's way."""
    scene = stage("macvlan")
    step = renamed = 1
    while what := engine_dies(scene, "ADD", step, "after"):
        with scene.host.engine() as engine:
            if scene.host.devices_in(scene.victim.netns) not in ([], ["eth0"]):
                renamed += 1
                scene.victim.added()
            scene.recover("DEL", "engine")
            engine.sync()
        scene.look(what)
        step += 1
    assert renamed > 1
    assert not scene.problems, "\n".join(scene.problems)
