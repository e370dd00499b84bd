"""The system calls a container may make, resolved from a profile such as containers/common and docker have.

A profile's rules depend on the processor, on the container's capabilities and on the kernel; runc wants the rules that
remain.  The resolution is kept for each set of capabilities, as hardly two containers differ in them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from typing import Any

from netd.failure import Failure, InvalidParameter
from netd.runtime.bundle.host import Host
from netd.runtime.bundle.narrowing import narrowed

_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "i686": ("x86", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "armv6l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
}


_X32 = "SCMP_ARCH_X32"
"""Left out where the kernel has none: it is a third of the filter, and runc makes the filter anew for each container
(5 ms of CPU at 480 calls).  Who makes such a call then is killed; no x32 program can have been started there."""


class Profiles:
    """Resolved profiles of one file, the machine's own, as narrow as docker's; safe for threads."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._profile: Mapping[str, Any] | None = None
        self._resolved: dict[frozenset[str], dict[str, Any]] = {}

    def get(self, capabilities: Collection[str], host: Host) -> dict[str, Any]:
        """`linux.seccomp` for a container with these; to be left unchanged.  Failure: there is no such file."""
        key = frozenset(capabilities)
        with self._lock:
            if self._profile is None:
                self._profile = _read(self._path)
            if key not in self._resolved:
                self._resolved[key] = narrowed(resolve(self._profile, key, host), key, host.machine)
            return self._resolved[key]


def parse(text: str, flag: str) -> Mapping[str, Any]:
    """A profile given with `flag`, as docker's client sends it: its text.  InvalidParameter: none such."""
    try:
        profile = json.loads(text)
    except ValueError as error:
        raise InvalidParameter(f"{flag}: decoding the seccomp profile failed: {error}") from error
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise InvalidParameter(f"{flag}: the seccomp profile has no defaultAction")
    if profile.get("architectures") and profile.get("archMap"):
        raise InvalidParameter(f"{flag}: use either 'architectures' or 'archMap' in the seccomp profile, not both")
    return profile


def resolve(profile: Mapping[str, Any], capabilities: Collection[str], host: Host) -> dict[str, Any]:
    """`linux.seccomp` of the OCI runtime specification."""
    name, native = _ARCHITECTURES.get(host.machine, (host.machine, ""))
    rules = [
        _rule(rule)
        for rule in profile.get("syscalls") or []
        if _applies(rule.get("includes") or {}, rule.get("excludes") or {}, name, capabilities, host.kernel)
    ]
    resolved: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": [each for each in _architectures(profile, native) if host.x32 or each != _X32],
        "syscalls": rules,
    }
    if profile.get("defaultErrnoRet") is not None:
        resolved["defaultErrnoRet"] = profile["defaultErrnoRet"]
    if profile.get("flags"):
        resolved["flags"] = profile["flags"]
    return resolved


def _read(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as stream:
            return parse(stream.read(), path)
    except OSError as error:
        raise Failure(
            f"reading the seccomp profile {path}: {error.strerror}; Debian has it in golang-github-containers-common, "
            "and --security-opt seccomp=unconfined does without"
        ) from error


def _applies(
    includes: Mapping[str, Any],
    excludes: Mapping[str, Any],
    architecture: str,
    capabilities: Collection[str],
    kernel: tuple[int, int],
) -> bool:
    if architecture in (excludes.get("arches") or []):
        return False
    if any(each in capabilities for each in excludes.get("caps") or []):
        return False
    if excludes.get("minKernel") and kernel >= _version(excludes["minKernel"]):
        return False
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if not all(each in capabilities for each in includes.get("caps") or []):
        return False
    return not includes.get("minKernel") or kernel >= _version(includes["minKernel"])


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    resolved = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        resolved["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        resolved["args"] = rule["args"]
    return resolved


def _architectures(profile: Mapping[str, Any], native: str) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    for entry in profile.get("archMap") or []:
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or [])]
    return [native] if native else []


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor.partition(".")[0] or 0)
