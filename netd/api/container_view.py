"""A container in the shapes of docker's replies: the whole of inspect, and an item of the list (contract docker 4.3,
appendix A).  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from netd.api.durations import status_text
from netd.api.host_config import host_config
from netd.api.query import rfc3339
from netd.runtime.model import Container, Endpoint, State
from netd.sandbox import links

_OPERATIONAL = (
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "MacAddress",
)
"""What inspect repeats at its top for the network `bridge`, and clears of a container that does not run."""


class Surroundings(msgspec.Struct):
    """What of a container is not in its own record."""

    mounts: list[dict[str, Any]]
    execs: list[str]
    log_path: str
    directory: str
    linked_from: Sequence[str] = ()
    """Legacy links that lead here, "/source/alias"."""
    names: Mapping[str, str] = {}
    """Of the containers that legacy links lead to, by id."""
    image: str = ""
    """The image's name as it is to be shown."""
    hidden: tuple[list[str] | None, list[str] | None] = (None, None)
    """Masked and read-only paths."""
    version_2: bool = True
    """Of the machine's control groups."""
    lower: str = ""
    """The image's files."""


def inspect(container: Container, around: Surroundings, version: tuple[int, int]) -> dict[str, Any]:
    """GET /containers/{id}/json."""
    argv = container.argv or [""]
    return {
        "Id": container.id,
        "Created": container.created,
        "Path": argv[0],
        "Args": argv[1:],
        "State": _state(container.state),
        "Image": container.image_id,
        "ResolvConfPath": f"{around.directory}/resolv.conf",
        "HostnamePath": f"{around.directory}/hostname",
        "HostsPath": f"{around.directory}/hosts",
        "LogPath": around.log_path,
        "Name": f"/{container.name}",
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": around.execs or None,
        "HostConfig": host_config(container, legacy_links(container, around.names), around.hidden, around.version_2),
        "GraphDriver": {
            "Name": "overlay2",
            "Data": {
                "LowerDir": around.lower,
                "MergedDir": f"{around.directory}/rootfs",
                "UpperDir": f"{around.directory}/upper",
                "WorkDir": f"{around.directory}/work",
            },
        },
        "Mounts": around.mounts,
        "Config": _config(container),
        "NetworkSettings": _network_settings(container, version),
    }


def _state(state: State) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(state),
        "Running": state.running,
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "Dead": state.status == "dead",
    }


def _config(container: Container) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.to_builtins(container.config)
    config.update(Labels=config["Labels"] or {}, Env=config["Env"] or [], OnBuild=None)
    return _without(config, "ExposedPorts", "StopSignal", "StopTimeout", "NetworkDisabled", "MacAddress")


def _without(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Docker leaves these out where they are empty."""
    return {key: item for key, item in value.items() if item or key not in keys}


def legacy_links(container: Container, names: Mapping[str, str]) -> list[str]:
    """`/target:/source/alias` of each link; on user-defined networks links are names only, and not shown here."""
    if container.host_config.network_mode not in ("", "default", "bridge"):
        return []
    found = [links.parse(text) for text in container.host_config.links or ()]
    targets = [names.get(container.linked.get(link.alias, ""), link.target) for link in found]
    return [f"/{target}:/{container.name}/{link.alias}" for target, link in zip(targets, found, strict=True)]


def endpoints(container: Container, listed: bool = False) -> dict[str, dict[str, Any]]:
    """`Networks`.  Of a container that does not run only the wishes are shown; in a list no names."""
    return {name: _endpoint(each, container.state.running, listed) for name, each in container.networks.items()}


def _endpoint(endpoint: Endpoint, attached: bool, listed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(endpoint)
    if not attached:
        shown.update({key: 0 if key.endswith("PrefixLen") else "" for key in _OPERATIONAL if key != "MacAddress"})
    if listed:
        shown.update(Aliases=None, DNSNames=None)
    return shown


def _network_settings(container: Container, version: tuple[int, int]) -> dict[str, Any]:
    networks = endpoints(container)
    if version < (1, 45):
        for each in networks.values():
            # readers of old look for the short id among the aliases
            each["Aliases"] = [*(each["Aliases"] or []), container.short_id]
    default = networks.get("bridge", {})
    return {
        "Bridge": "",
        "SandboxID": container.sandbox.id,
        "SandboxKey": container.sandbox.key,
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "Ports": port_map(container),
        **{key: default.get(key, 0 if key.endswith("PrefixLen") else "") for key in _OPERATIONAL},
        "Networks": networks,
    }


def port_map(container: Container) -> dict[str, list[dict[str, str]] | None]:
    """What is bound for each port that is exposed or published, None where nothing is; empty when not running."""
    if not container.state.running or not shows_ports(container):
        return {}
    bound = container.sandbox.ports
    ports = [*(container.config.exposed_ports or {}), *(container.host_config.port_bindings or {}), *bound]
    return {port: [msgspec.to_builtins(each) for each in bound.get(port, ())] or None for port in sorted(set(ports))}


def shows_ports(container: Container) -> bool:
    """Whether it has ports of its own."""
    mode = container.host_config.network_mode
    return mode != "host" and not mode.startswith("container:")


def item(container: Container, around: Surroundings, now_ns: int) -> dict[str, Any]:
    """An element of GET /containers/json."""
    return {
        "Id": container.id,
        "Names": [f"/{container.name}", *around.linked_from],
        "Image": around.image or container.image_id,
        "ImageID": container.image_id,
        "Command": command(container.argv),
        "Created": (rfc3339(container.created) or 0) // 1_000_000_000,
        "Ports": list(port_list(container)),
        "Labels": container.config.labels or {},
        "State": container.state.status,
        "Status": status_text(container.state, now_ns),
        "HostConfig": {"NetworkMode": container.host_config.network_mode},
        "NetworkSettings": {"Networks": endpoints(container, listed=True)},
        "Mounts": around.mounts,
    }


def command(argv: Sequence[str]) -> str:
    """Words with blanks are quoted, as docker does; it is for people only."""
    return " ".join([*argv[:1], *(f"'{word}'" if " " in word else word for word in argv[1:])])


def port_list(container: Container) -> Iterable[dict[str, Any]]:
    """`Ports` of a list item: one for each binding, and one without address for a port that is only exposed."""
    for port, bindings in port_map(container).items():
        number, _, protocol = port.partition("/")
        shown: dict[str, Any] = {"PrivatePort": int(number), "Type": protocol or "tcp"}
        if not bindings:
            yield shown
        for each in bindings or ():
            yield {"IP": each["HostIp"], **shown, "PublicPort": int(each["HostPort"])}
