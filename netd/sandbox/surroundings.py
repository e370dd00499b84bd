"""What follows from a container's endpoints: gateways, names, files.  The same at start and at every change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netd.failure import Failure
from netd.networks.drivers import ON_A_DEVICE
from netd.networks.errors import NetworkError
from netd.ports.gateways import Endpoint as Shielded
from netd.ports.gateways import Gateway, Gateways
from netd.runtime.model import Container
from netd.sandbox import default_bridge, files, links, modes, names, resolv
from netd.sandbox.catalog import Known
from netd.sandbox.chain import DNSNAME
from netd.sandbox.creating import find_or_none
from netd.sandbox.files import Line
from netd.sandbox.gateway import Attached, chosen, ordered
from netd.sandbox.parts import Parts
from netd.sandbox.resolv import Rendered
from pycni.kernel.namespace import Namespace
from pycni.names import Attachment
from pycni.spec.address import Address
from pycni.spec.errors import CniError

_BINDING = "com.docker.network.bridge.host_binding_ipv4"
_ANY = "0.0.0.0"

Endpoints = Mapping[str, Attached]
"""By the network's name."""


def known_of(parts: Parts, container: Container, name: str) -> Known:
    """The network, or what remains of it when its list is gone."""
    found = find_or_none(parts, name)
    if found is not None:
        return found
    list_name = default_bridge.CNI_NAME if name == default_bridge.NAME else name
    return Known(name, container.networks[name].network_id, list_name)


def present(parts: Parts, container: Container) -> dict[str, Attached]:
    """The endpoints a running container has, from what its plugins answered."""
    entries = parts.attacher.entries(container.id)
    found = {}
    for name, endpoint in container.networks.items():
        known = known_of(parts, container, name)
        ifname = container.sandbox.ifnames.get(name)
        for entry in entries.get(known.list_name, ()):
            if entry.attachment.ifname == ifname:
                found[name] = parts.attacher.of_entry(known, endpoint, entry)
    return found


def gateways(parts: Parts, endpoints: Endpoints) -> Gateways:
    """Where the container's published ports lead; nowhere when its gateway is past the host, on a wire of its own."""
    best = chosen(endpoints.values())
    made = {}
    for family, each in best.items():
        address = each.address(family)
        if address is not None and not _is_past_host(parts, each):
            made[family] = Gateway(each.cni, each.ifname, address, each.backend)
    return Gateways(made.get(4), made.get(6), _host_address(parts, best.get(4)))


def _is_past_host(parts: Parts, gateway: Attached) -> bool:
    known = find_or_none(parts, gateway.network)
    return known is not None and known.network is not None and known.network.driver in ON_A_DEVICE


def _host_address(parts: Parts, gateway: Attached | None) -> Address | None:
    known = find_or_none(parts, gateway.network) if gateway is not None else None
    if known is None or known.network is None:
        return None
    text = dict(known.network.options).get(_BINDING, _ANY)
    try:
        address = Address.parse(text)
    except ValueError:
        return None
    return None if address.is_unspecified else address


def shielded(parts: Parts, endpoints: Endpoints) -> list[Shielded]:
    """The addresses that only published ports lead to from outside: those behind a bridge with a way out."""
    found = []
    for each in endpoints.values():
        known = find_or_none(parts, each.network)
        if each.internal or known is None or known.network is None or not known.network.bridge:
            continue
        found += [Shielded(prefix.address, known.network.bridge) for prefix in each.addresses]
    return found


def has_resolver(parts: Parts, endpoints: Endpoints) -> bool:
    """Whether 127.0.0.11 answers: on any network but the default one, and there if the operator wants it."""
    return any(name != default_bridge.NAME or parts.settings.bridge_dns for name in endpoints)


