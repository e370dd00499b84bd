"""What no attachment of a network has any claim to: found, shown, and freed while others attach.

CNI's GC says who is attached, and everything of everybody else goes.  Who attaches at that very moment is not among
those that were counted, so more is asked for than CNI does:

- *The lock.*  In a list whose addresses are host-local's (`guard`), nobody attaches without a lease, and giving one, by
  any implementation, takes the lock of the lease directory.  It is held from the last count to the end; who is part of
  the way has his lease already, and counts.
- *Twice.*  Our plugins are asked before they remove anything (`pycni.skeleton.Context.collects`): first to know what
  there is, later to remove only what was there then.  What bridge makes before it has a lease is younger than that.
- *Proof.*  In other lists only what is of a container that an engine knows not to run goes, and foreign plugins, which
  cannot be asked, are not called.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Set

from netd.networks.collect import FIRST, GC_VERSION, delete, read, runtime
from netd.networks.conflist import Network
from netd.networks.places import Places
from netd.networks.usage import Attachment, attachments, lease_dir
from pycni import cache
from pycni.cache import ResultCache
from pycni.firewall.facts import Owner
from pycni.ipam.leases import LeaseBook
from pycni.ipam.store import LeaseStore, LockedNetwork
from pycni.record import Record
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError, IncompatibleVersion
from pycni_plugins import NAMES, find
from pycni_plugins.host_local.config import DEFAULT_DATA_DIR

HOST_LOCAL = "host-local"

Pairs = Set[tuple[str, str]]
"""(container id, interface) each."""


class Leftovers(Record):
    """`things` by what they are called; `asked` the foreign plugins that get GC, `unasked` those that cannot;
    `failures` one line each."""

    things: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


class Terms(Record):
    """What may go: nothing of `attached`, or of `running` containers (ids); in a list that nothing guards only what
    `is_dead`.  Leases that name nobody must be older than `booted` (unix seconds)."""

    attached: Pairs
    running: Set[str]
    is_dead: Callable[[Owner], bool]
    booted: float


Again = Callable[[], tuple[Iterable[Attachment], Terms]]
"""Counts anew: the attachments that are still of no use, and what holds for the rest."""


def look(network: Network, places: Places, terms: Terms) -> Leftovers:
    """Changes nothing."""
    seen: dict[str, Owner | None] = {}
    guarded = _is_guarded(network, places)

    def note(what: str, owner: Owner | None) -> bool:
        if what and may_go(owner, terms, guarded):
            seen[what] = owner
        return False

    failures = _ask_ours(network, places, terms, note)
    # those who have attached since they were counted
    now = {(each.container_id, each.ifname) for each in attachments(network, places.cache_dir, places.lease_dir)}
    found = [what for what, owner in seen.items() if owner is None or (owner.container_id, owner.ifname) not in now]
    with contextlib.suppress(CniError):
        leases = _book(network, places).illegible(terms.booted)
        found += [f"lease of {each.address} that names nobody" for each in leases]
    foreign = tuple(name for name in network.plugins if name not in NAMES)
    taking = foreign if guarded and _knows_gc(network) else ()
    return Leftovers(tuple(found), taking, () if taking else foreign, tuple(failures))


def free(network: Network, places: Places, found: Leftovers, again: Again) -> list[str]:
    """Gives back the attachments that `again` says are of no use, counting anew, and what was `found` before and still
    is there; what failed, one line each."""
    with guard(network, places) as locked:
        dead, terms = again()
        given = [cache.Attachment(each.container_id, "", each.ifname) for each in dead]
        failures = _give_back(network, places, given, locked)
        before = frozenset(found.things)

        def agree(what: str, owner: Owner | None) -> bool:
            return not what or (what in before and may_go(owner, terms, locked is not None))

        failures += _ask_ours(network, places, terms, agree)
        if locked is not None:
            failures += _ask_others(network, places, terms, found.asked)
        sweep = locked.sweep if locked is not None else _book(network, places).sweep
        try:
            sweep(terms.booted)
        except CniError as error:
            failures.append(str(error))
    return failures


def may_go(owner: Owner | None, terms: Terms, guarded: bool) -> bool:
    """Whether something of this attachment (None: nobody can tell whose) is to be freed.  Pure."""
    if owner is None:
        return guarded
    if owner.container_id in terms.running or (owner.container_id, "") in terms.attached:
        return False
    return guarded or terms.is_dead(owner)


@contextlib.contextmanager
def guard(network: Network, places: Places) -> Iterator[LockedNetwork | None]:
    """Meanwhile nobody attaches to this network, who has not begun to; None where nothing can see to that."""
    locked = None
    if _is_guarded(network, places):
        locked = LeaseStore().open(network.data_dir or DEFAULT_DATA_DIR, network.name)
    with locked if locked is not None else contextlib.nullcontext():
        yield locked


def _is_guarded(network: Network, places: Places) -> bool:
    """Whether every attachment has a lease of host-local's, in one directory, given by our plugins or the reference's:
    another plugin might want the lock that we hold."""
    if lease_dir(network, places.lease_dir) != lease_dir(network, DEFAULT_DATA_DIR):
        return False
    try:
        with open(network.file, encoding="utf-8") as stream:
            value = json.load(stream)
        plugins = value.get("plugins", [value])
        addressing = [each for each in plugins if each.get("ipam")]
        kinds = [each["ipam"].get("type") for each in addressing]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return kinds == [HOST_LOCAL] and addressing[0] is plugins[0] and addressing[0].get("type") in NAMES


def _knows_gc(network: Network) -> bool:
    return read(network.file).at_least(GC_VERSION)


def _book(network: Network, places: Places) -> LeaseBook:
    return LeaseBook(network.data_dir or places.lease_dir, network.name)


def _give_back(
    network: Network, places: Places, attachments: Iterable[cache.Attachment], locked: LockedNetwork | None
) -> list[str]:
    """DEL of each.  The lock is ours, so host-local's part is done with what is open already."""

    def release(context: Context) -> None:
        if locked is not None:
            locked.release(context.request.container_id, context.request.ifname)

    ours = Plugin(HOST_LOCAL, delete=release)

    def load(name: str) -> Plugin | None:
        return ours if locked is not None and name == HOST_LOCAL else find(name)

    with runtime(places, ResultCache(places.cache_dir), load) as running:
        return delete(running, read(network.file), attachments)


def _ask_ours(
    network: Network, places: Places, terms: Terms, collects: Callable[[str, Owner | None], bool]
) -> list[str]:
    # containers whose attachment nothing tells of, but which run
    keep = terms.attached | {(each, FIRST) for each in terms.running}
    return _gc(network, places, keep, [name for name in network.plugins if name in NAMES], collects)


def _ask_others(network: Network, places: Places, terms: Terms, names: Iterable[str]) -> list[str]:
    return _gc(network, places, terms.attached, names, None)


def _gc(
    network: Network,
    places: Places,
    keep: Pairs,
    names: Iterable[str],
    collects: Callable[[str, Owner | None], bool] | None,
) -> list[str]:
    failures: list[str] = []
    wanted = set(names)
    whole = read(network.file).replace(disable_gc=False)
    with runtime(places, ResultCache(places.cache_dir), find, collects) as running:
        for plugin in whole.plugins:
            if plugin.type not in wanted:
                continue
            try:
                running.collect(whole.replace(version=GC_VERSION, plugins=(plugin,)), keep)
            except CniError as error:
                if error.code != IncompatibleVersion.code:
                    failures.extend(str(error).splitlines())
    return failures
