"""`pynetd` starts the DHCP daemon for a caller, again when it is killed, and not when it has ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from engine_process import EngineProcess
from test_supervisor import children, daemon, eventually, is_gone, start

from pycni.spec.request import parse_environment
from pycni_plugins.dhcp import calls
from pycni_plugins.dhcp.daemon import NoDaemon, call

__all__ = ["daemon"]

REQUEST = parse_environment({"CNI_COMMAND": "STATUS", "CNI_PATH": "/opt"})


def answers(process: EngineProcess) -> bool:
    try:
        return call(f"{process.run_dir}/dhcp.sock", calls.STATUS, REQUEST, b"{}") == {}
    except NoDaemon:
        return False


def test_it_runs_when_it_is_called(daemon: EngineProcess) -> None:
    assert "dhcp" not in children(daemon.process.pid)
    assert answers(daemon)
    victim = children(daemon.process.pid)["dhcp"]
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: children(daemon.process.pid).get("dhcp", victim) != victim)
    assert answers(daemon)
    last = children(daemon.process.pid)["dhcp"]
    # as it does when there are no leases
    os.kill(last, signal.SIGTERM)
    assert eventually(lambda: is_gone(last))
    assert eventually(lambda: "dhcp" not in children(daemon.process.pid))
    assert answers(daemon)
    assert daemon.stop() == 0
    assert not answers(daemon)


def test_leases_of_before_have_it_run_at_once(tmp_path: Path) -> None:
    (tmp_path / "pynetd" / "run" / "dhcp").mkdir(parents=True)
    (tmp_path / "pynetd" / "run" / "dhcp" / "lease").touch()
    process = start(tmp_path)
    try:
        assert eventually(lambda: "dhcp" in children(process.process.pid))
        assert answers(process)
    finally:
        assert process.stop() == 0
