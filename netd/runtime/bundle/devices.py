"""Device nodes of the host that a container gets: with --device some, privileged all."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from netd.failure import InvalidParameter
from netd.runtime.model import Device

_LEFT_OUT = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
"""Directories in /dev that a container has of its own."""

_ALL = "rwm"
_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})", re.ASCII)


def check_devices(wanted: Sequence[Device]) -> None:
    """InvalidParameter in docker's words."""
    for device in wanted:
        if not set(device.cgroup_permissions) <= set(_ALL):
            raise InvalidParameter(f"invalid device mode: {device.cgroup_permissions}")
        if not posixpath.isabs(device.path_in_container or device.path_on_host):
            raise InvalidParameter(f"{device.path_in_container} is not an absolute path")


def control_rules(wanted: Sequence[str]) -> list[dict[str, Any]]:
    """`linux.resources.devices` of --device-cgroup-rule, "c 10:* rwm"; InvalidParameter in docker's words."""
    rules = []
    for text in wanted:
        found = _RULE.fullmatch(text)
        if found is None:
            raise InvalidParameter(f"invalid device cgroup rule format: '{text}'")
        kind, major, minor, access = found.groups()
        numbers = {key: int(value) for key, value in (("major", major), ("minor", minor)) if value != "*"}
        rules.append({"allow": True, "type": kind, **numbers, "access": access})
    return rules


def chosen_devices(wanted: Sequence[Device]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """`linux.devices` and `linux.resources.devices` for --device; of a directory, all nodes in it.  InvalidParameter:
    there is no such node."""
    nodes, rules = [], []
    for device in wanted:
        # /dev/disk/by-id/… are links
        found = _below(os.path.realpath(device.path_on_host), device.path_in_container or device.path_on_host)
        if not found:
            raise InvalidParameter(
                f'error gathering device information while adding custom device "{device.path_on_host}": '
                + ("not a device node" if os.path.exists(device.path_on_host) else "no such file or directory")
            )
        for node in found:
            nodes.append(node)
            numbers = {key: node[key] for key in ("type", "major", "minor")}
            rules.append({"allow": True, **numbers, "access": device.cgroup_permissions or _ALL})
    return nodes, rules


def host_devices(root: str = "/dev") -> list[dict[str, Any]]:
    """`linux.devices` of the OCI runtime specification, but for the console."""
    return _below(root, root)


def _below(path: str, shown: str) -> list[dict[str, Any]]:
    paths = _files(path) if os.path.isdir(path) else [path]
    return [node for each in paths if (node := _node(each, shown + each.removeprefix(path))) is not None]


def _node(path: str, shown: str) -> dict[str, Any] | None:
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    kind = "c" if stat.S_ISCHR(info.st_mode) else "b" if stat.S_ISBLK(info.st_mode) else ""
    if not kind:
        return None
    return {
        "path": shown,
        "type": kind,
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "fileMode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
    }


def _files(directory: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _LEFT_OUT:
                    yield from _files(entry.path)
            elif not entry.is_symlink() and entry.name != "console":
                yield entry.path
