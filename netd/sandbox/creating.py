"""What is decided about a sandbox when its container is created: the mode in one spelling, the networks by name, the
host name, and everything refused that can be refused before it costs anything (contract docker 1.5 to 1.7)."""

from __future__ import annotations

import os
from collections.abc import Iterable

from netd.failure import InvalidParameter, NotFound
from netd.networks.conflist import Network
from netd.networks.errors import NetworkError
from netd.ports import wanted
from netd.runtime.model import Container, ContainerConfig, Endpoint, HostConfig
from netd.sandbox import endpoints, files, links, modes, names, resolv, sysctls
from netd.sandbox.catalog import Known
from netd.sandbox.modes import Mode
from netd.sandbox.parts import Parts

SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"
ALONE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
_LONGEST_NAME = 64
"""Bytes that sethostname(2) and setdomainname(2) take."""
NOT_HOST = "container cannot be disconnected from host network or connected to host network"


def check(parts: Parts, container: Container, exposed: Iterable[str]) -> list[str]:
    """Normalises in place; the warnings.  InvalidParameter or NotFound names the flag or object at fault.

    `exposed` are the ports the client itself asked for."""
    config, host_config = container.config, container.host_config
    mode = modes.parse(host_config.network_mode)
    if config.network_disabled:
        mode = Mode(modes.NONE)
    asked = list(exposed)
    modes.refuse_contradictions(mode, config, host_config, asked)
    _check_host_name(config)
    _check_ports(container, asked)
    _check_wishes(host_config)
    if mode.kind == modes.CONTAINER:
        mode = _join(parts, container, mode)
    elif mode.has_networks:
        mode = _named(parts, mode)
        _connect(parts, container, mode)
        _check_links(parts, container)
    else:
        _stand_alone(parts, container, mode)
    host_config.network_mode = str(mode)
    if not config.hostname:
        shares_name = modes.HOST in (mode.kind, host_config.uts_mode)
        config.hostname = os.uname().nodename if shares_name else container.short_id
    for name, endpoint in container.networks.items():
        if name not in modes.PREDEFINED:
            endpoint.dns_names = names.dns_names(container, endpoint)
    return modes.warnings(mode, host_config)


def _check_host_name(config: ContainerConfig) -> None:
    """What the kernel would refuse at the start, and what would be another line, or name, in /etc/hosts."""
    for flag, text in (("--hostname", config.hostname), ("--domainname", config.domainname)):
        if len(text.encode()) > _LONGEST_NAME:
            raise InvalidParameter(f"{flag} {text}: longer than {_LONGEST_NAME} bytes")
        if any(char.isspace() or not char.isprintable() for char in text):
            raise InvalidParameter(f"{flag} {text!r}: a name has no white space")


def _check_ports(container: Container, exposed: Iterable[str]) -> None:
    wanted.wanted(container)
    for text in exposed:
        wanted.exposed(text)


def _check_wishes(host_config: HostConfig) -> None:
    resolv.wishes(host_config.dns, host_config.dns_search, host_config.dns_options)
    files.check_extra_hosts(host_config.extra_hosts or ())
    sysctls.of_namespace(host_config.sysctls or {}, host_config.privileged)
    for text in host_config.links or ():
        links.parse(text)


def _join(parts: Parts, container: Container, mode: Mode) -> Mode:
    """The container joined by its full id, and its host name; one that does not exist may come later."""
    if _without(container, str(mode)):
        raise InvalidParameter(f"{SHARED} (--network)")
    for endpoint in container.networks.values():
        endpoints.check(str(mode), endpoint, False)
    try:
        donor = parts.lookup(mode.target)
    except NotFound:
        if mode.target not in (container.name, container.id) and not container.id.startswith(mode.target):
            return mode
        donor = container
    if donor.id == container.id:
        raise InvalidParameter(f"--network container:{mode.target}: a container cannot join its own network")
    container.networks = {}
    container.config.hostname = donor.config.hostname
    container.config.domainname = donor.config.domainname
    return Mode(modes.CONTAINER, donor.id)


def _without(container: Container, *expected: str) -> bool:
    """Whether other networks than these were asked for."""
    return any(name not in expected for name in container.networks)


