"""_ping, version and info (contract docker 4.1)."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from netd import VERSION
from netd.api.core import Core
from netd.api.exchange import Call
from netd.api.reply import API_VERSION, MIN_API_VERSION, TEXT, Reply, json_reply, version_text
from netd.api.router import Route
from netd.networks.host import host_seed
from pycni_plugins import NAMES

_NO_CACHE = (
    ("Builder-Version", ""),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_SWARM = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}


def ping(_call: Call) -> Reply:
    return Reply(200, b"OK", TEXT, _NO_CACHE)


def version(_call: Call) -> Reply:
    kernel = os.uname()
    shared = {
        "ApiVersion": version_text(API_VERSION),
        "Arch": _ARCHITECTURES.get(kernel.machine, kernel.machine),
        "BuildTime": "",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel.release,
        "MinAPIVersion": version_text(MIN_API_VERSION),
        "Os": "linux",
    }
    engine = {"Name": "Engine", "Version": VERSION, "Details": {**shared, "Experimental": "false"}}
    return json_reply({"Platform": {"Name": "pynet"}, "Components": [engine], "Version": VERSION, **shared})


class System:
    """The machine as `docker info` shows it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.routes = (
            Route("GET", "/_ping", ping),
            Route("GET", "/version", version),
            Route("GET", "/info", self.info),
        )

    def info(self, _call: Call) -> Reply:
        states = [each.state.status for each in self._core.containers.list()]
        kernel = os.uname()
        runc = {"path": shutil.which(self._core.runtime.runc) or self._core.runtime.runc}
        return json_reply(
            {
                "ID": sha256(host_seed()).hexdigest(),
                "Containers": len(states),
                "ContainersRunning": sum(state in ("running", "restarting") for state in states),
                "ContainersPaused": states.count("paused"),
                "ContainersStopped": sum(state in ("created", "exited", "dead") for state in states),
                "Images": len(self._core.images.list()),
                "Name": kernel.nodename,
                "KernelVersion": kernel.release,
                "Architecture": kernel.machine,
                "OperatingSystem": _release().get("PRETTY_NAME", "Linux"),
                "OSVersion": _release().get("VERSION_ID", ""),
                "SystemTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
                "DockerRootDir": self._core.runtime.root,
                "Runtimes": {"runc": runc},
                "RuncCommit": {"ID": _runc_version(runc["path"])},
                "FirewallBackend": {"Driver": "auto", "Info": []},
                "NFd": len(os.listdir("/proc/self/fd")),
                **_memory(),
                **_FIXED,
            }
        )


_FIXED: dict[str, Any] = {
    "Driver": "overlay2",
    "DriverStatus": [],
    "Plugins": {"Volume": ["local"], "Network": list(NAMES), "Authorization": None, "Log": ["json-file"]},
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsPeriod": True,
    "CpuCfsQuota": True,
    "CPUShares": True,
    "CPUSet": True,
    "PidsLimit": True,
    "IPv4Forwarding": True,
    "BridgeNfIptables": True,
    "BridgeNfIp6tables": True,
    "OomKillDisable": False,
    "Debug": False,
    "NGoroutines": 0,
    "NEventsListener": 0,
    "LoggingDriver": "json-file",
    "CgroupDriver": "cgroupfs",
    "CgroupVersion": "1" if os.path.isdir("/sys/fs/cgroup/memory") else "2",
    "OSType": "linux",
    "IndexServerAddress": "https://index.docker.io/v1/",
    "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
    "NCPU": os.cpu_count(),
    "GenericResources": None,
    "HttpProxy": "",
    "HttpsProxy": "",
    "NoProxy": "",
    "Labels": [],
    "ExperimentalBuild": False,
    "ServerVersion": VERSION,
    "DefaultRuntime": "runc",
    "Swarm": _SWARM,
    "LiveRestoreEnabled": True,
    "Isolation": "",
    "InitBinary": "",
    "ContainerdCommit": {"ID": ""},
    "InitCommit": {"ID": ""},
    "SecurityOptions": ["name=seccomp,profile=builtin"],
    "Warnings": None,
}


def _memory() -> dict[str, int]:
    return {"MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")}


def _release() -> dict[str, str]:
    """os-release(5)."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            pairs = [line.strip().partition("=") for line in file]
    except OSError:
        return {}
    return {name: value.strip("\"'") for name, _, value in pairs}


def _runc_version(path: str) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].removeprefix("runc version ")
