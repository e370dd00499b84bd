"""What can be wrong with a container before anything is done for it (contract docker 4.3).  Pure but for `Host`."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping

from netd.failure import InvalidParameter, Unavailable
from netd.runtime.bundle import capabilities
from netd.runtime.bundle.devices import check_devices, control_rules
from netd.runtime.bundle.host import Host, this_host
from netd.runtime.bundle.limits import check_limits
from netd.runtime.bundle.points import BIND, points
from netd.runtime.bundle.security import security
from netd.runtime.images.manifest import this_platform
from netd.runtime.images.model import Image
from netd.runtime.model import ContainerConfig, HostConfig
from netd.runtime.sysctl_keys import dotted

_NO_ID = ""
_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "domainname")
)
_SYSCTL_TREES = ("net.", "fs.mqueue.")


def check(config: ContainerConfig, host_config: HostConfig, image: Image, host: Host | None = None) -> list[str]:
    """Warnings; InvalidParameter with docker's text names what is wrong."""
    host = host or this_host()
    _check_process(config)
    capabilities.normalised(host_config.cap_add or [], host.capabilities, "CapAdd")
    capabilities.normalised(host_config.cap_drop or [], host.capabilities, "CapDrop")
    check_devices(host_config.devices or [])
    control_rules(host_config.device_cgroup_rules or [])
    options = security(host_config.security_opt or [])
    _check_sysctls(host_config.sysctls or {})
    if host_config.uts_mode not in ("", "host"):
        raise InvalidParameter(f"invalid UTS mode: {host_config.uts_mode}")
    _check_cgroup_parent(host_config.cgroup_parent)
    _check_absent(host_config, host)
    for point in points(_NO_ID, config, host_config):
        if point.kind == BIND and not point.make_source and not os.path.lexists(point.source):
            raise InvalidParameter(
                f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
            )
    if host_config.init and not host.init:
        raise Unavailable("--init: none of docker-init, catatonit and tini-static is installed")
    warnings = check_limits(host_config, host)
    if options.labels and options.labels != ("disable",):
        warnings.append("--security-opt label: SELinux labels are not set by this engine")
    return warnings + _platform_warning(image)


def _check_absent(wanted: HostConfig, host: Host) -> None:
    """What docker has and we do not is refused, where it would make a difference."""
    for flag, asked, ours in (
        ("--ipc", wanted.ipc_mode, ("", "private", "shareable")),
        ("--pid", wanted.pid_mode, ("",)),
        ("--userns", wanted.userns_mode, ("", "host")),
        ("--cgroupns", wanted.cgroupns_mode, ("", "private" if host.cgroup_version == 2 else "host")),
        ("--runtime", wanted.runtime, ("", "runc")),
        ("--volumes-from", ",".join(wanted.volumes_from or ()), ("",)),
    ):
        if asked not in ours:
            raise InvalidParameter(f"{flag} {asked}: this engine has no such function")


def _check_process(config: ContainerConfig) -> None:
    if config.working_dir and not posixpath.isabs(config.working_dir):
        raise InvalidParameter(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    for variable in config.env or []:
        if not variable.partition("=")[0]:
            raise InvalidParameter(f"invalid environment variable: {variable}")
    for text in (config.working_dir, config.user, *(config.env or []), *(config.entrypoint or []), *(config.cmd or [])):
        if "\0" in text:
            raise InvalidParameter(f"{text!r} holds a null character")


def _check_sysctls(wanted: Mapping[str, str]) -> None:
    """Those of a namespace; what is said of the network's is the sandbox's business."""
    for key, value in wanted.items():
        name = dotted(key)
        if name not in _SYSCTLS and not name.startswith(_SYSCTL_TREES):
            raise InvalidParameter(f"sysctl '{key}={value}' is not allowed")


def _check_cgroup_parent(parent: str) -> None:
    if any(part in ("..", ".") for part in parent.split("/")):
        raise InvalidParameter(f"invalid cgroup parent: {parent}")


def _platform_warning(image: Image) -> list[str]:
    here = this_platform()
    if not image.architecture or image.architecture == here.architecture:
        return []
    asked = "/".join(part for part in (image.os, image.architecture, image.variant) if part)
    return [
        f"The requested image's platform ({asked}) does not match the detected host platform ({here}) and no specific "
        "platform was requested"
    ]
