"""`--network`: what each mode is, and the flags it does not go with (contract docker 1.7).  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from netd.failure import InvalidParameter
from netd.runtime.model import ContainerConfig, HostConfig
from pycni.record import Record

BRIDGE, HOST, NONE, CONTAINER, NETWORK = "bridge", "host", "none", "container", "network"
DEFAULT = "default"
"""Another word for BRIDGE, which docker's clients send."""

PREDEFINED = (BRIDGE, HOST, NONE)
_CONTAINER_PREFIX = "container:"

MAC_CONFLICT = "conflicting options: mac-address and the network mode (--mac-address)"
DISCARDED = "published ports are discarded when using host network mode"

Conflict = tuple[bool, str]


class Mode(Record):
    """`kind` is one of the words above; `target` the container joined, or the network's name or id."""

    kind: str
    target: str = ""

    @property
    def has_networks(self) -> bool:
        """Whether it can be connected to networks."""
        return self.kind in (BRIDGE, NETWORK)

    def __str__(self) -> str:
        return _CONTAINER_PREFIX + self.target if self.kind == CONTAINER else self.target or self.kind


def parse(text: str) -> Mode:
    """InvalidParameter for `container:` without a name; any other word is a network's."""
    if text in ("", DEFAULT):
        return Mode(BRIDGE)
    if text in PREDEFINED:
        return Mode(text)
    if text.startswith(_CONTAINER_PREFIX) or text == CONTAINER:
        target = text.removeprefix(_CONTAINER_PREFIX)
        if not target or text == CONTAINER:
            raise InvalidParameter(f"--network {text}: expected container:NAME or container:ID")
        return Mode(CONTAINER, target)
    if not text.strip():
        raise InvalidParameter(f"--network {text!r}: is blank")
    return Mode(NETWORK, text)


def refuse_contradictions(
    mode: Mode, config: ContainerConfig, host_config: HostConfig, exposed: Iterable[str] = ()
) -> None:
    """InvalidParameter with docker's words and the flag at fault.  `exposed` are the ports the client asked for: those
    that an image exposes contradict nothing."""
    if mode.kind == CONTAINER:
        _refuse(_with_container(config, host_config, exposed))
    if mode.kind in (HOST, NONE) and config.mac_address:
        # docker's of before 25; since then it takes the flag and does nothing
        raise InvalidParameter(MAC_CONFLICT)
    if mode.kind == HOST:
        network = sorted(key for key in host_config.sysctls or {} if key.startswith("net."))
        _refuse(
            (
                (bool(host_config.links), "host type networking can't be used with links (--link)"),
                (bool(network), f"the host's own network and --sysctl {network[0] if network else ''}"),
            )
        )
    if host_config.uts_mode == HOST and config.hostname:
        _refuse(((True, "hostname and the UTS mode (--hostname, --uts host)"),))


def _with_container(config: ContainerConfig, host_config: HostConfig, exposed: Iterable[str]) -> tuple[Conflict, ...]:
    published = bool(host_config.port_bindings) or host_config.publish_all_ports
    return (
        (bool(config.hostname), "hostname and the network mode (--hostname)"),
        (bool(host_config.links), "container type network can't be used with links (--link)"),
        (bool(host_config.dns), "dns and the network mode (--dns)"),
        (bool(host_config.extra_hosts), "custom host-to-IP mapping and the network mode (--add-host)"),
        (published, "port publishing and the container type network mode (-p, -P)"),
        (any(True for _ in exposed), "port exposing and the container type network mode (--expose)"),
    )


def _refuse(conflicts: tuple[Conflict, ...]) -> None:
    found = [text for conflict, text in conflicts if conflict]
    if found:
        raise InvalidParameter("conflicting options: " + "; ".join(found))


def warnings(mode: Mode, host_config: HostConfig) -> list[str]:
    """What a create is warned of."""
    published = bool(host_config.port_bindings) or host_config.publish_all_ports
    return [DISCARDED] if mode.kind == HOST and published else []
