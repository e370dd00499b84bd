"""config.json for runc, with docker's defaults; and the process of an exec.  Pure but for what is read of the root file
system (users), of the machine (`Host`) and of the seccomp profile, both of which are kept."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from netd.runtime.bundle import capabilities
from netd.runtime.bundle.devices import chosen_devices, control_rules, host_devices
from netd.runtime.bundle.environment import environment
from netd.runtime.bundle.host import Host, this_host
from netd.runtime.bundle.inside import read_inside
from netd.runtime.bundle.limits import resources, rlimits
from netd.runtime.bundle.mounts import INIT, mounts
from netd.runtime.bundle.points import points
from netd.runtime.bundle.seccomp import Profiles, resolve
from netd.runtime.bundle.security import DEFAULT_PROFILE, Security, security
from netd.runtime.bundle.users import User, find_user
from netd.runtime.bundle.volumes import source_of
from netd.runtime.images.model import Image
from netd.runtime.model import Container, ExecOptions, HostConfig
from netd.runtime.opened import Opened
from netd.runtime.places import RuntimePlaces
from netd.runtime.sysctl_keys import dotted

CGROUP_PARENT = "/pynet"

_VERSION = "1.0.2"
_LARGEST_FILE = 4 << 20
"""Bytes of a passwd or group file: longer ones are cut."""

_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def spec(
    container: Container, image: Image, rootfs: str, opened: Opened, places: RuntimePlaces, host: Host | None = None
) -> dict[str, Any]:
    """config.json.  `rootfs` is what `mount_rootfs` gave.  InvalidParameter: no such user or group in the image;
    Failure: no seccomp profile.  `image` is for a configuration that was not merged with it at create."""
    host = host or this_host()
    wanted = container.host_config
    allowed = _allowed(container, host)
    found: dict[str, Any] = {
        "ociVersion": _VERSION,
        "process": _process(container, image, opened, rootfs, allowed, host),
        "root": {"path": rootfs, "readonly": wanted.readonly_rootfs},
        "mounts": mounts(
            wanted,
            opened,
            points(container.id, container.config, wanted),
            lambda point: source_of(places, point),
            host,
        ),
        "linux": _linux(container, opened, places, allowed, host),
    }
    if wanted.uts_mode != "host":
        found["hostname"] = opened.hostname
    if wanted.annotations:
        found["annotations"] = wanted.annotations
    return found


def process_spec(
    container: Container,
    image: Image,
    options: ExecOptions,
    rootfs: str,
    opened: Opened,
    host: Host | None = None,
) -> dict[str, Any]:
    """process.json for `runc exec --process`: as the container's own process, but for what `options` say."""
    host = host or this_host()
    config, wanted = container.config, container.host_config
    allowed = capabilities.names(host.capabilities) if options.privileged else _allowed(container, host)
    user = _user(rootfs, options.user or config.user or image.config.user, wanted.group_add or [])
    own = [*_own_environment(container, image), *(options.env or [])]
    return _assembled(
        terminal=options.tty,
        user=user,
        args=options.cmd or [],
        env=environment(opened.hostname, options.tty, opened.environment, own),
        cwd=options.working_dir or config.working_dir or image.config.working_dir or "/",
        allowed=allowed,
        container=container,
        host=host,
    )


def _process(
    container: Container, image: Image, opened: Opened, rootfs: str, allowed: list[str], host: Host
) -> dict[str, Any]:
    config, wanted = container.config, container.host_config
    return _assembled(
        terminal=config.tty,
        user=_user(rootfs, config.user or image.config.user, wanted.group_add or []),
        args=[*([INIT, "--"] if wanted.init else []), *container.argv],
        env=environment(opened.hostname, config.tty, opened.environment, _own_environment(container, image)),
        cwd=config.working_dir or image.config.working_dir or "/",
        allowed=allowed,
        container=container,
        host=host,
    )


def _assembled(
    *,
    terminal: bool,
    user: User,
    args: list[str],
    env: list[str],
    cwd: str,
    allowed: list[str],
    container: Container,
    host: Host,
) -> dict[str, Any]:
    wanted = container.host_config
    options = security(wanted.security_opt or [])
    found: dict[str, Any] = {
        "terminal": terminal,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": args,
        "env": env,
        "cwd": cwd,
        "capabilities": _capability_sets(user, allowed),
        "noNewPrivileges": options.no_new_privileges,
        "rlimits": rlimits(wanted),
    }
    if options.apparmor and host.apparmor and not wanted.privileged:  # docker, too, takes no notice without it
        found["apparmorProfile"] = options.apparmor
    if (score := _oom_score(wanted.oom_score_adj, host)) is not None:
        found["oomScoreAdj"] = score
    return found


