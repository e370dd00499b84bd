"""`--sysctl` and the endpoint option of the same purpose: which, where and when (contract docker 1.4, 1.6).  Pure."""

from __future__ import annotations

from collections.abc import Mapping

from netd.failure import InvalidParameter
from netd.runtime.sysctl_keys import dotted
from pycni.record import Record

OPTION = "com.docker.network.endpoint.sysctls"

DEFAULTS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""As docker: ports below 1024 and ping need no privilege in a namespace of one's own."""

_PER_INTERFACE = (("net", "ipv4", "conf"), ("net", "ipv4", "neigh"), ("net", "ipv6", "conf"), ("net", "ipv6", "neigh"))
_NOT_INTERFACES = ("all", "default")
_FAMILIES = ("ipv4", "ipv6", "mpls")


class Setting(Record):
    """`path` is below /proc/sys; `ifname` whose it is, "" for the namespace's own."""

    key: str
    path: str
    value: str
    ifname: str = ""


def of_namespace(given: Mapping[str, str], privileged: bool) -> tuple[Setting, ...]:
    """The `net.` ones of `--sysctl`, with docker's defaults; others are the runtime's business.
    InvalidParameter names a key that leads elsewhere."""
    wanted = {} if privileged else dict(DEFAULTS)
    wanted.update((dotted(key), value) for key, value in given.items() if dotted(key).startswith("net."))
    return tuple(_setting(key, value) for key, value in wanted.items())


def _setting(key: str, value: str) -> Setting:
    parts = [part.replace("/", ".") for part in key.split(".")]
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise InvalidParameter(f"--sysctl {key}: is no name of a setting")
    ifname = ""
    if tuple(parts[:3]) in _PER_INTERFACE and len(parts) >= 5 and parts[3] not in _NOT_INTERFACES:
        # dots in the middle are the interface's, as in eth0.100
        ifname = ".".join(parts[3:-1])
        parts = [*parts[:3], ifname, parts[-1]]
    return Setting(key, "/".join(parts), value, ifname)


def of_endpoint(option: str, ifname: str) -> tuple[Setting, ...]:
    """`net.ipv4.conf.IFNAME.log_martians=1,…` for this interface; InvalidParameter names what is wrong."""
    found = []
    for entry in option.split(","):
        if not entry.strip():
            continue
        key, equals, value = entry.strip().partition("=")
        parts = dotted(key).split(".")
        if not equals or len(parts) != 5 or parts[0] != "net" or parts[1] not in _FAMILIES or parts[3] != "IFNAME":
            raise InvalidParameter(
                f"{OPTION} {entry!r}: expected net.FAMILY.GROUP.IFNAME.KEY=VALUE with one of {', '.join(_FAMILIES)}"
            )
        if any(part in ("", ".", "..") or "/" in part for part in parts):
            raise InvalidParameter(f"{OPTION} {entry!r}: is no name of a setting")
        path = "/".join([*parts[:3], ifname, parts[4]])
        found.append(Setting(key, path, value, ifname))
    return tuple(found)