def _named(parts: Parts, mode: Mode) -> Mode:
    """A network given by id is stored by name, which is what heals when it is made anew."""
    if mode.kind == modes.BRIDGE:
        return mode
    known = find_or_none(parts, mode.target)
    if known is None or known.is_user_defined:
        return mode if known is None else Mode(modes.NETWORK, known.name)
    return Mode(known.name)


def find_or_none(parts: Parts, wanted: str) -> Known | None:
    """The network, None while nobody knows it: a start will say so."""
    try:
        return parts.catalog.find(wanted)
    except NetworkError:
        return None


def _stand_alone(parts: Parts, container: Container, mode: Mode) -> None:
    """host and none: one entry, that has nothing to ask for."""
    if _without(container, mode.kind, modes.DEFAULT):
        raise InvalidParameter(f"{SHARED if mode.kind == modes.HOST else ALONE} (--network)")
    endpoint = container.networks.get(mode.kind, Endpoint())
    if endpoint.mac_address:
        raise InvalidParameter(modes.MAC_CONFLICT)
    known = parts.catalog.find(mode.kind)
    _clean(mode.kind, endpoint, known)
    container.networks = {mode.kind: endpoint}


def _connect(parts: Parts, container: Container, mode: Mode) -> None:
    """The mode's network first.  A default mode nobody wrote gives way to networks that somebody did."""
    own = mode.target or mode.kind
    wanted: dict[str, Endpoint] = {}
    for key, endpoint in container.networks.items():
        name = modes.BRIDGE if key == modes.DEFAULT else key
        known = find_or_none(parts, name)
        wanted[known.name if known is not None else name] = endpoint
    if mode.kind == modes.NETWORK or not wanted or own in wanted:
        wanted = {own: wanted.pop(own, Endpoint()), **wanted}
    for alone, text in ((modes.NONE, ALONE), (modes.HOST, NOT_HOST)):
        if alone in wanted:
            raise InvalidParameter(f"{text} (--network)")
    first = wanted[next(iter(wanted))]
    _give_mac(container, first)
    if mode.kind == modes.NETWORK and container.host_config.links:
        # what docker's command line writes into the endpoint itself
        first.links = list(dict.fromkeys((*(first.links or ()), *container.host_config.links)))
    for name, endpoint in wanted.items():
        _clean(name, endpoint, find_or_none(parts, name))
    container.networks = wanted


def _give_mac(container: Container, endpoint: Endpoint) -> None:
    """`--mac-address` of old clients is the whole container's."""
    given = container.config.mac_address
    if given and endpoint.mac_address and given.lower() != endpoint.mac_address.lower():
        raise InvalidParameter(
            f"conflicting MAC addresses for endpoint and container: {endpoint.mac_address} and {given} (--mac-address)"
        )
    endpoint.mac_address = endpoint.mac_address or given


def _clean(name: str, endpoint: Endpoint, known: Known | None) -> None:
    """Checks what was asked, and forgets what a client sent as if it had got it."""
    network: Network | None = known.network if known is not None else None
    endpoints.check(name, endpoint, known is None or known.is_user_defined, network)
    endpoints.clear(endpoint)
    endpoint.network_id = known.id if known is not None else ""
    endpoint.dns_names = None


def adopt(parts: Parts, container: Container, name: str, endpoint: Endpoint) -> None:
    """One more network for an existing container, checked as at create."""
    known = find_or_none(parts, name)
    _clean(name, endpoint, known)
    if known is None or known.is_user_defined:
        endpoint.dns_names = names.dns_names(container, endpoint)
    container.networks[known.name if known is not None else name] = endpoint


def _check_links(parts: Parts, container: Container) -> None:
    """Links of the default bridge lead to containers that are there, and there too."""
    if modes.BRIDGE not in container.networks:
        return
    for text in container.host_config.links or ():
        link = links.parse(text)
        target = links.target(container, link, parts.lookup)
        if target.id == container.id:
            raise InvalidParameter(f"--link {text}: a container cannot be linked to itself")
        if modes.BRIDGE not in target.networks:
            raise InvalidParameter(
                f"cannot link to {link.target}, as it does not belong to the default network (--link {text})"
            )
        container.linked[link.alias] = target.id
