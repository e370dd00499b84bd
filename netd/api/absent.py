"""Keys of docker's requests for what this engine does not have: refused by name where they ask for something, so that
nobody believes to have it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from netd.failure import InvalidParameter
from netd.runtime.images.manifest import this_platform

_NOTHING: tuple[object, ...] = (None, False, 0, "", [], {})
"""Go's zero values: what clients send for what nobody said."""

_CONFIG: dict[str, tuple[object, ...]] = {"Healthcheck": ({"Test": []}, {"Test": None}, {"Test": ["NONE"]})}

_HOST_CONFIG: dict[str, tuple[object, ...]] = {
    "LogConfig.Type": ("json-file",),
    "LogConfig.Config": (),
    "VolumeDriver": ("local",),
    "Cgroup": (),
    "Isolation": ("default",),
    "StorageOpt": (),
    "BlkioWeight": (),
    "BlkioWeightDevice": (),
    "BlkioDeviceReadBps": (),
    "BlkioDeviceWriteBps": (),
    "BlkioDeviceReadIOps": (),
    "BlkioDeviceWriteIOps": (),
    "CpuRealtimePeriod": (),
    "CpuRealtimeRuntime": (),
    "DeviceRequests": (),
    "KernelMemory": (),
    "KernelMemoryTCP": (),
    "MemorySwappiness": (-1,),
    "OomKillDisable": (),
    "CpuCount": (),
    "CpuPercent": (),
    "IOMaximumIOps": (),
    "IOMaximumBandwidth": (),
}
_MOUNT: dict[str, tuple[object, ...]] = {
    "BindOptions.NonRecursive": (),
    "BindOptions.ReadOnlyNonRecursive": (),
    "BindOptions.ReadOnlyForceRecursive": (),
    "VolumeOptions.Subpath": (),
    "VolumeOptions.DriverConfig.Name": ("local",),
    "VolumeOptions.DriverConfig.Options": (),
    "TmpfsOptions.Options": (),
    "ImageOptions": (),
    "ClusterOptions": (),
}
"""To the values with which a key, though there, asks for nothing that we do not do."""


def check_create(body: bytes) -> None:
    """Of POST /containers/create; InvalidParameter.  What is no JSON object is the decoder's to refuse."""
    whole = _object(body)
    _refuse(whole, _CONFIG, "")
    host_config = whole.get("HostConfig")
    if not isinstance(host_config, dict):
        return
    _refuse(host_config, _HOST_CONFIG, "HostConfig.")
    mounts = host_config.get("Mounts")
    for number, mount in enumerate(mounts if isinstance(mounts, list) else []):
        if isinstance(mount, dict):
            _refuse(mount, _MOUNT, f"HostConfig.Mounts[{number}].")


def check_update(body: bytes) -> None:
    """Of POST /containers/{id}/update, whose keys are those of a HostConfig."""
    _refuse(_object(body), _HOST_CONFIG, "")


def check_platform(text: str) -> None:
    """`os[/architecture[/variant]]` of a query, or the object that newer clients send; InvalidParameter unless it is
    this machine's."""
    if not text:
        return
    here = this_platform()
    system, architecture, variant = _platform(text)
    processors = (here.architecture, os.uname().machine)
    if (
        system not in ("", here.os)
        or architecture not in ("", *processors)
        or (variant and here.variant and variant != here.variant)
    ):
        raise InvalidParameter(f"platform {text}: only images for {here}, this machine's own, can be run")


def _platform(text: str) -> tuple[str, str, str]:
    if text.startswith("{"):
        found = _object(text.encode())
        return str(found.get("os") or ""), str(found.get("architecture") or ""), str(found.get("variant") or "")
    parts = text.lower().split("/")
    if len(parts) == 1 and parts[0] != "linux":
        parts.insert(0, "")
    system, architecture, variant, *_ = (*parts, "", "")
    return system, architecture, variant


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _refuse(given: Mapping[str, Any], absent: Mapping[str, tuple[object, ...]], place: str) -> None:
    for path, harmless in absent.items():
        value: Any = given
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value not in _NOTHING and value not in harmless:
            said = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            raise InvalidParameter(f"{place}{path} {said}: this engine has no such function")
