"""Removing an attachment's interface, and going on after failures (contract 2.0.7)."""

from __future__ import annotations

import os
from errno import EBUSY, ENODEV

from pycni.firewall.facts import Owner
from pycni.firewall.naming import attachment_hash, network_hash, newborn_group, owner_of
from pycni.kernel.namespace import NEWBORN_GROUP, TRASH_GROUP, Namespace
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from typing import TypeVar

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link
    from pycni.skeleton import Context

    T = TypeVar("T")


class Failures:
    """Collects the errors of a tear-down, so that one failing step does not keep the others from being tried."""

    def __init__(self) -> None:
        self.errors: list[CniError] = []

    def attempt(self, step: Callable[[], T]) -> T | None:
        """The step's answer, None when it failed."""
        try:
            return step()
        except CniError as error:
            self.errors.append(error)
        except OSError as error:
            self.errors.append(CniError(str(error)))
        return None

    def raise_first(self) -> None:
        """Raises the only error as it is, several as one that names them all; one that several steps met is one."""
        different = {str(error): error for error in reversed(self.errors)}
        if len(different) == 1:
            raise self.errors[0]
        if different:
            raise CniError("; ".join(reversed(different)))


def empty_trash(namespace: NamespaceApi) -> None:
    """Deletes the retired links of a namespace, all of them in one RCU wait."""
    namespace.delete_group(TRASH_GROUP)


class Unplugged:
    """Takes a retired link off its bridge, if it is on one; its deletion would do so, but of all such links in one go,
    which keeps everybody from the kernel's RTNL lock for 20 ms each where it can filter VLANs."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __call__(self, host: NamespaceApi) -> None:
        try:
            host.set_link(self._index, master=0)
        except KernelError as error:
            if error.errno != ENODEV:
                raise


class Retired:
    """Puts a device of a container out of use at once, and deletes it when called: destroying it costs an RCU wait of
    16 ms.  Until then the container's namespace is kept open; with it the device would go as well.

    With `gently` it only loses its addresses and its name: to be taken down costs a macvlan device another such wait.
    For one whose hardware address nobody else will have."""

    def __init__(self, container: NamespaceApi, link: Link, gently: bool = False) -> None:
        self._fd = os.dup(container.fd)
        try:
            container.set_link(link.index, group=TRASH_GROUP)
            if not gently or not _is_emptied(container, link):
                container.discard_name(link.index)
        except BaseException:
            os.close(self._fd)
            raise

    def __call__(self, _host: NamespaceApi) -> None:
        with Namespace(self._fd, owned=True) as container:
            empty_trash(container)


def _is_emptied(container: NamespaceApi, link: Link) -> bool:
    """The device has no addresses and another name; False when the kernel (before 6.2) renames none that is up."""
    for each in container.addresses(link.index):
        container.remove_address(link.index, each.prefix)
    try:
        container.set_link(link.index, name="pyn" + os.urandom(4).hex())
    except KernelError as error:
        if error.errno != EBUSY:
            raise
        return False
    return True


def find_interface(context: Context) -> tuple[Link | None, tuple[Prefix, ...]]:
    """The attachment's interface in the container and the global addresses it has."""
    container = context.container_or_none()
    link = None if container is None else container.link(context.request.ifname)
    if container is None or link is None:
        return None, ()
    return link, tuple(
        each.prefix
        for each in container.addresses(link.index)
        if not (each.prefix.address.is_link_local or each.prefix.address.is_loopback)
    )


def collect_links(context: Context, keep: AbstractSet[tuple[str, str]], bridge: str = "") -> None:
    """GC of host ends: those of this network's attachments that are not to be kept, known by their aliases, and those
    that never got one, on `bridge` or in the network's own group."""
    network, host = context.config.name, context.host.namespace
    valid = {attachment_hash(Owner(network, container_id, ifname)) for container_id, ifname in keep}
    links = host.links()
    masters = {link.index for link in links if link.name == bridge}
    for link in links:
        tag = link.alias.partition(",")[0]
        stale = tag.startswith(network_hash(network) + "-") and tag not in valid
        newborn = link.group == newborn_group(network) or (link.group == NEWBORN_GROUP and link.master in masters)
        if (stale or newborn) and context.collects(described(link), owner_of(link.alias)):
            host.delete_link(link.index)


def described(link: Link) -> str:
    """For GC: two links of one name are not the same."""
    return f"link {link.name}, number {link.index} ({link.alias.partition(', ')[2] or 'unfinished'})"


def remove_interface(context: Context, host_name: str, link: Link | None) -> None:
    """Removes the attachment's interface; `link` is what `find_interface` found.

    Destroying a link costs an RCU wait of 16 ms.  Where somebody can do that after the answer (the engine's reaper)
    the link is retired instead: taken down, out of the way of its name, and marked for the reaper.
    Without the container's namespace the host's end is found by its name, if it is this attachment's."""
    container = context.container_or_none()
    host = context.host.namespace
    if container is None:
        near = host.link(host_name)
        newborn = (NEWBORN_GROUP, newborn_group(context.config.name))
        if near is not None and (near.group in newborn or near.alias.startswith(attachment_hash(context.owner))):
            host.delete_link(near.index)
        return
    if link is None:
        return
    if context.host.deferring and link.kind == "veth" and host.retire(container, link):
        context.host.defer(Unplugged(link.link))
        context.host.defer(empty_trash)
        return
    try:
        container.delete_link(link.index)
    except KernelError as error:
        raise CniError(f'failed to delete "{link.name}": {error.msg}') from None
