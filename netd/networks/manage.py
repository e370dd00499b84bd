"""Creating and removing networks: decisions from `plan`, files from `directory`, the kernel through a `Host`."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from netd.networks import directory
from netd.networks.conflist import OTHER, PYNET, Network
from netd.networks.directory import RETIRED, Inventory
from netd.networks.errors import InUse, NameTaken, NotFound, NotOurs, RemovalFailed
from netd.networks.facts import HostFacts
from netd.networks.places import Places
from netd.networks.plan import plan
from netd.networks.request import Request
from netd.networks.usage import LEASES, Attachment, attachments, cached_files, lease_dir, named
from pycni.spec.errors import CniError

if TYPE_CHECKING:
    from netd.networks.leftovers import Again, Leftovers, Terms


class Host(Protocol):
    """What managing networks needs of the machine; `host.LiveHost` is the real one."""

    def facts(self) -> HostFacts:
        """Addresses, routes, devices and resolvers in use now."""
        ...

    def delete_device(self, name: str, kind: str) -> None:
        """The device of this name is gone, if it is of this kind; KernelError when the kernel refuses."""
        ...

    def reach(self, value: dict[str, Any]) -> None:
        """The device by which the host reaches the containers of this list is there, where it is to have one.
        CniError when it cannot be made; nothing is left then."""
        ...

    def collect(self, path: str) -> list[str]:
        """Runs GC with no valid attachment through the list stored at `path`: every cached attachment gets DEL,
        every plugin GC.  Returns what failed."""
        ...

    def leftovers(self, network: Network, terms: Terms) -> Leftovers:
        """What no attachment has any claim to; changes nothing."""
        ...

    def free(self, network: Network, found: Leftovers, again: Again) -> list[str]:
        """Gives back the attachments of no use that `again` names, and what of `found` is still there.  Returns what
        failed."""
        ...


def create(request: Request, places: Places, host: Host, created: str, dry_run: bool = False) -> dict[str, Any]:
    """Writes the network's list, and returns it; with `dry_run` it is only returned.  `created` is RFC 3339.
    Raises NetworkError (see errors), OSError when the directory cannot be written.  Nothing is left on failure."""

    def decide() -> dict[str, Any]:
        inventory = directory.load(places.netconf_dir)
        for retired in inventory.retired:
            if retired.name == request.name:
                raise NameTaken(f"network {request.name} is half removed: run pynet rm {request.name} first")
        data_dir = "" if places.lease_dir == LEASES else places.lease_dir
        return plan(request, inventory.networks, host.facts(), created=created, data_dir=data_dir)

    if dry_run:
        return decide()
    with directory.locked(places.netconf_dir):
        directory.sweep(places.netconf_dir)
        value = decide()
        path = directory.add(places.netconf_dir, value)
        try:
            host.reach(value)
        except BaseException:
            directory.forget(path)
            raise
    return value


def attached(network: Network, places: Places) -> tuple[Attachment, ...]:
    """The network's attachments, those whose namespace is gone included."""
    return attachments(network, places.cache_dir, places.lease_dir)


def remove(wanted: str, places: Places, host: Host, force: bool = False) -> str:
    """Removes the network of this name or id with everything of it, and returns its name.
    Raises NotFound, InUse and NotOurs (both waived by `force`), and RemovalFailed; after the last the list stays
    retired, invisible to clients, and the same call resumes."""
    with directory.locked(places.netconf_dir):
        network = removable(wanted, directory.load(places.netconf_dir))
        if not network.file.endswith(RETIRED):
            _refuse(network, places, force)
        _tear_down(network, places, host)
    return network.name


def removable(wanted: str, inventory: Inventory) -> Network:
    """The network of this name or id, one whose removal has begun included; raises NotFound or Ambiguous."""
    try:
        return inventory.find(wanted)
    except NotFound:
        return Inventory(inventory.retired, inventory.unreadable).find(wanted)


def _refuse(network: Network, places: Places, force: bool) -> None:
    if force:
        return
    if network.owner != PYNET:
        maker = "by hand" if network.owner == OTHER else f"by {network.owner}"
        raise NotOurs(f"network {network.name} was made {maker} ({network.file}): remove it there, or use --force")
    present = named(network, (item for item in attached(network, places) if not item.is_gone), places.run_dir)
    users = sorted({item.name or _short(item.container_id) for item in present})
    if users:
        shown = ", ".join(users[:3])
        more = f" and {len(users) - 3} more" if len(users) > 3 else ""
        raise InUse(f"network {network.name} is in use by {shown}{more}: remove the containers, or use --force")


def _short(container_id: str) -> str:
    return container_id if len(container_id) <= 24 else f"{container_id[:24]}…"


def _tear_down(network: Network, places: Places, host: Host) -> None:
    """Retire, collect, delete, forget.  Every step runs whatever the others do."""
    path = directory.retire(network)
    failures: list[str] = []

    def attempt(what: str, step: Callable[[], None]) -> None:
        try:
            step()
        except (CniError, OSError) as error:
            failures.append(f"{what}: {error}")

    attempt("garbage collection", lambda: failures.extend(host.collect(path)))
    if _owns_bridge(network, places):
        attempt(f"bridge {network.bridge}", lambda: host.delete_device(network.bridge, "bridge"))
    if network.host_access and network.owner == PYNET:
        device = network.host_access
        attempt(f"host access {device}", lambda: host.delete_device(device, "macvlan"))
    attempt("leases", lambda: _remove_tree(lease_dir(network, places.lease_dir)))
    for file in cached_files(network.name, places.cache_dir):
        attempt("cached result", lambda file=file: _remove_file(file))  # type: ignore[misc]
    if failures:
        raise RemovalFailed(
            f"network {network.name} is only partly removed ({'; '.join(failures)}): run pynet rm {network.name} again"
        )
    directory.forget(path)


def _owns_bridge(network: Network, places: Places) -> bool:
    """Whether the bridge goes with the network.  A list made by hand may name the host's own uplink bridge."""
    if not network.bridge or network.keeps_bridge or network.owner == OTHER:
        return False
    return all(other.bridge != network.bridge for other in directory.load(places.netconf_dir).networks)


def _remove_tree(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _remove_file(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def unused(places: Places) -> tuple[Network, ...]:
    """Networks made by pynet that no container is attached to; what prune removes."""
    networks = directory.load(places.netconf_dir).networks
    return tuple(
        network
        for network in networks
        if network.owner == PYNET and all(item.is_gone for item in attached(network, places))
    )
