"""`pynet gc`: every network's attachments judged, and those given back that nobody uses any more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from netd.networks import directory
from netd.networks.conflist import Malformed, Network, read
from netd.networks.gc import Verdict, verdicts
from netd.networks.gc_engines import engines
from netd.networks.manage import Host
from netd.networks.places import Places
from netd.networks.usage import attachments
from pycni.cache import ResultCache
from pycni.record import Record


class Survey(Record):
    """One network; `closed`: its list forbids garbage collection (disableGC)."""

    network: Network
    verdicts: tuple[Verdict, ...]
    closed: bool

    @property
    def frees(self) -> tuple[Verdict, ...]:
        return () if self.closed else tuple(each for each in self.verdicts if each.frees)


def survey(places: Places, root: str, environ: Mapping[str, str], wanted: Iterable[str] = ()) -> list[Survey]:
    """The networks of these names or ids, else all, the default one included.  NotFound, Ambiguous."""
    inventory = directory.load(places.netconf_dir)
    own = _default(root)
    everything = directory.Inventory((*own, *inventory.networks), inventory.unreadable, inventory.retired)
    chosen = [everything.find(each) for each in wanted] or list(everything.networks)
    told = engines(environ, places.run_dir, root)
    entries = ResultCache(places.cache_dir).entries()
    return [
        Survey(
            network,
            tuple(verdicts(network.name, attachments(network, places.cache_dir, places.lease_dir), entries, told)),
            _forbids(network),
        )
        for network in dict.fromkeys(chosen)
    ]


def free(found: Survey, host: Host) -> list[str]:
    """Gives back what is proven to be of no use; what could not be, one line each."""
    if not found.frees:
        return []
    gone = [(each.attachment.container_id, each.attachment.ifname) for each in found.frees]
    return host.give_back(found.network.file, gone)


def _default(root: str) -> tuple[Network, ...]:
    """The list that is kept apart from the others (netd.sandbox.default_bridge)."""
    path = f"{root}/networks/bridge.conflist"
    try:
        with open(path, encoding="utf-8") as stream:
            return (read(json.load(stream), path),)
    except (OSError, ValueError, Malformed):
        return ()


def _forbids(network: Network) -> bool:
    try:
        with open(network.file, encoding="utf-8") as stream:
            return bool(json.load(stream).get("disableGC"))
    except (OSError, ValueError, AttributeError):
        return True
