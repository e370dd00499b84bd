"""`pynet gc`: every network's attachments judged, and those given back that nobody uses any more, with what no
attachment has any claim to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping

from netd.networks import directory
from netd.networks.conflist import Malformed, Network, read
from netd.networks.gc import Engines, Verdict, judge, verdicts
from netd.networks.gc_engines import engines
from netd.networks.leftovers import Leftovers, Terms
from netd.networks.manage import Host
from netd.networks.places import Places
from netd.networks.usage import Attachment, attachments
from netd.networks.vanished import UNSURE
from pycni.cache import ResultCache
from pycni.firewall.facts import Owner
from pycni.record import Record
from pycni.spec.errors import CniError

SETTLED = 3.0
"""Seconds between the two looks at what no attachment has any claim to; making one takes some hundredths."""


class Survey(Record):
    """One network; `closed`: its list forbids garbage collection (disableGC).  `leftovers` were seen at `moment`
    (CLOCK_MONOTONIC, seconds)."""

    network: Network
    verdicts: tuple[Verdict, ...]
    closed: bool
    leftovers: Leftovers = Leftovers()
    moment: float = 0.0

    @property
    def frees(self) -> tuple[Verdict, ...]:
        return () if self.closed else tuple(each for each in self.verdicts if each.frees)

    @property
    def has_work(self) -> bool:
        return bool(self.frees or self.leftovers.things or self.leftovers.asked)


class Collector:
    """Of one command; `ask` tells what the engines of this machine run."""

    def __init__(self, places: Places, root: str, host: Host, ask: Callable[[], Engines]) -> None:
        self._places = places
        self._root = root
        self._host = host
        self._ask = ask

    def survey(self, wanted: Iterable[str] = ()) -> list[Survey]:
        """The networks of these names or ids, else all, the default one included.  NotFound, Ambiguous."""
        inventory = directory.load(self._places.netconf_dir)
        own = _default(self._root)
        everything = directory.Inventory((*own, *inventory.networks), inventory.unreadable, inventory.retired)
        chosen = [everything.find(each) for each in wanted] or list(everything.networks)
        told = self._ask()
        return [self._survey(network, told) for network in dict.fromkeys(chosen)]

    def _survey(self, network: Network, told: Engines) -> Survey:
        found = self._judged(network, told)
        if _forbids(network):
            return Survey(network, found, closed=True)
        try:
            left = self._host.leftovers(network, _terms([each.attachment for each in found], told))
        except (CniError, OSError) as error:  # one list that cannot be run is one list
            left = Leftovers(failures=(str(error),))
        return Survey(network, found, False, left, time.monotonic())

    def _judged(self, network: Network, told: Engines) -> tuple[Verdict, ...]:
        held = attachments(network, self._places.cache_dir, self._places.lease_dir)
        return tuple(verdicts(network.name, held, ResultCache(self._places.cache_dir).entries(), told))

    def free(self, found: Survey) -> list[str]:
        """Gives back what is proven to be of no use; what could not be, one line each.  Whoever has attached again
        since the survey, or lives after all, keeps what he has."""
        if not found.has_work:
            return []
        if found.leftovers.things:
            time.sleep(max(0.0, found.moment + SETTLED - time.monotonic()))
        told = self._ask()
        shown = {each.attachment for each in found.frees}

        def again() -> tuple[list[Attachment], Terms]:
            now = self._judged(found.network, told)
            dead = [each.attachment for each in now if each.frees and each.attachment in shown]
            return dead, _terms([each.attachment for each in now if each.attachment not in dead], told)

        try:
            return self._host.free(found.network, found.leftovers, again)
        except (CniError, OSError) as error:
            return [str(error)]


def collector(places: Places, root: str, environ: Mapping[str, str], host: Host) -> Collector:
    return Collector(places, root, host, lambda: engines(environ, places.run_dir, root))


def _terms(held: Iterable[Attachment], told: Engines) -> Terms:
    def is_dead(owner: Owner) -> bool:
        return judge(Attachment(owner.container_id, owner.ifname), UNSURE, told)[0]

    attached = frozenset((each.container_id, each.ifname) for each in held)
    return Terms(attached, frozenset(told.running), is_dead, told.booted)


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