def serve_names(
    parts: Parts, container: Container, namespace: Namespace, endpoints: Endpoints, ndots: bool, again: bool = False
) -> None:
    """The name server knows the container as it is on these networks; StoreError, FirewallError."""
    path = container.sandbox.key

    def records(sandbox: str, port: int) -> list[Attachment]:
        made = [
            names.record(
                container,
                container.networks[name],
                each,
                sandbox=sandbox,
                netns=path,
                port=port,
                named=name != default_bridge.NAME or parts.settings.bridge_dns,
                ndots=ndots,
                domain=_domain(parts, each),
                resolve=lambda text: _known_name(parts, text),
            )
            for name, each in endpoints.items()
        ]
        return made or [names.placeholder(container, sandbox=sandbox, netns=path, port=port)]

    parts.resolver.serve(namespace, container.id, records, again)


def _domain(parts: Parts, attached: Attached) -> str:
    """The other suffix that names have on this network: what its list tells dnsname, or the default network's name."""
    if attached.network == default_bridge.NAME:
        return default_bridge.NAME
    try:
        plugins = parts.catalog.plugins(parts.catalog.find(attached.network)).plugins
    except (NetworkError, CniError):
        return ""
    body = next((plugin.body for plugin in plugins if plugin.type == DNSNAME), {})
    domain = body.get("domainName")
    return domain.strip(".") if isinstance(domain, str) else ""


def _known_name(parts: Parts, text: str) -> str:
    """A link's target as it is called on the network, which an id is not."""
    try:
        found = parts.lookup(text)
    except CniError:
        return text
    return found.name if text in (found.id, found.short_id) else text


def resolv_conf(parts: Parts, container: Container, endpoints: Endpoints, resolver: bool) -> Rendered:
    """The container's resolv.conf with these endpoints."""
    wanted = container.host_config
    wishes = resolv.wishes(wanted.dns, wanted.dns_search, wanted.dns_options)
    if resolver:
        return resolv.internal(parts.host_file(for_inside=False), wishes)
    ipv6 = any(each.address(6) is not None for each in endpoints.values())
    return Rendered(resolv.legacy(parts.host_file(for_inside=True), wishes, ipv6))


def own_lines(container: Container, each: Attached) -> list[Line]:
    """An endpoint's lines in /etc/hosts."""
    addresses = [prefix.address for prefix in each.addresses]
    config = container.config
    return files.own_lines(sorted(addresses, key=lambda one: one.family), config.hostname, config.domainname)


def extra_lines(parts: Parts, container: Container) -> list[Line]:
    """`--add-host`; `host-gateway` is the default bridge's address."""
    given = container.host_config.extra_hosts or ()
    return files.extra_hosts(given, host_gateway(parts)) if given else []


def host_gateway(parts: Parts) -> tuple[Address, ...]:
    if parts.settings.host_gateway:
        return parts.settings.host_gateway
    bridge = find_or_none(parts, default_bridge.NAME)
    if bridge is None or bridge.network is None:
        return ()
    return tuple(subnet.gateway for subnet in bridge.network.subnets if subnet.gateway is not None)


def link_targets(parts: Parts, container: Container) -> list[tuple[links.Link, Container]]:
    """The containers that `--link` on the default bridge leads to, which have to run.  NotFound, Failure."""
    found = []
    for text in container.host_config.links or ():
        link = links.parse(text)
        target = links.target(container, link, parts.lookup)
        if not target.state.running or modes.BRIDGE not in target.networks:
            raise Failure(f"cannot link to a non running container: /{target.name} AS /{container.name}/{link.alias}")
        found.append((link, target))
    return found


def bridge_addresses(target: Container) -> list[Address]:
    """A running container's addresses on the default bridge."""
    endpoint = target.networks[modes.BRIDGE]
    return [Address.parse(text) for text in (endpoint.ip_address, endpoint.global_ipv6_address) if text]


def hosts(parts: Parts, container: Container, endpoints: Endpoints, linked: Iterable[Line], ipv6: bool) -> str:
    """The container's /etc/hosts as it starts."""
    own = [line for each in ordered(endpoints.values()) for line in own_lines(container, each)]
    return files.hosts([*extra_lines(parts, container), *linked], own, ipv6)
