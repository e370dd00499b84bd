"""Closing sandboxes: everything is tried, whatever fails; what could not be done is logged, and tried again when the
container next starts or the daemon does."""

from __future__ import annotations

from collections.abc import Callable

from netd.failure import NotFound
from netd.runtime.model import Container, ContainerConfig, HostConfig, SandboxState
from netd.sandbox import endpoints, modes, namespaces, surroundings
from netd.sandbox.catalog import Known
from netd.sandbox.creating import find_or_none
from netd.sandbox.parts import Parts
from pycni.kernel.namespace import Namespace
from pycni.spec.errors import CniError


def attempt(parts: Parts, what: str, step: Callable[[], None]) -> None:
    """One step of a tear-down."""
    try:
        step()
    except (CniError, OSError) as error:
        parts.log(f"{what}: {error}")


def close_own(parts: Parts, container: Container, kept: bool) -> None:
    """`kept`: others live on in the namespace, so interfaces and addresses stay; names and ports go."""
    path = parts.path(container.id)
    name = f"closing the sandbox of {container.name}"
    if kept:
        attempt(parts, name, lambda: _silence(parts, path))
    else:
        attempt(parts, name, lambda: withdraw(parts, container.id, path))
    attempt(parts, name, lambda: parts.ports.unpublish(container))
    if kept:
        # the addresses are in use still, and no more open to strangers than before
        attempt(parts, name, lambda: _shield(parts, container))
    else:
        discard(parts, container.id, path, names=False)
    forget(parts, container)


def _shield(parts: Parts, container: Container) -> None:
    parts.ports.shield(container, surroundings.shielded(parts, surroundings.present(parts, container)))


def end(parts: Parts, root: str) -> None:
    """The last one who used a sandbox has left it, after the container that made it stopped, or was removed."""
    attempt(parts, f"closing the sandbox of {root[:12]}", lambda: parts.ports.unpublish(_container(parts, root)))
    discard(parts, root, parts.path(root))


def _container(parts: Parts, container_id: str) -> Container:
    """The container, or what can be said of one that is gone."""
    try:
        return parts.lookup(container_id)
    except NotFound:
        return Container(container_id, container_id[:12], "", ContainerConfig(), HostConfig())


def _silence(parts: Parts, path: str) -> None:
    with Namespace.open(path) as namespace:
        parts.resolver.silence(namespace)


def withdraw(parts: Parts, container_id: str, path: str) -> None:
    """No name leads there any more."""
    if not namespaces.exists(path):
        parts.resolver.forget(container_id)
        return
    with Namespace.open(path) as namespace:
        parts.resolver.withdraw(namespace)


def discard(parts: Parts, container_id: str, path: str, names: bool = True) -> None:
    """Nothing of a sandbox is left, be it one that a crash or a reboot cut short."""
    what = f"removing the sandbox of container {container_id[:12]}"
    entries = [entry for found in parts.attacher.entries(container_id).values() for entry in found]
    if names and (entries or namespaces.exists(path)):
        attempt(parts, what, lambda: withdraw(parts, container_id, path))
    for entry in entries:
        attempt(parts, what, lambda entry=entry: parts.attacher.detach(entry))  # type: ignore[misc]
    attempt(parts, what, lambda: namespaces.remove(path))


def attachments(parts: Parts, container_id: str) -> frozenset[tuple[str, str]]:
    """(list, interface) of each attachment."""
    entries = parts.attacher.entries(container_id)
    return frozenset((entry.network, entry.attachment.ifname) for found in entries.values() for entry in found)


def undo(parts: Parts, container: Container, path: str, kept: bool, before: frozenset[tuple[str, str]]) -> None:
    """What `open_own` did before it failed is undone; of a kept sandbox only what was not there `before`."""
    what = f"undoing the start of {container.name}"
    attempt(parts, what, lambda: parts.ports.unpublish(container))
    if kept:
        attempt(parts, what, lambda: _silence(parts, path))
        for entries in parts.attacher.entries(container.id).values():
            for entry in entries:
                if (entry.network, entry.attachment.ifname) not in before:
                    attempt(parts, what, lambda entry=entry: parts.attacher.detach(entry, at_once=True))  # type: ignore[misc]
    else:
        discard(parts, container.id, path)
    _clear(container)


def forget(parts: Parts, container: Container) -> None:
    """The container shows nothing of its sandbox any more; others are told."""
    left = [known for known in (_attached(parts, container, name) for name in container.sandbox.order) if known]
    _clear(container)
    for known in left:
        parts.announce("disconnect", known, container)


def _attached(parts: Parts, container: Container, name: str) -> Known | None:
    return find_or_none(parts, name) if name in container.networks else None


def _clear(container: Container) -> None:
    for name in container.sandbox.random_macs:
        if name in container.networks:
            container.networks[name].mac_address = ""
    for name, endpoint in container.networks.items():
        if name not in (modes.HOST, modes.NONE):
            endpoints.clear(endpoint)
    container.sandbox = SandboxState()
