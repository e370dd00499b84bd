"""Our side: plugins installed the way a user does, with either launcher, and the engine."""

from __future__ import annotations

import sys
from pathlib import Path

from netd.engine import protocol

from .private_host import ENVIRONMENT, BenchError, PrivateHost

__all__ = ["COMMANDS", "SYNC", "ensure_commands", "install", "start_engine"]

SOCKET = "/run/pynet/cni.sock"
SYNC = {"socket": SOCKET, "frame": protocol.frame(protocol.SYNC).hex()}
COMMANDS = Path(sys.executable).parent


def ensure_commands() -> None:
    """BenchError unless this project is installed in the environment the benchmark runs in."""
    missing = [name for name in ("pynet", "pynetd") if not (COMMANDS / name).exists()]
    if missing:
        raise BenchError(f"no {' and '.join(missing)} in {COMMANDS}: run scripts/setup")


def install(host: PrivateHost, *, python_launcher: bool) -> Path:
    """The directory with our plugins in place of the reference's."""
    ensure_commands()
    plugins = host.scratch / "plugins"
    plugins.mkdir()
    options = ["--python-launcher"] if python_launcher else []
    host.run([str(COMMANDS / "pynet"), "install", "--dest", str(plugins), "--no-systemd", *options])
    compiled = (plugins / "bridge").read_bytes().startswith(b"\x7fELF")
    if compiled == python_launcher:
        wanted = "Python" if python_launcher else "C"
        raise BenchError(f"pynet install did not put the {wanted} launcher in place; is there a C compiler?")
    return plugins


def start_engine(host: PrivateHost) -> tuple[int, float]:
    """Start pynetd in the foreground; its pid in the private host, and the seconds until it answered."""
    frame = protocol.frame(protocol.STATUS).hex()
    argv = [str(COMMANDS / "pynetd"), "engine"]
    log = str(host.scratch / "pynetd.log")
    done = host.ask("service", argv=argv, environment=ENVIRONMENT, log=log, socket=SOCKET, frame=frame)
    return done["pid"], done["wall"]
