"""Who is attached to a network: host-local's leases and libcni's cached results, put together."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator

from netd.networks.conflist import Network
from pycni.ipam.owner import owner_of
from pycni.record import Record
from pycni.spec.address import Address, Prefix

LEASES = "/var/lib/cni/networks"
CACHE = "/var/lib/cni"
LONE = "ns-"
"""How the ids begin of namespaces that are attached without a container of an engine."""


class Attachment(Record):
    """One interface of one container.  `netns` is known from the cached result only; empty otherwise.  `name` is the
    container's own, where it is asked for (`named`) and known; `leased` when its newest lease was written."""

    container_id: str
    ifname: str
    addresses: tuple[Prefix, ...] = ()
    mac: str = ""
    netns: str = ""
    cache_file: str = ""
    name: str = ""
    leased: float = 0.0

    @property
    def is_gone(self) -> bool:
        """The namespace it was attached to no longer exists, so nothing of it can be running.  False when unsure."""
        return bool(self.netns) and not os.path.exists(self.netns)


def lease_dir(network: Network, default: str = LEASES) -> str:
    return os.path.join(network.data_dir or default, network.name)


def attachments(network: Network, cache: str = CACHE, leases: str = LEASES) -> tuple[Attachment, ...]:
    """Sorted by container id and interface."""
    found: dict[tuple[str, str], Attachment] = {}
    for item in _cached(network, cache):
        found[item.container_id, item.ifname] = item
    for (container_id, ifname), address, written in _leased(lease_dir(network, leases)):
        known = found.get((container_id, ifname), Attachment(container_id, ifname))
        known = known.replace(leased=max(known.leased, written))
        if all(prefix.address != address for prefix in known.addresses):
            known = known.replace(addresses=(*known.addresses, _with_length(address, network)))
        found[container_id, ifname] = known
    return tuple(found[key] for key in sorted(found))


def named(network: Network, found: Iterable[Attachment], run_dir: str) -> tuple[Attachment, ...]:
    """The same with the names their containers have for the name server: the first is the container's own.  A namespace
    that `pynet connect` attached is called as it calls it."""
    from pycni.names import Attachments  # costs `pynet ls` nothing

    known = {
        (record.owner.container_id, record.owner.ifname): record.names[0]
        for _key, record in Attachments(run_dir).of_network(network.name)
        if record.names
    }
    return tuple(each.replace(name=_lone(each) or known.get((each.container_id, each.ifname), "")) for each in found)


def _lone(each: Attachment) -> str:
    return f"ns:{each.netns}" if each.container_id.startswith(LONE) and each.netns else ""


def cached_files(network: str, cache: str = CACHE) -> tuple[str, ...]:
    """Paths of libcni's cached results of this network (contract 1.15)."""
    return tuple(path for path, _value in _cache_entries(network, cache))


def _cache_entries(network: str, cache: str) -> Iterator[tuple[str, dict[str, object]]]:
    folder = os.path.join(cache, "results")
    for base in _names(folder):
        # names may hold '-' themselves, so the file's name only narrows the search
        if not base.startswith(f"{network}-"):
            continue
        path = os.path.join(folder, base)
        try:
            with open(path, encoding="utf-8") as stream:
                value = json.load(stream)
        except (OSError, ValueError):
            continue
        if isinstance(value, dict) and value.get("networkName") == network:
            yield path, value


def _cached(network: Network, cache: str) -> Iterator[Attachment]:
    for path, value in _cache_entries(network.name, cache):
        container_id, ifname = value.get("containerId"), value.get("ifName")
        if not (isinstance(container_id, str) and container_id and isinstance(ifname, str)):
            continue
        addresses, mac = _result(value.get("result"), ifname)
        netns = value.get("netns")
        yield Attachment(container_id, ifname, addresses, mac, netns if isinstance(netns, str) else "", cache_file=path)


def _result(result: object, ifname: str) -> tuple[tuple[Prefix, ...], str]:
    """Addresses and MAC of the container's interface; a result of an old version may hold neither."""
    if not isinstance(result, dict):
        return (), ""
    interfaces = [item for item in result.get("interfaces") or [] if isinstance(item, dict)]
    inside = [item for item in interfaces if item.get("sandbox") and item.get("name") == ifname]
    mac = str(inside[0].get("mac", "")) if inside else ""
    addresses = []
    for item in result.get("ips") or []:
        with contextlib.suppress(ValueError, AttributeError, TypeError, KeyError):
            addresses.append(Prefix.parse(item["address"]))
    return tuple(addresses), mac


def _leased(folder: str) -> Iterator[tuple[tuple[str, str], Address, float]]:
    """Those that name an attachment: of the others nobody is attached (pycni.ipam.leases gives them back)."""
    for base in _names(folder):
        try:
            address = Address.parse(base)
            with open(os.path.join(folder, base), "rb") as stream:
                content, written = stream.read(), os.fstat(stream.fileno()).st_mtime
        except (ValueError, OSError):
            continue
        owner = owner_of(content)
        if owner is not None:
            yield owner, address, written


def _names(folder: str) -> Iterable[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _with_length(address: Address, network: Network) -> Prefix:
    """The address with its subnet's length, as the container has it."""
    for subnet in network.subnets:
        if subnet.prefix.contains(address):
            return Prefix(address, subnet.prefix.length)
    return Prefix.host(address)
