"""One container on one network: the call of its list's plugins, and what they answered."""

from __future__ import annotations

import os

from netd.failure import Failure
from netd.networks.collect import FIRST
from netd.runtime.model import Container, Endpoint
from netd.sandbox import endpoints
from netd.sandbox.allocation import Allocator, Pool, asking, pool
from netd.sandbox.catalog import Catalog, Known
from netd.sandbox.chain import Chains
from netd.sandbox.default_bridge import CNI_NAME
from netd.sandbox.gateway import Attached
from pycni.cache import Attachment, CacheEntry
from pycni.invoke import parse_result
from pycni.netlist import NetworkList, parse_list
from pycni.spec.address import Address
from pycni.spec.errors import CniError
from pycni.spec.result import Result

_ATTEMPTS = 20
"""Times that others may take the chosen address just before us."""

_MAC_CAPABILITY = "mac"
_IPS_CAPABILITY = "ips"


class Attacher:
    """Thread-safe."""

    def __init__(self, chains: Chains, catalog: Catalog, allocator: Allocator) -> None:
        self._chains = chains
        self._catalog = catalog
        self._allocator = allocator

    def attach(self, container: Container, known: Known, endpoint: Endpoint, netns: str, ifname: str) -> Attached:
        """Failure, with nothing of it left; Forbidden for an address somebody has."""
        network = self._catalog.plugins(known)
        source = pool(network)
        wanted = endpoints.wanted_addresses(endpoint)
        if source is None:
            return self._add(container, known, endpoint, asking(network, None, wanted), netns, ifname, wanted)
        tried: set[Address] = set()
        while True:
            with self._allocator.choose(known, source, container, wanted, tried) as addresses:
                try:
                    asked = asking(network, source, addresses)
                    return self._add(container, known, endpoint, asked, netns, ifname, ())
                except Failure:
                    lost = self._lost(source, addresses, tried)
                    if not lost or len(tried) >= _ATTEMPTS:
                        raise
                    tried |= lost

    def _lost(self, source: Pool, addresses: tuple[Address, ...], tried: set[Address]) -> set[Address]:
        """Those of the addresses that somebody else has by now: the reason why host-local refused."""
        folder = f"{source.data_dir}/{source.network}"
        return {address for address in addresses if address not in tried and os.path.exists(f"{folder}/{address}")}

    def _add(
        self,
        container: Container,
        known: Known,
        endpoint: Endpoint,
        network: NetworkList,
        netns: str,
        ifname: str,
        wanted: tuple[Address, ...],
    ) -> Attached:
        args = [("IgnoreUnknown", "1")]
        capabilities: dict[str, object] = {}
        if endpoint.mac_address:
            args.append(("MAC", endpoint.mac_address))
            capabilities[_MAC_CAPABILITY] = endpoint.mac_address
        if wanted:
            capabilities[_IPS_CAPABILITY] = [str(address) for address in wanted]
        attachment = Attachment(container.id, netns, ifname, tuple(args), capabilities)
        own = known.list_name == CNI_NAME
        try:
            result = self._chains.add(network, attachment, own_first=own)
            return attached(known, endpoint, ifname, result)
        except CniError as error:
            problem = f"failed to set up container networking: network {known.name}: {error}"
            try:
                self._chains.delete(network, attachment, own_first=own)
            except CniError as second:
                problem += f"; cleaning up after it failed too: {second}"
            raise Failure(problem) from None

    def detach(self, entry: CacheEntry, at_once: bool = False) -> None:
        """Nothing of the attachment is left; CniError after everything was tried.  It goes by the list as it was when
        the attachment was made, so that a network that was changed or removed meanwhile leaves nothing behind.
        `at_once`: somebody lives on in the namespace."""
        attachment = entry.attachment
        if not os.path.exists(attachment.netns):
            attachment = attachment.replace(netns="")
        own = entry.network == CNI_NAME
        self._chains.delete(parse_list(entry.config), attachment, own_first=own, at_once=at_once)

    def detach_gone(self, entry: CacheEntry) -> None:
        """As `detach`, for a container of another engine whose namespace does not exist any more."""
        self._chains.delete_foreign(parse_list(entry.config), entry.attachment.replace(netns=""))

    def detach_lease(self, known: Known, container_id: str, ifname: str) -> None:
        """As `detach`, for an attachment that nothing but a lease tells of, which need not name the interface."""
        network = self._catalog.plugins(known)
        attachment = Attachment(container_id, "", ifname or FIRST)
        self._chains.delete(network, attachment, own_first=known.list_name == CNI_NAME)

    def entries(self, container_id: str) -> dict[str, list[CacheEntry]]:
        """The container's attachments, by list name."""
        found: dict[str, list[CacheEntry]] = {}
        for entry in self._chains.entries(container_id):
            found.setdefault(entry.network, []).append(entry)
        return found

    def of_entry(self, known: Known, endpoint: Endpoint, entry: CacheEntry) -> Attached:
        """An attachment that was made before; CniError when its result is illegible."""
        return attached(known, endpoint, entry.attachment.ifname, parse_result(entry.result))


def attached(known: Known, endpoint: Endpoint, ifname: str, result: Result) -> Attached:
    """What a result says about the container's interface.  A gateway counts where the list has a default route for its
    family."""
    inside = next((n for n, each in enumerate(result.interfaces) if each.sandbox and each.name == ifname), None)
    ips = [ip for ip in result.ips if ip.interface is None or ip.interface == inside]
    gateways = []
    for family in (4, 6):
        default = next(
            (each for each in result.routes if each.destination.length == 0 and each.destination.family == family), None
        )
        given = next((ip.gateway for ip in ips if ip.gateway is not None and ip.gateway.family == family), None)
        gateway = default.gateway or given if default is not None else None
        if gateway is not None:
            gateways.append(gateway)
    backend = known.network.firewall if known.network is not None else "auto"
    return Attached(
        known.name,
        known.list_name,
        ifname,
        result.interfaces[inside].mac if inside is not None else "",
        tuple(ip.address for ip in ips),
        tuple(gateways),
        endpoint.gw_priority,
        not gateways,
        "" if backend == "auto" else backend,
    )


def fill(endpoint: Endpoint, known: Known, found: Attached, endpoint_id: str) -> None:
    """The operational fields, as the API shows them."""
    address4, address6 = found.address(4), found.address(6)
    gateway4, gateway6 = found.gateway(4), found.gateway(6)
    endpoint.network_id = known.id
    endpoint.endpoint_id = endpoint_id
    endpoint.gateway = str(gateway4 or "")
    endpoint.ip_address = str(address4.address) if address4 is not None else ""
    endpoint.ip_prefix_len = address4.length if address4 is not None else 0
    endpoint.ipv6_gateway = str(gateway6 or "")
    endpoint.global_ipv6_address = str(address6.address) if address6 is not None else ""
    endpoint.global_ipv6_prefix_len = address6.length if address6 is not None else 0
