"""What stands in the disposable host's /opt/cni/bin: the Go reference plugins, or ours with their engine."""

import shutil
import socket
import sys
from pathlib import Path

from .components import component
from .host import Host, Service
from .polling import wait_until

__all__ = ["PLUGIN_SETS", "install_plugins"]

PLUGIN_SETS = ("reference", "ours")
PLUGIN_DIR = "/opt/cni/bin"
ENGINE_SOCKET = "/run/pynet/cni.sock"


def install_plugins(host: Host, plugin_set: str) -> None:
    """Put one plugin set where every client looks for it."""
    if plugin_set == "reference":
        for plugin in component("reference").iterdir():
            shutil.copy2(plugin, host.file(f"{PLUGIN_DIR}/{plugin.name}"))
    else:
        _install_ours(host)


def _install_ours(host: Host) -> None:
    """Install from the environment this test run itself uses, and start the engine as a user without systemd would."""
    commands = Path(sys.executable).parent
    pynet, pynetd = commands / "pynet", commands / "pynetd"
    if not (pynet.exists() and pynetd.exists()):
        raise AssertionError(f"no pynet and pynetd in {commands}: install this project there (pip install -e .)")
    host.run(str(pynet), "install", "--dest", PLUGIN_DIR)
    engine = host.service("pynetd", str(pynetd))
    wait_until(lambda: _accepts(host, engine), f"pynetd to accept on {ENGINE_SOCKET}")


def _accepts(host: Host, engine: Service) -> bool:
    engine.alive()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(host.file(ENGINE_SOCKET)))
        except OSError:
            return False
    return True
