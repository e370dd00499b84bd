"""`mounts` of the OCI runtime specification: docker's own ones, the three generated files, and what the user asks for.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from netd.runtime.bundle.host import Host
from netd.runtime.bundle.points import TMPFS, Point
from netd.runtime.model import HostConfig
from netd.runtime.opened import Opened

DEFAULT_SHM = 64 << 20
"""Bytes."""

INIT = "/sbin/docker-init"
"""Where --init's program is seen in the container."""

_TREES = ("/dev", "/sys")


def mounts(
    wanted: HostConfig, opened: Opened, points: Sequence[Point], source_of: Callable[[Point], str], host: Host
) -> list[dict[str, Any]]:
    """In the order in which they are mounted."""
    generated = [mount for mount in _generated(wanted, opened) if mount["destination"] not in _targets(points)]
    init = [_bind(host.init, INIT, True, "rprivate", host)] if wanted.init else []
    own = [mount for mount in _own(wanted) if not any(_covers(point.target, mount["destination"]) for point in points)]
    return [*own, *generated, *init, *(_wanted(point, source_of(point), host) for point in points)]


def _own(wanted: HostConfig) -> list[dict[str, Any]]:
    access = "rw" if wanted.privileged else "ro"
    plain = ["nosuid", "noexec", "nodev"]
    size = wanted.shm_size or DEFAULT_SHM
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    return [
        _mount("/proc", "proc", "proc", plain),
        _mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("/dev/pts", "devpts", "devpts", terminals),
        _mount("/sys", "sysfs", "sysfs", [*plain, access]),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", [access, *plain]),
        _mount("/dev/mqueue", "mqueue", "mqueue", plain),
        _mount("/dev/shm", "tmpfs", "shm", [*plain, "mode=1777", f"size={size}"]),
    ]


def _generated(wanted: HostConfig, opened: Opened) -> list[dict[str, Any]]:
    access = "ro" if wanted.readonly_rootfs else "rw"
    return [
        _mount(target, "bind", source, ["rbind", "rprivate", access])
        for target, source in (
            ("/etc/resolv.conf", opened.resolv_conf),
            ("/etc/hostname", opened.hostname_file),
            ("/etc/hosts", opened.hosts),
        )
        if source
    ]


def _wanted(point: Point, source: str, host: Host) -> dict[str, Any]:
    if point.kind == TMPFS:
        return _mount(point.target, "tmpfs", "tmpfs", list(point.options))
    return _bind(source, point.target, point.read_only, point.propagation or "rprivate", host)


def _bind(source: str, target: str, read_only: bool, propagation: str, host: Host) -> dict[str, Any]:
    access = ["rw"] if not read_only else ["ro", "rro"] if host.recursive_read_only else ["ro"]
    return _mount(target, "bind", source, ["rbind", *access, propagation])


def _mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": options}


def _targets(points: Iterable[Point]) -> set[str]:
    return {point.target for point in points}


def _covers(target: str, destination: str) -> bool:
    """Whoever mounts a /dev or /sys of his own wants nothing of ours in it."""
    return destination == target or (target in _TREES and destination.startswith(f"{target}/"))
