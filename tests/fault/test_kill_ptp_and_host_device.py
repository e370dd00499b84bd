"""kill -9 at every step of an ADD and a DEL of ptp and of host-device: the next DEL, or GC, leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_host import Container, CrashHost
from test_kill_each_step import Stage, engine_dies
from test_kill_macspoofchk import NoFlow


class PtpStage(Stage):
    """Containers of a list with ptp alone."""

    def __init__(self, host: CrashHost, backend: str) -> None:
        self.host = host
        ranges = [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/64"}]]
        ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(host.leases)}
        plugins = [{"type": "ptp", "ipMasq": True, "ipMasqBackend": backend, "ipam": ipam}]
        with host.engine() as engine:
            self.stays = Container(host, "stays", plugins).added()
            self.victim = Container(host, "victim", plugins).added()
            self.victim.deleted()
            engine.sync()
        self.flow = NoFlow()  # type: ignore[assignment]
        self.before = host.snapshot()
        self.problems: list[str] = []


class DeviceStage(Stage):
    """A container for the one device of a list with host-device alone."""

    def __init__(self, host: CrashHost) -> None:
        self.host = host
        ipam = {"type": "host-local", "subnet": "10.1.0.0/16", "dataDir": str(host.leases)}
        plugins: list[dict[str, Any]] = [{"type": "host-device", "device": "ens5", "ipam": ipam}]
        host.host.run(["ip", "link", "add", "ens5", "type", "veth", "peer", "name", "behind"])
        with host.engine() as engine:
            self.victim = Container(host, "victim", plugins).added()
            self.victim.deleted()
            engine.sync()
        self.flow = NoFlow()  # type: ignore[assignment]
        self.before = host.snapshot()
        self.problems: list[str] = []


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CrashHost]:
    with CrashHost(tmp_path / "crash") as made:
        yield made


def kill_at_every_step(stage: Stage, command: str, when: str, recovery: str) -> int:
    """How many steps there were."""
    step = 1
    while what := engine_dies(stage, command, step, when):
        with stage.host.engine() as engine:
            stage.recover(recovery, "engine")
            engine.sync()
        stage.look(what)
        step += 1
    assert not stage.problems, "\n".join(stage.problems)
    return step


@pytest.mark.parametrize(("backend", "when", "recovery"), [("nftables", "before", "DEL"), ("iptables", "after", "GC")])
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_ptp(host: CrashHost, command: str, backend: str, when: str, recovery: str) -> None:
    assert kill_at_every_step(PtpStage(host, backend), command, when, recovery) > 8


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_host_device(host: CrashHost, command: str, when: str) -> None:
    """GC knows no namespace that a device could be in; DEL does."""
    stage = DeviceStage(host)
    assert "ens5" in stage.before["devices"]
    assert kill_at_every_step(stage, command, when, "DEL") > 4
