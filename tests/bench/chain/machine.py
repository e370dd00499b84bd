"""What the figures were measured on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess

from .netavark import program
from .peers import ROOT, reference
from .private_host import BenchError

__all__ = ["host", "machine"]


def host() -> dict[str, str]:
    """Label and text, for the head of the table; no paths and no names of this machine."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "cores": str(os.cpu_count()),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) // 1024} MB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "kernel": platform.release(),
        "system": _field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "python": _said("/usr/bin/python3", "--version").removeprefix("Python "),
    }


def machine() -> dict[str, str]:
    """The same, and what plugins are measured with."""
    return {
        **host(),
        "iptables": _said("iptables", "--version").removeprefix("iptables "),
        "nft": _said("nft", "--version").removeprefix("nftables "),
        "reference plugins": _reference(),
        "netavark": _netavark(),
    }


def _reference() -> str:
    about = subprocess.run([str(reference() / "bridge")], capture_output=True, text=True, check=False, env={})
    return about.stderr.partition("\n")[0].rpartition(" ")[2]


def _netavark() -> str:
    try:
        return _said(str(program()), "--version").removeprefix("netavark ")
    except BenchError:
        return "left out"


def _commit() -> str:
    commit = _said("git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD")
    changed = _said("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with changes" if changed else commit


def _field(path: str, key: str, separator: str = ":") -> str:
    with open(path) as file:
        for line in file:
            name, found, value = line.partition(separator)
            if found and name.strip() == key:
                return value.strip()
    return "unknown"


def _said(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return "not installed"
