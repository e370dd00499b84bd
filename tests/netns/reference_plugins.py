"""The reference CNI plugins, run as a runtime would run them."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from firewall_spaces import Space

ROOT = Path(__file__).resolve().parents[2]


@cache
def directory() -> Path:
    """Where scripts/clients built the reference plugins; built now if they are not there."""
    script = str(ROOT / "scripts/clients")
    found = Path(
        subprocess.run([script, "--print", "reference"], capture_output=True, text=True, check=True).stdout.strip()
    )
    if not (found / "portmap").exists():
        subprocess.run([script, "reference"], check=True, capture_output=True, timeout=1200)
    return found


def call(
    space: Space, plugin: str, command: str, container_id: str, config: dict[str, Any], netns: str, ifname: str = "eth0"
) -> dict[str, Any]:
    """Run a plugin in a namespace; its result.  AssertionError with its output when it fails."""
    env = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container_id,
        "CNI_NETNS": netns,
        "CNI_IFNAME": ifname,
        "CNI_PATH": str(directory()),
    }
    done = space.run(str(directory() / plugin), stdin=json.dumps(config), env=env)
    return json.loads(done.stdout) if done.stdout else {}
