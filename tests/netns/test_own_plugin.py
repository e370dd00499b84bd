"""The documented example of a plugin of one's own, executed as a runtime would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "tunnel_mtu.py"


def test_documentation_shows_the_example_as_it_is() -> None:
    assert EXAMPLE.read_text() in (ROOT / "docs" / "writing-plugins.md").read_text()


def test_the_example_is_thirty_lines() -> None:
    assert len([line for line in EXAMPLE.read_text().splitlines() if line.strip()]) <= 30


def _run(netns, command: str, config: dict[str, object]) -> subprocess.CompletedProcess[str]:
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": str(netns.path),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/nowhere",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env=environment,
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=False,
    )


CONFIG = {
    "cniVersion": "1.0.0",
    "name": "net",
    "type": "tunnel-mtu",
    "prevResult": {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0"}]},
}


def test_the_example_serves_every_command(netns) -> None:
    space = netns()
    space.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other"])
    added = _run(space, "ADD", {**CONFIG, "overhead": 60})
    assert (added.returncode, json.loads(added.stdout)) == (0, CONFIG["prevResult"])
    assert "mtu 1440" in space.run(["ip", "link", "show", "eth0"]).stdout
    assert _run(space, "CHECK", {**CONFIG, "overhead": 60}).returncode == 0
    failed = _run(space, "CHECK", {**CONFIG, "overhead": 100})
    assert json.loads(failed.stdout)["msg"] == "tunnel-mtu: eth0 has no room for 100 bytes"
    assert _run(space, "DEL", CONFIG).returncode == 0
    assert "0.4.0" in _run(space, "VERSION", CONFIG).stdout


def test_a_bad_key_is_named(netns) -> None:
    space = netns()
    space.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "other"])
    refused = _run(space, "ADD", {**CONFIG, "overhead": 5000})
    assert refused.returncode == 1
    assert "'overhead': 5000 is not between 1 and 999 bytes" in json.loads(refused.stdout)["msg"]
    assert "mtu 1500" in space.run(["ip", "link", "show", "eth0"]).stdout
    assert os.path.exists(space.path)
