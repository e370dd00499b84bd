"""`HostConfig` of docker's inspect: every key it has, with its idea of what is null, empty or filled in.  Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from netd.runtime.bundle.mounts import DEFAULT_SHM
from netd.runtime.model import Container

_LISTS = ("Dns", "DnsOptions", "DnsSearch", "Devices", "Ulimits")
"""[] where nothing was said; others are null then."""

_OTHERS: dict[str, Any] = {
    "ContainerIDFile": "",
    "LogConfig": {"Type": "json-file", "Config": {}},
    "VolumeDriver": "",
    "Cgroup": "",
    "Isolation": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "DeviceRequests": None,
    "MemorySwappiness": None,
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}
"""What this engine does not have is as docker shows it where it was not asked for."""

_LEFT_OUT = ("Mounts", "Tmpfs", "Sysctls", "Init", "Annotations")
"""Keys that docker leaves out where nothing was said."""


def host_config(
    container: Container, links: list[str], hidden: tuple[list[str] | None, list[str] | None], version_2: bool
) -> dict[str, Any]:
    """`links` as inspect has them, `hidden` the masked and the read-only paths, `version_2` of control groups."""
    found: dict[str, Any] = {**_OTHERS, **msgspec.to_builtins(container.host_config)}
    found["RestartPolicy"]["Name"] = found["RestartPolicy"]["Name"] or "no"
    found["PortBindings"] = found["PortBindings"] or {}
    found["Links"] = links or None
    found["ConsoleSize"] = found["ConsoleSize"] or [0, 0]
    found["IpcMode"] = found["IpcMode"] or "private"
    found["CgroupnsMode"] = found["CgroupnsMode"] or ("private" if version_2 else "host")
    found["Runtime"] = found["Runtime"] or "runc"
    found["OomKillDisable"] = None if version_2 else False
    found["ShmSize"] = found["ShmSize"] or DEFAULT_SHM
    found["PidsLimit"] = found["PidsLimit"] or None
    if found["Memory"] and not found["MemorySwap"]:
        found["MemorySwap"] = 2 * found["Memory"]
    found["MaskedPaths"], found["ReadonlyPaths"] = hidden
    found.update({key: found[key] or [] for key in _LISTS})
    return {key: value for key, value in found.items() if value or key not in _LEFT_OUT}
