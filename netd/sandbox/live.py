"""Changes to a running container: connected, disconnected, renamed.  A change that fails is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from netd.failure import Failure, NotFound
from netd.runtime.model import Container, Endpoint
from netd.sandbox import endpoints, inside, links, modes, names, opening, surroundings
from netd.sandbox.catalog import Known
from netd.sandbox.closing import attempt
from netd.sandbox.creating import adopt
from netd.sandbox.gateway import Attached
from netd.sandbox.parts import Parts
from pycni.kernel.namespace import Namespace
from pycni.spec.errors import CniError


def connect(parts: Parts, container: Container, known: Known, endpoint: Endpoint) -> None:
    """One more interface.  Failure or NetworkError, with everything as before."""
    before = surroundings.present(parts, container)
    adopt(parts, container, known.name, endpoint)
    with Namespace.open(container.sandbox.key) as namespace:
        try:
            inside.hold_routes(namespace)
            found = opening.attach(parts, container, known, namespace)
            after = {**before, known.name: found}
            opening.note(container, after)
            parts.ports.shield(container, surroundings.shielded(parts, after))
            _settle(parts, container, namespace, before, after)
            _write_hosts(parts, container, (), (found,))
        except BaseException as error:
            what = f"undoing the connection of {container.name} to {known.name}"
            container.sandbox.ifnames.pop(known.name, None)
            _undo(parts, container, namespace, known, before, what)
            raise opening.as_failure(error) from None
    parts.announce("connect", known, container)


def _undo(
    parts: Parts, container: Container, namespace: Namespace, known: Known, before: dict[str, Attached], what: str
) -> None:
    kept = {each.ifname for each in before.values() if each.cni == known.list_name}
    now = dict(before)
    for entry in parts.attacher.entries(container.id).get(known.list_name, ()):
        if entry.attachment.ifname not in kept:
            found = parts.attacher.of_entry(known, container.networks[known.name], entry)
            now[known.name] = found
            attempt(parts, what, lambda entry=entry: parts.attacher.detach(entry, at_once=True))  # type: ignore[misc]
    container.networks.pop(known.name, None)
    opening.note(container, before)
    attempt(parts, what, lambda: parts.ports.shield(container, surroundings.shielded(parts, before)))
    attempt(parts, what, lambda: _settle(parts, container, namespace, now, before))
    attempt(parts, what, lambda: _write_hosts(parts, container, [now[name] for name in now if name not in before], ()))


def disconnect(parts: Parts, container: Container, known: Known) -> None:
    """The interface goes, after all that led through it; Failure after everything was tried.

    Its lines in /etc/hosts go last: a daemon that is killed meanwhile is followed by one that makes everything else be
    as the interface is (`restoring.resume`)."""
    before = surroundings.present(parts, container)
    after = {name: each for name, each in before.items() if name != known.name}
    problems: list[str] = []
    with Namespace.open(container.sandbox.key) as namespace:
        if surroundings.has_resolver(parts, before):
            rendered = surroundings.resolv_conf(parts, container, after, True)
            _try(problems, lambda: surroundings.serve_names(parts, container, namespace, after, rendered.ndots))
        entries = parts.attacher.entries(container.id).get(known.list_name, ())
        ifname = container.sandbox.ifnames.get(known.name)
        endpoint = container.networks.pop(known.name)
        if known.name in container.sandbox.random_macs:
            endpoint.mac_address = ""
        opening.note(container, after)
        _try(problems, lambda: _settle(parts, container, namespace, before, after))
        for entry in entries:
            if entry.attachment.ifname == ifname:
                _try(problems, lambda entry=entry: parts.attacher.detach(entry, at_once=True))  # type: ignore[misc]
        gone = [before[name] for name in before if name not in after]
        _try(problems, lambda: _write_hosts(parts, container, gone, ()))
        # not before: its address is reachable through its own device only as long as it is there
        _try(problems, lambda: parts.ports.shield(container, surroundings.shielded(parts, after)))
    parts.announce("disconnect", known, container)
    if problems:
        raise Failure(f"disconnecting {container.name} from network {known.name}: {'; '.join(problems)}")


def _try(problems: list[str], step: Callable[[], None]) -> None:
    try:
        step()
    except (CniError, OSError) as error:
        problems.append(str(error))


def _settle(
    parts: Parts,
    container: Container,
    namespace: Namespace,
    before: dict[str, Attached],
    after: dict[str, Attached],
) -> None:
    """Routes, resolv.conf, names and ports follow from the endpoints there are now."""
    gone = [each for name, each in before.items() if name not in after]
    inside.route(namespace, after.values(), gone)
    etc = parts.etc(container.id)
    # a resolver that was once there stays: a container without networks is told nothing by it (contract 1.6, 2.4)
    resolver = surroundings.has_resolver(parts, after) or parts.resolver.serves(namespace)
    rendered = surroundings.resolv_conf(parts, container, after, resolver)
    if resolver:
        surroundings.serve_names(parts, container, namespace, after, rendered.ndots)
    if after:
        container.sandbox.resolv_conf = etc.replace_resolv_conf(rendered.text, container.sandbox.resolv_conf)
    container.sandbox.ports = dict(parts.ports.move(container, surroundings.gateways(parts, after)))


def _write_hosts(parts: Parts, container: Container, gone: Iterable[Attached], new: Iterable[Attached]) -> None:
    parts.etc(container.id).change_hosts(
        [line for each in gone for line in surroundings.own_lines(container, each)],
        [line for each in new for line in surroundings.own_lines(container, each)],
    )


def renamed(parts: Parts, container: Container, old: str) -> None:
    """Its new name is the one that resolves; StoreError, FirewallError."""
    for other, link in _links_to(parts, container):
        names_before = links.host_names(link, container, old)
        parts.etc(other.id).rename_names(names_before, links.host_names(link, container))
    for name, endpoint in container.networks.items():
        if name not in modes.PREDEFINED:
            endpoint.dns_names = names.dns_names(container, endpoint)
    attached = surroundings.present(parts, container)
    if not container.sandbox.key or not surroundings.has_resolver(parts, attached):
        return
    rendered = surroundings.resolv_conf(parts, container, attached, True)
    with Namespace.open(container.sandbox.key) as namespace:
        surroundings.serve_names(parts, container, namespace, attached, rendered.ndots)


def relink(parts: Parts, container: Container) -> None:
    """A container that others link to on the default bridge may have another address than before: their files for
    /etc/hosts say so."""
    if modes.BRIDGE not in container.networks:
        return
    for other, link in _links_to(parts, container):
        parts.etc(other.id).move_names(links.hosts_lines(link, container, surroundings.bridge_addresses(container)))


def _links_to(parts: Parts, container: Container) -> Iterator[tuple[Container, links.Link]]:
    """Running containers that link to it on the default bridge."""
    for other in parts.everyone():
        if other.id == container.id or not other.state.running or modes.BRIDGE not in other.networks:
            continue
        for text in other.host_config.links or ():
            link = links.parse(text)
            with suppress(NotFound):
                if links.target(other, link, parts.lookup).id == container.id:
                    yield other, link


def unlink(parts: Parts, container: Container, alias: str) -> None:
    """A link on the default bridge is no more, at once; its variables stay until the next start.  NotFound."""
    given = container.host_config.links or []
    found = [links.parse(text) for text in given]
    gone = [link for link in found if link.alias == alias]
    if not gone or modes.BRIDGE not in container.networks:
        raise NotFound(f"container {container.name} has no link {alias}")
    with suppress(NotFound):
        target = links.target(container, gone[0], parts.lookup)
        parts.etc(container.id).rename_names(links.host_names(gone[0], target), "")
    container.host_config.links = [text for text, link in zip(given, found, strict=True) if link.alias != alias] or None
    container.linked.pop(alias, None)


def forget_wish(container: Container, name: str) -> None:
    """A stopped container is no longer to be on this network."""
    endpoints.clear(container.networks.pop(name))
