"""Networks as docker's users name them: `bridge`, `host`, `none`, and every list in the configuration directory.

The files are read again only when one of them has changed: starting a container looks its networks up several times.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from netd.networks import directory
from netd.networks.conflist import Network
from netd.networks.directory import Inventory
from netd.networks.errors import NotFound
from netd.networks.names import network_id
from netd.networks.places import Places
from netd.runtime.places import RuntimePlaces
from netd.sandbox import default_bridge, modes
from pycni.netlist import NetworkList, read_list
from pycni.record import Record

_SHORTEST_PREFIX = 3
"""Digits of an id that count as one, as for every list."""

_Stamp = tuple[tuple[str, int, int, int], ...]


class Known(Record):
    """A network.  `name` and `id` are what users and the API call it, `list_name` what its plugins do ("" for host and
    none, which have no list)."""

    name: str
    id: str
    list_name: str = ""
    network: Network | None = None

    @property
    def is_predefined(self) -> bool:
        return self.name in modes.PREDEFINED

    @property
    def is_user_defined(self) -> bool:
        """Whether aliases, links, static addresses and names work there."""
        return not self.is_predefined


HOST = Known(modes.HOST, network_id("pynet-host"))
NONE = Known(modes.NONE, network_id("pynet-none"))
BRIDGE_ID = network_id(default_bridge.CNI_NAME)


class Catalog:
    """Thread-safe."""

    def __init__(self, places: Places, runtime: RuntimePlaces) -> None:
        self._places = places
        self._bridge_path = default_bridge.path_of(runtime)
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._inventory = Inventory()
        self._bridge: Network | None = None
        self._lists: dict[str, NetworkList] = {}

    def find(self, wanted: str) -> Known:
        """By id, name, then unique id prefix; NotFound, Ambiguous (docker's precedence)."""
        inventory, bridge = self._read()
        predefined = _predefined(bridge)
        for known in predefined:
            if wanted in (known.name, known.id):
                return known
        if wanted == default_bridge.NAME:
            raise NotFound("network bridge not found: there was no subnet left for it")
        try:
            return self._known(inventory.find(wanted))
        except NotFound:
            matches = [known for known in predefined if known.id.startswith(wanted)]
            if len(wanted) < _SHORTEST_PREFIX or len(matches) != 1:
                raise
            return matches[0]

    def find_list(self, list_name: str) -> Known | None:
        """The network whose list has this name."""
        return next((known for known in self.all() if known.list_name == list_name), None)

    def all(self) -> list[Known]:
        """bridge, host, none, then the lists; of several with one name the first.  A list that is called as one of the
        predefined ones, as nerdctl's default, cannot be named and is left out."""
        inventory, bridge = self._read()
        found = {known.name: known for known in _predefined(bridge)}
        for network in inventory.networks:
            found.setdefault(network.name, self._known(network))
        return list(found.values())

    def plugins(self, known: Known) -> NetworkList:
        """The list to run; NotFound when the file went, ConfigError when it is no list."""
        network = known.network
        if network is None:
            raise NotFound(f"network {known.name} has no plugins")
        self._read()
        with self._lock:
            found = self._lists.get(network.file)
        if found is None:
            found = read_list(network.file)
            with self._lock:
                self._lists[network.file] = found
        return found

    def _known(self, network: Network) -> Known:
        return Known(network.name, network.id, network.name, network)

    def _read(self) -> tuple[Inventory, Network | None]:
        stamp = (*_stamps(self._places.netconf_dir), *_stamps(os.path.dirname(self._bridge_path)))
        with self._lock:
            if stamp != self._stamp:
                self._inventory = directory.load(self._places.netconf_dir)
                self._bridge = default_bridge.read_file(self._bridge_path)
                self._lists = {}
                self._stamp = stamp
            return self._inventory, self._bridge


def _predefined(bridge: Network | None) -> tuple[Known, ...]:
    default = Known(default_bridge.NAME, BRIDGE_ID, default_bridge.CNI_NAME, bridge)
    return (default, HOST, NONE) if bridge is not None else (HOST, NONE)


def _stamps(folder: str, depth: int = 1) -> Iterator[tuple[str, int, int, int]]:
    """Everything a change of a file changes, one level below included: nerdctl keeps lists there."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        try:
            state = entry.stat()
            is_folder = entry.is_dir()
        except OSError:
            continue
        yield entry.path, state.st_ino, state.st_mtime_ns, state.st_size
        if is_folder and depth:
            yield from _stamps(entry.path, depth - 1)
