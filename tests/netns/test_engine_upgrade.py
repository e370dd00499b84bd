"""The engine goes on with the version it was started with, whatever happens to its installed files."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import PrivateNetns
from engine_process import REAL, EngineProcess
from launchers import ROOT, call, install, telltale

from netd.engine import client

PACKAGES = {"pycni": "pycni", "plugins": "pycni_plugins", "netd": "netd"}
IPAM = {"type": "host-local", "subnet": "10.99.0.0/24"}
NETWORKS = {
    "bridge": {"type": "bridge", "bridge": "up0", "isGateway": True, "ipMasq": True, "ipam": IPAM},
    "firewall": {"type": "firewall", "ingressPolicy": "same-bridge"},
    "portmap": {
        "type": "portmap",
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
    },
    "tuning": {"type": "tuning", "mtu": 1400, "mac": "02:00:00:00:00:01"},
}
OTHER = 'raise RuntimeError("this is of another version")\n'


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A copy of what is installed."""
    for source, name in PACKAGES.items():
        shutil.copytree(
            ROOT / source, tmp_path / "lib" / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path / "lib"


@pytest.fixture
def engine(tmp_path: Path, netns: Callable[[], PrivateNetns], installed: Path) -> Iterator[EngineProcess]:
    prefix = ("/usr/bin/nsenter", f"--net={netns().path}", "--", "/usr/bin/env", "--chdir", str(installed))
    made = EngineProcess(tmp_path / "engine", REAL, prefix)
    yield made
    made.kill()


def replace_all(installed: Path) -> None:
    files = [path for path in installed.rglob("*.py") if path.is_file()]
    assert len(files) > 200
    for path in files:
        new = path.with_suffix(".new")
        new.write_text(OTHER)
        new.rename(path)
    for cache in list(installed.rglob("__pycache__")):
        shutil.rmtree(cache)


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_calls_are_served_by_the_version_that_was_started(
    engine: EngineProcess, installed: Path, tmp_path: Path, netns: Callable[[], PrivateNetns], backend: str
) -> None:
    replace_all(installed)
    settings = {**engine.settings, "entry": telltale(tmp_path / "telltale")}
    plugins = install("c", tmp_path / "plugins", settings, (*NETWORKS, "host-local"))
    # the caller's place is the engine's
    prefix = ("/usr/bin/nsenter", f"--target={engine.process.pid}", "--net", "--")
    container = netns()
    environment = {
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": container.path,
        "CNI_PATH": str(plugins),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    previous: object = None
    for name, network in NETWORKS.items():
        config = {"cniVersion": "1.0.0", "name": "net", **network}
        config |= {"backend": backend} if name != "bridge" else {"ipMasqBackend": backend, "dataDir": str(tmp_path)}
        if previous is not None:
            config["prevResult"] = previous
        else:
            config["ipam"] = {**IPAM, "dataDir": str(tmp_path / "leases")}
        done = call(plugins / name, {**environment, "CNI_COMMAND": "ADD"}, json.dumps(config).encode(), prefix)
        assert done.returncode == 0, (name, done.stdout, done.stderr, engine.log.read_text())
        previous = json.loads(done.stdout)
        for verb in ("CHECK", "DEL"):
            if verb == "DEL" and name == "bridge":
                continue  # the others need its interface
            again = json.dumps({**config, "prevResult": previous}).encode()
            done = call(plugins / name, {**environment, "CNI_COMMAND": verb}, again, prefix)
            assert done.returncode == 0, (name, verb, done.stdout, done.stderr, engine.log.read_text())
    served = client.status(engine.socket)["calls"]
    assert {each["outcome"] for each in served} == {"succeeded"}


def test_no_program_of_another_version_is_started(engine: EngineProcess, installed: Path, tmp_path: Path) -> None:
    """A caller in other namespaces would need the helper: it is told to serve itself, and the operator to restart."""
    replace_all(installed)
    settings = {**engine.settings, "entry": telltale(tmp_path / "telltale")}
    plugins = install("c", tmp_path / "plugins", settings, ("host-local",))
    environment = {
        "CNI_COMMAND": "DEL",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": str(plugins),
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }
    config = json.dumps({"cniVersion": "1.0.0", "name": "net", "type": "host-local", "ipam": IPAM}).encode()
    words = ["nsenter", f"--target={engine.process.pid}", "--net", "--", "unshare", "--mount", "--"]
    words += ["sh", "-c", f"mount -t tmpfs none /var/lib && exec {plugins}/host-local"]
    done = subprocess.run(words, input=config, capture_output=True, env=environment, check=False)
    assert done.returncode == 7, (done.stdout, done.stderr)  # the telltale: in-process
    assert "has changed since this engine was started: restart it" in engine.log.read_text()
    assert client.status(engine.socket)["calls"][0]["outcome"] == "not mine"
