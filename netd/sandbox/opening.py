"""Opening a container's own sandbox, and what is undone when that fails."""

from __future__ import annotations

import os

from netd.failure import Failure
from netd.networks.errors import NetworkError
from netd.runtime.model import Container, Endpoint, SandboxState
from netd.runtime.opened import Opened, Ready
from netd.runtime.sysctl_keys import dotted
from netd.sandbox import closing, endpoints, inside, links, modes, names, namespaces, surroundings, sysctls
from netd.sandbox.attaching import fill
from netd.sandbox.catalog import Known
from netd.sandbox.files import Line
from netd.sandbox.gateway import Attached, Candidate, order, ordered
from netd.sandbox.parts import Parts
from pycni.cache import CacheEntry
from pycni.kernel.namespace import Namespace
from pycni.spec.errors import CniError


def open_own(parts: Parts, container: Container, kept: bool, ready: Ready) -> Opened:
    """`kept`: others live on in the namespace, which is taken over as it is.  Failure or NetworkError, with nothing
    left that was not there before."""
    known = _networks(parts, container)
    path = parts.path(container.id)
    before = closing.attachments(parts, container.id) if kept else frozenset()
    if not kept:
        closing.discard(parts, container.id, path)
        namespaces.create(path)
    try:
        with Namespace.open(path) as namespace:
            container.sandbox = SandboxState(id=os.urandom(32).hex(), key=path)
            return _Opening(parts, container, namespace, known, kept).run(ready)
    except BaseException as error:
        closing.undo(parts, container, path, kept, before)
        raise as_failure(error) from None


def as_failure(error: BaseException) -> BaseException:
    """What the API can answer with: errors without a status of their own are the machine's."""
    if isinstance(error, (CniError, OSError)) and not isinstance(error, (Failure, NetworkError)):
        return Failure(f"failed to set up container networking: {error}")
    return error


def _networks(parts: Parts, container: Container) -> dict[str, Known]:
    """The container's networks, in the order of default gateways; NotFound."""
    found = {}
    for name, endpoint in container.networks.items():
        if name == modes.NONE:
            continue
        known = parts.catalog.find(name)
        endpoints.check(name, endpoint, known.is_user_defined, known.network)
        found[name] = known
    ranked = order(_candidate(known, container.networks[name]) for name, known in found.items())
    return {name: found[name] for name in ranked}


def _candidate(known: Known, endpoint: Endpoint) -> Candidate:
    """What the order is before the plugins have answered."""
    network = known.network
    internal = network is None or network.internal
    families = () if network is None or internal else tuple(subnet.prefix.family for subnet in network.subnets)
    return Candidate(known.name, endpoint.gw_priority, internal, families)


