"""A real engine in a process of its own, for tests."""

from __future__ import annotations

import _socket
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from launchers import PLAIN, ROOT, call

READY_SECONDS = 20
PROBES = (str(ROOT / "tests" / "probe_engine.py"),)
REAL = ("-m", "netd.engine.main")

CONFIG = b'{"cniVersion": "1.1.0", "name": "net"}'
DEL = {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_PATH": "/opt/cni/bin"}


class EngineProcess:
    """An engine below `directory`, run with `prefix` (such as nsenter) in front; ready when constructed.

    Its standard error is kept in the file `log`.  `passed` is a listening socket to hand over as systemd would."""

    def __init__(
        self,
        directory: Path,
        program: Sequence[str] = PROBES,
        prefix: Sequence[str] = (),
        options: Sequence[str] = (),
        passed: int | None = None,
        python: str = PLAIN,
    ) -> None:
        directory.mkdir(exist_ok=True)
        if passed is not None:
            script = f'exec 3<&{passed}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
            prefix = ("/bin/bash", "-c", script, "-", *prefix)
        self.run_dir = directory / "run"
        self.socket = str(self.run_dir / "cni.sock")
        self.log = directory / "log"
        notify = str(directory / "notify")
        manager = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        manager.bind(notify)
        manager.settimeout(0.05)
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [*prefix, python, *program, "--run-dir", str(self.run_dir), *options],
                    stdin=subprocess.DEVNULL,
                    stderr=log,
                    cwd=ROOT,
                    pass_fds=() if passed is None else (passed,),
                    env={"NOTIFY_SOCKET": notify, "PATH": os.environ["PATH"]},
                )
            self._await_ready(manager)
        finally:
            manager.close()
            os.unlink(notify)

    def _await_ready(self, manager: _socket.socket) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                assert manager.recv(64) == b"READY=1"
                return
            except TimeoutError:
                continue
        self.kill()
        raise AssertionError(f"the engine did not become ready: {self.log.read_text()}")

    @property
    def settings(self) -> dict[str, str]:
        """Launcher settings for callers of this engine."""
        return {"socket": self.socket, "run-dir": str(self.run_dir)}

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, also when it has ended already."""
        self.process.kill()
        self.process.wait(20)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def facts(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """What the probe plugin told."""
    assert done.returncode == 0, (done.stdout, done.stderr)
    told: dict[str, Any] = json.loads(done.stderr)
    return told


def probe(
    launcher: Path, environment: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """One DEL of the probe plugin."""
    return call(launcher, {**DEL, **(environment or {})}, CONFIG, prefix)
