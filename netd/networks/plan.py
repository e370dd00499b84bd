"""From a request and what is known of the host to the list to write.  Pure."""

from __future__ import annotations

from typing import Any

from netd.networks import underlay
from netd.networks.conflist import Network, Subnet, build
from netd.networks.drivers import BRIDGE
from netd.networks.errors import BridgeTaken, NameTaken
from netd.networks.facts import HostFacts
from netd.networks.names import bridge_name
from netd.networks.request import Request, WantedSubnet
from netd.networks.subnets import POOLS4, Occupied, Pool, choose, refuse_collision, ula_pool
from pycni.spec.address import Prefix


def plan(
    request: Request,
    networks: tuple[Network, ...],
    host: HostFacts,
    *,
    created: str,
    data_dir: str = "",
) -> dict[str, Any]:
    """The network list for this request beside these networks on this host.
    Raises NameTaken, BridgeTaken or SubnetTaken, each naming the other side."""
    for other in networks:
        if other.name == request.name:
            raise NameTaken(f"network {request.name} exists already: {other.file}")
    links = dict(host.links)
    if request.driver != BRIDGE:
        return _without_bridge(request, networks, host, created, data_dir)
    bridge = _bridge(request, networks, links)
    subnets = _subnets(request, _occupied(networks, host, bridge), host.seed)
    subnets = [_with_gateway_of(bridge, subnet, host) for subnet in subnets]
    return build(
        request,
        subnets,
        bridge=bridge,
        keeps_bridge=bridge in links,
        created=created,
        data_dir=data_dir,
    )


def _without_bridge(
    request: Request, networks: tuple[Network, ...], host: HostFacts, created: str, data_dir: str
) -> dict[str, Any]:
    parent = underlay.parent_of(request, host)
    underlay.refuse_company(request, networks, parent)
    taken = {other.bridge for other in networks} | {other.host_access for other in networks} | set(dict(host.links))
    around, others = host, networks
    if parent and request.subnets:
        # on their own wire, name servers are neighbours, and so are networks with other addresses
        near = [each for each in networks if underlay.is_neighbour(request, each, parent)]
        shims = {each.host_access for each in near if each.host_access}
        strangers = (
            item
            for item in host.occupied
            if item.device not in shims and (item.device or not underlay.is_beside(item, parent, host))
        )
        around = host.replace(occupied=tuple(strangers))
        others = tuple(underlay.apart(request, each) if each in near else each for each in networks)
    occupied = _occupied(others, around, parent)
    subnets = _subnets(request, occupied, host.seed)
    subnets = [underlay.on_wire(subnet, parent, host) for subnet in subnets]
    shim = underlay.access(request, subnets, parent, host, taken)
    return underlay.build(request, subnets, parent, shim, host, created=created, data_dir=data_dir)


def _bridge(request: Request, networks: tuple[Network, ...], links: dict[str, str]) -> str:
    used_by = {other.bridge: other for other in networks if other.bridge}
    if not request.bridge:
        return bridge_name(request.name, {*used_by, *links})
    owner = used_by.get(request.bridge)
    if owner is not None:
        raise BridgeTaken(f"--bridge {request.bridge}: belongs to network {owner.name} ({owner.file})")
    kind = links.get(request.bridge, "bridge")
    if kind != "bridge":
        raise BridgeTaken(f"--bridge {request.bridge}: exists on this host and is a {kind or 'device'}, not a bridge")
    return request.bridge


def _occupied(networks: tuple[Network, ...], host: HostFacts, bridge: str) -> tuple[Occupied, ...]:
    """Everything in use but what sits on the bridge or parent the user named: its subnet is the one meant."""
    own = tuple(item for item in host.occupied if not item.device or item.device != bridge)
    return own + tuple(
        Occupied(subnet.prefix, f"{subnet.prefix} of network {other.name} ({other.file})", other.bridge)
        for other in networks
        for subnet in other.subnets
    )


def _subnets(request: Request, occupied: tuple[Occupied, ...], seed: bytes) -> list[Subnet]:
    """IPv4 first: clients show a container's first address."""
    wanted = [*request.subnets]
    wanted += [WantedSubnet(Prefix.parse("0.0.0.0/0" if family == 4 else "::/0")) for family in request.automatic]
    chosen = []
    for item in sorted(wanted, key=lambda item: item.prefix.family):
        pools = pools_for(item.prefix.family, seed)
        prefix = item.prefix
        if item.is_any:
            prefix = choose(pools, occupied, prefix.length or None)
        else:
            refuse_collision(prefix, occupied, pools)
        chosen.append(Subnet(prefix, item.gateway, ip_range=item.ip_range))
    return chosen


def _with_gateway_of(bridge: str, subnet: Subnet, host: HostFacts) -> Subnet:
    """The subnet with the address that an existing bridge has as its gateway: the bridge plugin refuses a second one
    (contract 2.1), and would do so only when the first container starts."""
    family = subnet.prefix.family
    present = [
        address
        for device, address in host.addresses
        if device == bridge and address.family == family and not address.address.is_link_local
    ]
    inside = [address for address in present if address.network == subnet.prefix]
    if inside and subnet.gateway in (None, inside[0].address):
        return subnet.replace(gateway=inside[0].address)
    if inside or (present and family == 4):
        other = (inside or present)[0]
        raise BridgeTaken(f"--bridge {bridge}: has the address {other} already; use it with --subnet {other.network}")
    return subnet


def pools_for(family: int, seed: bytes) -> tuple[Pool, ...]:
    return POOLS4 if family == 4 else (ula_pool(seed),)
