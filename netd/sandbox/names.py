"""What a container is called on a network, and the record of it for the name server (contract docker 2.2).  Pure."""

from __future__ import annotations

from collections.abc import Callable

from netd.runtime.model import Container, Endpoint
from netd.sandbox.gateway import Attached
from netd.sandbox.links import parse as parse_link
from pycni.firewall.facts import Owner
from pycni.names import RESOLVER, Attachment, is_domain_name

PLACEHOLDER = "lo"
"""The interface in the record of a container that has a resolver and is on no network."""


def dns_names(container: Container, endpoint: Endpoint) -> list[str]:
    """In docker's order: name, aliases, short id, host name."""
    found = (container.name, *(endpoint.aliases or ()), container.short_id, container.config.hostname)
    return list(dict.fromkeys(name for name in found if name))


def record(
    container: Container,
    endpoint: Endpoint,
    attached: Attached,
    *,
    sandbox: str,
    netns: str,
    port: int,
    named: bool,
    ndots: bool = False,
    domain: str = "",
    resolve: Callable[[str], str] = lambda text: text,
) -> Attachment:
    """`named` False: the container finds others, and they do not find it there.  `ndots`: it was set on purpose.
    `resolve` turns the target of a link
    into a name that is known on the network."""
    names = [name for name in dns_names(container, endpoint) if is_domain_name(name)] if named else []
    return Attachment(
        Owner(attached.cni, container.id, attached.ifname),
        sandbox,
        netns=netns,
        port=port,
        names=tuple(names),
        addresses=tuple(prefix.address for prefix in attached.addresses) if named else (),
        gateways=attached.gateways,
        domain=domain,
        external=bool(attached.gateways),
        priority=attached.priority,
        links=links(endpoint, resolve),
        servers=servers(container),
        ndots=ndots,
    )


def placeholder(container: Container, *, sandbox: str, netns: str, port: int) -> Attachment:
    """Keeps the resolver answering, with SERVFAIL where it would have to ask (contract 2.4)."""
    owner = Owner("", container.id, PLACEHOLDER)
    return Attachment(owner, sandbox, netns=netns, port=port, external=False, servers=servers(container))


def links(endpoint: Endpoint, resolve: Callable[[str], str] = lambda text: text) -> tuple[tuple[str, str], ...]:
    """(alias, target) of an endpoint's links; without an alias the target's own name is meant."""
    found = []
    for text in endpoint.links or ():
        link = parse_link(text)
        found.append((link.alias, resolve(link.target)))
    return tuple(found)


def servers(container: Container) -> tuple[str, ...]:
    """`--dns`, without our own address, which would be a loop."""
    return tuple(server for server in container.host_config.dns or () if server != RESOLVER)
