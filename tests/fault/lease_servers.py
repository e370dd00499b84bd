"""Three ways to run host-local, for tests that mix them on one directory: the reference's binary, our in-process path
(a process for each call), and a resident process (this one, with threads that share an index)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from pycni.kernel.netns import NamespaceMissing
from pycni.settings import Settings
from pycni.skeleton import Host, serve
from pycni_plugins.host_local.plugin import PLUGIN

ROOT = Path(__file__).resolve().parents[2]
NETWORK = "shared"

Server = Callable[[dict[str, str], bytes], tuple[int, bytes]]


@cache
def reference_binary() -> str:
    """Built by scripts/clients, now if it is not there."""
    script = str(ROOT / "scripts/clients")
    told = subprocess.run([script, "--print", "reference"], capture_output=True, text=True, check=False)
    if told.returncode:
        subprocess.run([script, "reference"], check=True, capture_output=True, timeout=1200)
        told = subprocess.run([script, "--print", "reference"], capture_output=True, text=True, check=True)
    return str(Path(told.stdout.strip()) / "host-local")


def _process(command: list[str]) -> Server:
    def run(environment: dict[str, str], stdin: bytes) -> tuple[int, bytes]:
        done = subprocess.run(command, input=stdin, env=environment, capture_output=True, timeout=120, check=False)
        return done.returncode, done.stdout

    return run


def _no_container(path: str) -> Any:
    raise NamespaceMissing(f'failed to Statfs "{path}": no such file or directory')


_HOST = Host(None, None, _no_container, Settings())  # type: ignore[arg-type]


def resident(environment: dict[str, str], stdin: bytes) -> tuple[int, bytes]:
    answer = serve(PLUGIN, environment, lambda: stdin, _HOST)
    return answer.status, answer.stdout


def servers() -> list[Server]:
    in_process = ["/usr/bin/python3", "-I", "-S", str(ROOT / "plugins/oneshot.py"), "host-local"]
    return [_process([reference_binary()]), resident, _process(in_process)]


def call(server: Server, command: str, container: str, data_dir: Path, subnet: str, **more: Any) -> list[str]:
    """The addresses an ADD gave; AssertionError with the plugin's output when it fails."""
    environment = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": "/nowhere",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/nowhere",
    }
    ipam = {"type": "host-local", "subnet": subnet, "dataDir": str(data_dir)}
    config = {"cniVersion": "1.1.0", "name": NETWORK, "ipam": ipam, **more}
    status, stdout = server(environment, json.dumps(config).encode())
    assert status == 0, stdout.decode()
    return [each["address"].split("/")[0] for each in json.loads(stdout)["ips"]] if stdout else []


def leases(data_dir: Path) -> dict[str, str]:
    """Address to owner, as the files say."""
    return {each.name: each.read_text() for each in (data_dir / NETWORK).iterdir() if each.name[0].isdigit()}
