"""The machine that networks are made on: what is in use, bridges, and garbage collection through a list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from netd.networks.facts import HostFacts
from netd.networks.places import Places
from netd.networks.subnets import Occupied
from pycni.kernel.model import InterfaceAddress, Link, Route
from pycni.kernel.namespace import Namespace
from pycni.kernel.routes import RTM_NEWROUTE, get_routes, parse_dropping
from pycni.spec.address import Address, Prefix

if TYPE_CHECKING:
    from netd.networks.conflist import Network
    from netd.networks.leftovers import Again, Leftovers, Terms

MACHINE_ID = "/etc/machine-id"


def describe(
    links: Sequence[Link],
    addresses: Iterable[tuple[int, InterfaceAddress]],
    routes: Sequence[Route],
    servers: Iterable[tuple[str, Address]],
    seed: bytes,
    dropping: Iterable[tuple[str, Prefix]] = (),
) -> HostFacts:
    """Facts from what the kernel and the resolver's files say; pure.  `addresses` pairs a device's index with an
    address on it, `servers` a file with a name server in it, `dropping` the kind of a route that lets nothing through
    with its destination."""
    names = {link.index: link.name for link in links}
    held = [(names.get(index, "?"), address.prefix) for index, address in addresses]
    occupied = [Occupied(prefix, f"address {prefix} on {name}", name) for name, prefix in held]
    occupied += [_route(route, names) for route in routes if not _is_noise(route.destination)]
    occupied += [Occupied(prefix, f"{kind} route {prefix}", "lo", hole=True) for kind, prefix in dropping]
    occupied += [Occupied(Prefix.host(address), f"name server {address} in {file}") for file, address in servers]
    return HostFacts(
        occupied=tuple(occupied),
        links=tuple(sorted((link.name, link.kind) for link in links)),
        addresses=tuple(held),
        seed=seed,
        defaults=tuple(_defaults(routes, names)),
        mtus=tuple((link.name, link.mtu) for link in links),
    )


def _defaults(routes: Sequence[Route], names: dict[int, str]) -> Iterator[tuple[str, Address]]:
    for route in routes:
        if not route.destination.length and route.gateway is not None and route.device in names:
            yield names[route.device], route.gateway


def _route(route: Route, names: dict[int, str]) -> Occupied:
    device = names.get(route.device, "")
    via = f" via {route.gateway}" if route.gateway else ""
    return Occupied(route.destination, f"route {route.destination}{via}{f' dev {device}' if device else ''}", device)


def _dropping(kernel: Namespace) -> Iterator[tuple[str, Prefix]]:
    for family in (4, 6):
        for kind, payload in kernel.rtnetlink().dump(get_routes(family, None)):
            found = parse_dropping(payload) if kind == RTM_NEWROUTE else None
            if found is not None:
                yield found


def _is_noise(prefix: Prefix) -> bool:
    """Multicast and link-local routes, which every IPv6 device has."""
    if prefix.family == 4:
        return False
    return prefix.address.is_link_local or prefix.address.packed[0] == 0xFF


def name_servers(files: Iterable[str]) -> Iterator[tuple[str, Address]]:
    """(file, server) for every name server that could be covered by a subnet; missing files have none."""
    for file in files:
        try:
            with open(file, encoding="utf-8", errors="replace") as stream:
                lines = stream.readlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) < 2 or words[0] != "nameserver":
                continue
            try:
                address = Address.parse(words[1].partition("%")[0])
            except ValueError:
                continue
            if not address.is_loopback and not address.is_link_local:
                yield file, address


def host_seed() -> bytes:
    """This machine's id; random where it has none."""
    try:
        with open(MACHINE_ID, "rb") as stream:
            return stream.read().strip() or os.urandom(16)
    except OSError:
        return os.urandom(16)


class LiveHost:
    """The machine as the calling thread's network namespace sees it."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def facts(self) -> HostFacts:
        """What is in use now; CniError or OSError when the kernel cannot be asked (it wants root)."""
        with Namespace.current() as kernel:
            links = kernel.links()
            addresses = [(link.index, address) for link in links for address in kernel.addresses(link.index)]
            routes = kernel.routes(4, None) + kernel.routes(6, None)
            holes = list(_dropping(kernel))
        return describe(links, addresses, routes, name_servers(self._places.resolv_confs), host_seed(), holes)

    def delete_device(self, name: str, kind: str) -> None:
        """No device of this name and kind exists any more; one of another kind is left alone.
        KernelError when the kernel refuses."""
        with Namespace.current() as kernel:
            link = kernel.link(name)
            if link is not None and link.kind == kind:
                kernel.delete_link(link.index)

    def reach(self, value: dict[str, Any]) -> None:
        """What the macvlan plugin makes sure of at every ADD, made now; CniError."""
        first = value["plugins"][0]
        if "hostAccess" not in first:
            return
        from netd.networks.reach import make

        make(first, self._places)

    def collect(self, path: str) -> list[str]:
        """See `collect.collect`."""
        from netd.networks.collect import collect

        return collect(path, self._places)

    def leftovers(self, network: Network, terms: Terms) -> Leftovers:
        """See `leftovers.look`."""
        from netd.networks.leftovers import look

        return look(network, self._places, terms)

    def free(self, network: Network, found: Leftovers, again: Again) -> list[str]:
        """See `leftovers.free`."""
        from netd.networks.leftovers import free

        return free(network, self._places, found, again)
