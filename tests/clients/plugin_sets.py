"""What stands in the disposable host's /opt/cni/bin: the Go reference plugins, or ours with their engine."""

import shutil

from .components import component
from .host import Host
from .ours import install_ours

__all__ = ["PLUGIN_SETS", "install_plugins"]

PLUGIN_SETS = ("reference", "ours")
PLUGIN_DIR = "/opt/cni/bin"


def install_plugins(host: Host, plugin_set: str) -> None:
    """Put one plugin set where every client looks for it."""
    if plugin_set == "ours":
        install_ours(host, PLUGIN_DIR)
        return
    for plugin in component("reference").iterdir():
        shutil.copy2(plugin, host.file(f"{PLUGIN_DIR}/{plugin.name}"))