def _linux(
    container: Container, opened: Opened, places: RuntimePlaces, allowed: list[str], host: Host
) -> dict[str, Any]:
    wanted = container.host_config
    parent = wanted.cgroup_parent.strip("/")
    nodes, rules = (host_devices(), []) if wanted.privileged else chosen_devices(wanted.devices or [])
    found: dict[str, Any] = {
        "cgroupsPath": f"/{parent}/{container.id}" if parent else f"{CGROUP_PARENT}/{container.id}",
        "namespaces": _namespaces(container, opened, host),
        "resources": {
            **resources(wanted, host),
            # runc adds the harmless ones (null, zero, full, random, tty, ptys)
            "devices": [
                {"allow": wanted.privileged, "access": "rwm"},
                *rules,
                *control_rules(wanted.device_cgroup_rules or []),
            ],
        },
        "devices": nodes,
        "sysctl": _sysctls(container),
        **_hidden(container, host),
    }
    if not wanted.privileged:
        profile = _seccomp(security(wanted.security_opt or []), places, allowed, host)
        if profile is not None:
            found["seccomp"] = profile
    return found


def _namespaces(container: Container, opened: Opened, host: Host) -> list[dict[str, str]]:
    kinds = ["mount", "pid", "ipc"]
    if container.host_config.uts_mode != "host":
        kinds.append("uts")
    if host.cgroup_version == 2:  # also with --privileged, as docker
        kinds.append("cgroup")
    found = [{"type": kind} for kind in kinds]
    return [*found, {"type": "network", "path": opened.netns}] if opened.netns else found


def hidden_paths(wanted: HostConfig, host: Host | None = None) -> tuple[list[str] | None, list[str] | None]:
    """Paths that are masked, and those that are read-only; None with --privileged."""
    if wanted.privileged:
        return None, None
    host = host or this_host()
    masked = list(_MASKED) + list(host.thermal) if wanted.masked_paths is None else wanted.masked_paths
    return masked, list(_READ_ONLY) if wanted.readonly_paths is None else wanted.readonly_paths


def _hidden(container: Container, host: Host) -> dict[str, list[str]]:
    masked, read_only = hidden_paths(container.host_config, host)
    return {} if masked is None or read_only is None else {"maskedPaths": masked, "readonlyPaths": read_only}


def _sysctls(container: Container) -> dict[str, str]:
    """Those of the network are the sandbox's, which sets them where its namespace is made."""
    asked = {dotted(name): value for name, value in (container.host_config.sysctls or {}).items()}
    found = {name: value for name, value in asked.items() if not name.startswith("net.")}
    if container.config.domainname and container.host_config.uts_mode != "host":
        # runc's way to setdomainname(2)
        found.setdefault("kernel.domainname", container.config.domainname)
    return found


def _seccomp(options: Security, places: RuntimePlaces, allowed: list[str], host: Host) -> Mapping[str, Any] | None:
    if options.seccomp is DEFAULT_PROFILE:
        return _profiles(places.seccomp_profile).get(allowed, host)
    return None if options.seccomp is None else resolve(options.seccomp, allowed, host)


@functools.cache
def _profiles(path: str) -> Profiles:
    return Profiles(path)


def _allowed(container: Container, host: Host) -> list[str]:
    wanted = container.host_config
    return capabilities.effective(wanted.cap_add or [], wanted.cap_drop or [], wanted.privileged, host.capabilities)


def _capability_sets(user: User, allowed: list[str]) -> dict[str, list[str]]:
    """None are inheritable (CVE-2022-24769); who is not root gets some only from a program that has them."""
    if user.uid:
        return {"bounding": allowed}
    return {"bounding": allowed, "effective": allowed, "permitted": allowed}


def _user(rootfs: str, wanted: str, groups: list[str]) -> User:
    passwd = read_inside(rootfs, "/etc/passwd", _LARGEST_FILE)
    return find_user(wanted, passwd, read_inside(rootfs, "/etc/group", _LARGEST_FILE), groups)


def _own_environment(container: Container, image: Image) -> list[str]:
    """The container's variables, which have the image's among them since it was created."""
    return container.config.env if container.config.env is not None else image.config.env or []


def _oom_score(wanted: int, host: Host) -> int | None:
    """None to inherit it: who runs with a raised score and may not lower it need not, when nothing was asked."""
    return None if wanted == host.oom_score_adj or (not wanted and host.oom_score_adj > 0) else wanted
