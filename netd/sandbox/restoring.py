"""After a restart of the daemon, or of the machine: who still uses which sandbox, and what nobody uses any more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from netd.networks import vanished
from netd.networks.boot import boot_moment
from netd.networks.conflist import Network
from netd.networks.usage import attachments
from netd.runtime.model import Container, Endpoint
from netd.sandbox import closing, endpoints, files, inside, joined, modes, namespaces, surroundings
from netd.sandbox.catalog import Known
from netd.sandbox.gateway import Attached
from netd.sandbox.parts import Parts
from pycni.cache import CacheEntry
from pycni.ipam.leases import LeaseBook
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Address


def users(parts: Parts, containers: Iterable[Container]) -> Iterator[tuple[Container, str]]:
    """(container, id of the one whose sandbox it is in) for each that runs in a sandbox of ours.

    Where the container that was joined is gone, the kernel knows which namespace it is."""
    everyone = list(containers)
    for container in everyone:
        mode = modes.parse(container.host_config.network_mode)
        if not container.state.running or mode.kind == modes.HOST:
            continue
        root = joined.root_of(parts, container)
        if modes.parse(root.host_config.network_mode).kind == modes.CONTAINER:
            root_id = _by_namespace(parts, container)
        else:
            root_id = root.id
        if root_id and namespaces.exists(parts.path(root_id)):
            yield container, root_id


def _by_namespace(parts: Parts, container: Container) -> str:
    """The owner of the sandbox that a process is in, "" when it is none of ours: the id in full where an attachment
    tells it, else as much of it as the namespace's file is called by, which is all that a path needs."""
    wanted = _identity(f"/proc/{container.state.pid}/ns/net")
    owners = {entry.attachment.netns: entry.attachment.container_id for entry in parts.chains.entries("")}
    for name in _names(parts.runtime.namespaces):
        path = f"{parts.runtime.namespaces}/{name}"
        if wanted is not None and _identity(path) == wanted:
            owner = owners.get(path, name)
            return owner if parts.path(owner) == path else name
    return ""


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def collect(parts: Parts, containers: Iterable[Container], used: AbstractSet[str], running: AbstractSet[str]) -> None:
    """Sandboxes that nobody runs in go: those a crash left, those of containers that are gone, all after a reboot.
    Leases of killed starts are given back.  `used` are the ids of those whose sandboxes stay, `running` those who are
    in their own: of the others names and ports go."""
    ours = {container.id: container for container in containers}
    stale: set[str] = set()
    for entry in parts.chains.entries(""):
        attachment = entry.attachment
        mine = attachment.container_id in ours or attachment.netns == parts.path(attachment.container_id)
        if mine and attachment.container_id not in used:
            stale.add(attachment.container_id)
    for container_id in stale:
        closing.end(parts, container_id)
    for container in ours.values():
        shares_host = container.state.running and not container.sandbox.key
        if container.id not in running and container.sandbox.id and not shares_host:
            closing.close_own(parts, container, kept=container.id in used)
    _collect_foreign(parts, ours)
    closing.attempt(
        parts,
        "removing illegible cached results",
        lambda: vanished.remove_illegible_results(parts.places.cache_dir, boot_moment()),
    )
    _collect_namespaces(parts, used)
    _collect_leases(parts, ours, used)


def _collect_foreign(parts: Parts, ours: Mapping[str, Container]) -> None:
    """What containers of other engines held when they ended without their engine's notice, or the machine's: nerdctl
    gives it back only when such a container starts again, and never what `pynet connect` attached.  Whether one has
    ended shows in its namespace."""
    for entry in parts.chains.entries(""):
        attachment = entry.attachment
        if attachment.container_id in ours or not vanished.is_gone(entry):
            continue
        what = f"giving back what {attachment.container_id} held on {entry.network}"
        closing.attempt(parts, what, lambda entry=entry: parts.attacher.detach_gone(entry))  # type: ignore[misc]


def _collect_namespaces(parts: Parts, used: AbstractSet[str]) -> None:
    wanted = {os.path.basename(parts.path(root)) for root in used}
    for name in _names(parts.runtime.namespaces):
        if name not in wanted:
            path = f"{parts.runtime.namespaces}/{name}"
            closing.attempt(parts, f"removing {path}", lambda path=path: _end(parts, path))  # type: ignore[misc]


