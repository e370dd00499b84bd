"""The contestants, each on a disposable host of its own with the same image, warm."""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import sys
from pathlib import Path
from time import perf_counter

from tests.clients.containerd import image_archive, start_containerd
from tests.clients.host import Host, disposable_host
from tests.clients.image import IMAGE
from tests.clients.nerdctl import Nerdctl
from tests.clients.plugin_sets import install_plugins
from tests.clients.podman import CONTAINERS_CONF, STORAGE_CONF
from tests.clients.polling import wait_until

from ..chain.peers import where
from ..chain.private_host import BenchError

__all__ = ["NETWORKS", "OURS", "Engine", "engines"]

OURS = "pynet"
NETWORKS = ("bridge", "host", "none")
_COMMANDS = Path(sys.executable).parent
_REPOSITORY = Path(__file__).resolve().parents[3]


class Engine:
    """One of them.  `words` are the program and what comes before `run`."""

    def __init__(self, label: str, host: Host, words: list[str], flags: list[str]) -> None:
        self.label, self.host, self.words, self._flags = label, host, words, flags

    def run(self, network: str) -> float:
        """Seconds of one container from nothing to nothing."""
        argv = [*self.words, "run", "--rm", *self._flags, "--network", network, IMAGE, "true"]
        return self.timed(*argv)

    def timed(self, *argv: str) -> float:
        """Seconds of a command in the host; what starting one there costs is in it for everybody."""
        began = perf_counter()
        self.host.run(*argv)
        return perf_counter() - began


def _nerdctl(stack: contextlib.ExitStack) -> Engine:
    host = stack.enter_context(disposable_host())
    install_plugins(host, "reference")
    nerdctl = Nerdctl(host, start_containerd(host, "2.1"))
    nerdctl.load_image()
    return Engine("nerdctl 2.3.5, reference plugins", host, [nerdctl.program], ["--pull=never"])


def _podman(stack: contextlib.ExitStack) -> Engine:
    host = stack.enter_context(disposable_host())
    conf = CONTAINERS_CONF.replace('network_backend = "cni"', 'network_backend = "netavark"')
    host.write("/etc/containers/containers.conf", conf)
    host.write("/etc/containers/storage.conf", STORAGE_CONF.format(root=host.scratch / "podman"))
    host.write("/etc/containers/policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')
    host.run("podman", "load", "--input", str(image_archive(host)))
    version = host.run("podman", "--version").split()[-1]
    return Engine(f"podman {version}, netavark", host, ["podman"], ["--pull=never"])


def _docker(stack: contextlib.ExitStack) -> Engine:
    host = stack.enter_context(disposable_host())
    unpacked = where("peers", "dockerd")
    host.path[:0] = [f"{unpacked}/usr/sbin", f"{unpacked}/usr/bin"]
    host.write("/etc/docker/daemon.json", json.dumps({"exec-opts": ["native.cgroupdriver=cgroupfs"]}))
    roots = ["--data-root", str(host.scratch / "docker"), "--exec-root", "/run/docker-exec"]
    host.service("dockerd", "dockerd", *roots, "--oom-score-adjust", "0", "--storage-driver", "overlay2")
    wait_until(lambda: host.succeeds("docker", "version"), "dockerd to answer", 30)
    host.run("docker", "load", "--input", str(image_archive(host)))
    version = host.run("docker", "version", "--format", "{{.Server.Version}}").strip()
    return Engine(f"docker {version}", host, ["docker"], [])


def _compile() -> None:
    """Bytecode, as an installed package has it; where nobody may write it, every start would compile everything."""
    for package in ("netd", "pycni", "plugins", "launcher"):
        if not compileall.compile_dir(_REPOSITORY / package, quiet=1):
            raise BenchError(f"{package} cannot be compiled")


def _ours(stack: contextlib.ExitStack) -> Engine:
    _compile()
    host = stack.enter_context(disposable_host())
    install_plugins(host, "ours")
    root = host.scratch / "pynet"
    host.service("pynetd-api", str(_COMMANDS / "pynetd"), "api", env={"PYNET_ROOT": str(root)})
    pynet = str(_COMMANDS / "pynet")
    wait_until(lambda: host.succeeds(pynet, "ps"), "pynetd api to answer", 30)
    host.run(pynet, "image", "load", "--input", str(image_archive(host)))
    return Engine(OURS, host, [pynet], [])


def engines(stack: contextlib.ExitStack) -> tuple[list[Engine], list[str]]:
    """Ours first, and notes on who was left out."""
    found, notes = [_ours(stack), _nerdctl(stack)], []
    if os.access("/usr/lib/podman/netavark", os.X_OK):
        found.append(_podman(stack))
    else:
        notes.append("podman was left out: netavark is not installed.")
    try:
        found.append(_docker(stack))
    except BenchError as error:
        notes.append(f"docker was left out: {error}")
    for engine in found:
        for network in NETWORKS:
            engine.run(network)  # makes what a first run makes
    return found, notes
