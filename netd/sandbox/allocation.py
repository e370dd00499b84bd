"""Which addresses a container gets: its own choice, else the lowest free ones, as with docker (contract docker 1.2).

host-local goes round in its range and knows only who is attached now.  So for its lists the sandbox chooses, and asks
for what it chose; an address that some other container was created with is left to that one, running or not.  Whoever
takes the same address in between (another engine) makes host-local refuse, and the next one is tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from netd.failure import Forbidden
from netd.runtime.model import Container
from netd.sandbox.catalog import Known
from netd.sandbox.endpoints import wanted_addresses
from pycni.ipam.allocator import next_free
from pycni.ipam.ranges import RangeSet
from pycni.ipam.store import LeaseStore
from pycni.netlist import ListPlugin, NetworkList
from pycni.record import Record
from pycni.spec.address import Address
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.request import Config
from pycni.spec.section import Section
from pycni_plugins.host_local import config as host_local

HOST_LOCAL = "host-local"
_Held = Callable[[], list[Container]]


class Pool(Record):
    """Where a list's addresses come from: host-local's directory and ranges."""

    data_dir: str
    network: str
    sets: tuple[RangeSet, ...]


def pool(network: NetworkList) -> Pool | None:
    """None when the list's addresses are another plugin's business, or it says something wrong: that plugin will."""
    plugin = next((each for each in network.plugins if _ipam_type(each) == HOST_LOCAL), None)
    if plugin is None:
        return None
    config = Config(Section({**plugin.body, "name": network.name, "cniVersion": network.version}))
    try:
        parsed = host_local.parse(config, "")
    except (CniError, ConfigError):
        return None
    return Pool(parsed.data_dir, network.name, parsed.sets)


def _ipam_type(plugin: ListPlugin) -> str:
    ipam = plugin.body.get("ipam")
    return str(ipam.get("type", "")) if isinstance(ipam, dict) else ""


class Allocator:
    """Thread-safe.  `everyone` gives all containers, `store` reads leases (the plugin's own, where it runs here)."""

    def __init__(self, everyone: _Held, store: LeaseStore) -> None:
        self._everyone = everyone
        self._store = store
        self._lock = threading.Lock()
        self._choosing: dict[str, set[Address]] = {}

    @contextmanager
    def choose(
        self, known: Known, source: Pool, container: Container, wanted: tuple[Address, ...], tried: Iterable[Address]
    ) -> Iterator[tuple[Address, ...]]:
        """One address of each of the list's sets, nobody else's here until the block ends.  `tried` were refused.
        Forbidden names the holder of a wanted one, or says that none is left."""
        with self._lock:
            busy = self._choosing.setdefault(known.list_name, set())
            chosen = self._chosen(known, source, container, wanted, busy | set(tried))
            busy.update(chosen)
        try:
            yield chosen
        finally:
            with self._lock:
                busy.difference_update(chosen)

    def _chosen(
        self, known: Known, source: Pool, container: Container, wanted: tuple[Address, ...], avoid: set[Address]
    ) -> tuple[Address, ...]:
        reserved = self.reserved(known.name, container)
        chosen = []
        for each in source.sets:
            wish = next((address for address in wanted if _subnets_hold(each, address)), None)
            taken = self._taken(source, each.family)
            if wish is None:
                chosen.append(self._lowest(known, each, taken, avoid, reserved))
                continue
            if wish.number in taken or wish in avoid:
                raise Forbidden(self._in_use(known, source, wish))
            chosen.append(wish)
        return tuple(chosen)

    def _lowest(
        self, known: Known, source: RangeSet, taken: set[int], avoid: set[Address], reserved: dict[Address, str]
    ) -> Address:
        closed = {address.number for address in (*avoid, *reserved) if address.family == source.family}
        found = next_free(source, taken | closed, None)
        if found is not None:
            return found.address.address
        text = f"no free IP address on network {known.name} (range {source})"
        held = [address for address in reserved if source.contains(address) and address.number not in taken]
        if held:
            shown = ", ".join(f"{address} for {reserved[address]}" for address in sorted(held, key=_number)[:3])
            more = f" and {len(held) - 3} more" if len(held) > 3 else ""
            text += f": {shown}{more} reserved by --ip"
        raise Forbidden(text)

    def _taken(self, source: Pool, family: int) -> set[int]:
        locked = self._store.open_existing(source.data_dir, source.network)
        if locked is None:
            return set()
        with locked:
            return set(locked.taken(family))

    def reserved(self, network: str, asking: Container) -> dict[Address, str]:
        """The static addresses of all other containers on the network, and whose they are."""
        found = {}
        for other in self._everyone():
            endpoint = other.networks.get(network)
            if other.id != asking.id and endpoint is not None and endpoint.ipam_config is not None:
                for address in _legible(other, network):
                    found[address] = other.name
        return found

    def _in_use(self, known: Known, source: Pool, address: Address) -> str:
        """Docker's text, with what docker's users miss in it: that it is about the IP address, and who has it."""
        holder = self.holder(source, address)
        return f"Address already in use: IP address {address} on network {known.name} is taken by {holder}"

    def holder(self, source: Pool, address: Address) -> str:
        """Who has an address now, for people."""
        try:
            with open(f"{source.data_dir}/{source.network}/{address}", encoding="utf-8", errors="replace") as file:
                container_id = file.read().partition("\n")[0].strip()
        except OSError:
            container_id = ""
        for other in self._everyone():
            if other.id == container_id:
                return f"container {other.name}"
        return f"container {container_id[:24]}" if container_id else "a container that is starting"


def _legible(container: Container, network: str) -> tuple[Address, ...]:
    try:
        return wanted_addresses(container.networks[network])
    except ValueError:
        return ()


def _number(address: Address) -> int:
    return address.number


def _subnets_hold(source: RangeSet, address: Address) -> bool:
    """A wanted address may lie outside the range that others are chosen from (contract 1.2)."""
    return any(each.subnet.contains(address) for each in source.ranges)


def asking(network: NetworkList, source: Pool | None, addresses: Iterable[Address]) -> NetworkList:
    """The list that asks its IPAM plugin for these addresses: `args.cni.ips`, which needs no capability and takes both
    families (contract cni 2.2)."""
    wanted = tuple(addresses)
    if not wanted:
        return network
    sets = source.sets if source is not None else ()
    whole = any(_subnets_hold(each, one) and not each.contains(one) for each in sets for one in wanted)
    plugins = tuple(_with_ips(plugin, wanted, whole) if _ipam_type(plugin) else plugin for plugin in network.plugins)
    return network.replace(plugins=plugins)


def _with_ips(plugin: ListPlugin, addresses: Iterable[Address], whole: bool) -> ListPlugin:
    """`whole`: from whole subnets, whatever range the list names."""
    args = _object(plugin.body.get("args"))
    cni = {**_object(args.get("cni")), "ips": [str(address) for address in addresses]}
    body = {**plugin.body, "args": {**args, "cni": cni}}
    if whole:
        body["ipam"] = _without_ends(plugin.body["ipam"])
    return plugin.replace(body=body)


def _without_ends(ipam: dict[str, Any]) -> dict[str, Any]:
    wide = {key: value for key, value in ipam.items() if key not in ("rangeStart", "rangeEnd")}
    if isinstance(wide.get("ranges"), list):
        wide["ranges"] = [[_without_ends(each) for each in group] for group in wide["ranges"]]
    return wide


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