def _end(parts: Parts, path: str) -> None:
    if namespaces.exists(path):
        with Namespace.open(path) as namespace:
            parts.resolver.withdraw(namespace)
    namespaces.remove(path)


def _collect_leases(parts: Parts, ours: dict[str, Container], used: AbstractSet[str]) -> None:
    """An ADD that was killed between its lease and its result is known by the lease alone.  One of another engine goes
    when it is older than this boot."""
    booted = boot_moment()
    for known in parts.catalog.all():
        if known.network is None:
            continue
        network = known.network.replace(name=known.list_name)
        _sweep_leases(parts, network, booted)
        for each in attachments(network, parts.places.cache_dir, parts.places.lease_dir):
            if each.cache_file:
                continue
            if each.container_id not in ours:
                if each.leased >= booted:
                    continue
            elif each.container_id in used and ours[each.container_id].sandbox.ifnames.get(known.name) == each.ifname:
                continue
            closing.attempt(
                parts,
                f"giving back the addresses of {each.container_id[:12]} on {known.name}",
                lambda known=known, each=each: parts.attacher.detach_lease(  # type: ignore[misc]
                    known, each.container_id, each.ifname
                ),
            )


def _sweep_leases(parts: Parts, network: Network, booted: float) -> None:
    """What a power cut left of a lease may name nobody for whom a DEL could be called."""
    book = LeaseBook(network.data_dir or parts.places.lease_dir, network.name)

    def sweep() -> None:
        book.sweep(booted)

    closing.attempt(parts, f"giving back illegible leases of {network.name}", sweep)


def resume(parts: Parts, container: Container) -> None:
    """A running container's routes are untouched; its names and ports are served by this daemon.  A connection or
    disconnection that a killed one had begun is taken back, or finished where the interface is gone."""
    what = f"taking over {container.name}"

    def take_over() -> None:
        present = surroundings.present(parts, container)
        begun = list(_begun(parts, container))
        closing.attempt(parts, what, lambda: _forget_gone(parts, container, present))
        with Namespace.open(container.sandbox.key) as namespace:
            inside.route(namespace, present.values(), [each for _, each in begun])
            if surroundings.has_resolver(parts, present) or parts.resolver.serves(namespace):
                rendered = surroundings.resolv_conf(parts, container, present, True)
                surroundings.serve_names(parts, container, namespace, present, rendered.ndots, again=True)
        for entry, each in begun:
            closing.attempt(parts, what, lambda entry=entry, each=each: _undo(parts, container, entry, each))  # type: ignore[misc]
        parts.ports.shield(container, surroundings.shielded(parts, present))
        for problem in parts.ports.restore(container, surroundings.gateways(parts, present)):
            parts.log(f"{what}: {problem}")

    closing.attempt(parts, what, take_over)


def _begun(parts: Parts, container: Container) -> Iterator[tuple[CacheEntry, Attached]]:
    """Attachments that the container's record does not know yet."""
    recorded = {
        (surroundings.known_of(parts, container, name).list_name, ifname)
        for name, ifname in container.sandbox.ifnames.items()
        if name in container.networks
    }
    for list_name, entries in parts.attacher.entries(container.id).items():
        for entry in entries:
            if (list_name, entry.attachment.ifname) not in recorded:
                known = Known(list_name, "", list_name)
                yield entry, parts.attacher.of_entry(known, Endpoint(), entry)


def _undo(parts: Parts, container: Container, entry: CacheEntry, attached: Attached) -> None:
    parts.etc(container.id).change_hosts(surroundings.own_lines(container, attached), ())
    parts.attacher.detach(entry, at_once=True)


def _forget_gone(parts: Parts, container: Container, present: surroundings.Endpoints) -> None:
    """Interfaces that the record knows and that are gone."""
    for name in [name for name in container.sandbox.ifnames if name not in present]:
        container.sandbox.ifnames.pop(name)
        endpoint = container.networks.get(name)
        if endpoint is None:
            continue
        texts = (endpoint.ip_address, endpoint.global_ipv6_address)
        addresses = [Address.parse(text) for text in texts if text]
        lines = files.own_lines(addresses, container.config.hostname, container.config.domainname)
        parts.etc(container.id).change_hosts(lines, ())
        endpoints.clear(endpoint)
    container.sandbox.order = [name for name in container.sandbox.order if name in present]