class _Opening:
    """One run, in the container's namespace."""

    def __init__(
        self, parts: Parts, container: Container, namespace: Namespace, known: dict[str, Known], kept: bool
    ) -> None:
        self._parts = parts
        self._container = container
        self._namespace = namespace
        self._known = known
        self._kept = kept
        self._endpoints: dict[str, Attached] = {}

    def run(self, ready: Ready) -> Opened:
        parts, container = self._parts, self._container
        linked, environment = self._links()
        self._prepare()
        etc = parts.etc(container.id)
        etc.ensure()
        opened = Opened(
            container.sandbox.key, etc.hosts, etc.resolv_conf, etc.hostname, container.config.hostname, environment
        )
        ready(opened)
        if self._kept:
            self._take_over()
        for name, known in self._known.items():
            if name not in self._endpoints:
                self._endpoints[name] = attach(parts, container, known, self._namespace)
        note(container, self._endpoints)
        inside.route(self._namespace, self._endpoints.values())
        resolver = surroundings.has_resolver(parts, self._endpoints)
        rendered = surroundings.resolv_conf(parts, container, self._endpoints, resolver)
        ipv6 = inside.has_ipv6(self._namespace)
        hosts = surroundings.hosts(parts, container, self._endpoints, linked, ipv6)
        container.sandbox.resolv_conf = etc.write(hosts, rendered.text, container.config.hostname)
        if resolver:
            surroundings.serve_names(parts, container, self._namespace, self._endpoints, rendered.ndots)
        parts.ports.shield(container, surroundings.shielded(parts, self._endpoints))
        bound = parts.ports.publish(container, surroundings.gateways(parts, self._endpoints))
        container.sandbox.ports = dict(bound)
        for known in self._known.values():
            parts.announce("connect", known, container)
        return opened

    def _links(self) -> tuple[list[Line], tuple[str, ...]]:
        """Lines and variables of `--link` on the default bridge; looked at first, as it may refuse the start."""
        if modes.BRIDGE not in self._known:
            return [], ()
        lines: list[Line] = []
        variables: tuple[str, ...] = ()
        for link, target in surroundings.link_targets(self._parts, self._container):
            addresses = surroundings.bridge_addresses(target)
            lines += links.hosts_lines(link, target, addresses)
            for address in addresses[:1]:
                variables += links.variables(link, self._container.name, target, address)
        return lines, variables

    def _prepare(self) -> None:
        host_config = self._container.host_config
        settings = sysctls.of_namespace(host_config.sysctls or {}, host_config.privileged)
        if not self._kept:
            inside.raise_loopback(self._namespace)
        given = {dotted(key) for key in host_config.sysctls or {}}
        optional = [key for key in sysctls.DEFAULTS if key not in given]
        inside.apply_settings(self._namespace, (each for each in settings if not each.ifname), optional)

    def _take_over(self) -> None:
        """Endpoints that are still as wanted stay, with their addresses; others go."""
        by_list = {known.list_name: name for name, known in self._known.items()}
        for list_name, entries in self._parts.attacher.entries(self._container.id).items():
            name = by_list.get(list_name, "")
            for entry in entries:
                if name and name not in self._endpoints and self._still_wanted(name, entry):
                    continue
                self._parts.attacher.detach(entry, at_once=True)

    def _still_wanted(self, name: str, entry: CacheEntry) -> bool:
        endpoint = self._container.networks[name]
        found = self._parts.attacher.of_entry(self._known[name], endpoint, entry)
        addresses = {prefix.address for prefix in found.addresses}
        if self._namespace.link(found.ifname) is None or not addresses.issuperset(endpoints.wanted_addresses(endpoint)):
            return False
        if endpoint.mac_address and endpoint.mac_address.lower() != found.mac.lower():
            return False
        if (endpoint.driver_opts or {}).get(endpoints.IFNAME, found.ifname) != found.ifname:
            return False
        self._endpoints[name] = found
        fill(endpoint, self._known[name], found, os.urandom(32).hex())
        return True


def attach(parts: Parts, container: Container, known: Known, namespace: Namespace) -> Attached:
    """One endpoint, with everything of its interface; its operational fields are filled.  Failure; `closing.undo`, or
    `Attacher.detach` of its entry, takes away what it left."""
    endpoint = container.networks[known.name]
    ifname = endpoints.ifname(endpoint, inside.interfaces(namespace))
    own = sysctls.of_endpoint((endpoint.driver_opts or {}).get(sysctls.OPTION, ""), ifname)
    extra = endpoints.link_local(endpoint)
    network = known.network
    wants_ipv6 = network is None or not network.subnets or network.has_family(6)
    before = inside.switch_ipv6(namespace, wants_ipv6 or any(prefix.family == 6 for prefix in extra))
    try:
        found = parts.attacher.attach(container, known, endpoint, container.sandbox.key, ifname)
    finally:
        inside.restore_ipv6(namespace, before)
    fill(endpoint, known, found, os.urandom(32).hex())
    inside.add_addresses(namespace, ifname, extra)
    inside.apply_settings(namespace, (*_of_interface(container, ifname), *own))
    return found


def _of_interface(container: Container, ifname: str) -> list[sysctls.Setting]:
    host_config = container.host_config
    settings = sysctls.of_namespace(host_config.sysctls or {}, host_config.privileged)
    return [each for each in settings if each.ifname == ifname]


def note(container: Container, attached: surroundings.Endpoints) -> None:
    """The sandbox's state says what the endpoints are; a MAC nobody asked for is shown, and marked as such."""
    state = container.sandbox
    state.order = [each.network for each in ordered(attached.values())]
    state.ifnames = {name: each.ifname for name, each in attached.items()}
    state.random_macs = [name for name in state.random_macs if name in attached]
    for name, each in attached.items():
        endpoint = container.networks[name]
        endpoint.dns_names = endpoint.dns_names if name == modes.BRIDGE else names.dns_names(container, endpoint)
        if not endpoint.mac_address and each.mac:
            endpoint.mac_address = each.mac
            state.random_macs.append(name)
