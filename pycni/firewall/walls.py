"""Isolation across backends.

A backend drops traffic between the bridges it knows.  Where a user has named the one backend for one network and the
other for another, each must know the other's bridges as well, or the wall between the two has no second side.  On a
host with one backend, which is nearly every host, nothing here does anything.
"""

from __future__ import annotations

from pycni.firewall.ledger import Entry, Ledger


def join(ledger: Ledger, entry: Entry) -> tuple[Entry, list[Entry]]:
    """What an install of `entry` means for the walls: the entry as it is to be recorded, and what else backends have
    to be given, one entry for each.

    Others whose walls now stand in a second backend are recorded as such before anything is changed."""
    if not entry.walls:
        return entry, []
    home = entry.wall_backend
    extra = [] if home == entry.backend else [_walls(entry, home)]
    abroad = ""
    for claimants in ledger.bridges():
        first = next((each for each in claimants if each.owner != entry.owner), None)
        if first is None or first.wall_backend == home:
            continue
        abroad = first.wall_backend
        if first.walled_in != home:
            for each in (first, *claimants):
                ledger.put(each.replace(walled_in=home))
            extra.append(_walls(first, home))
    if abroad:
        extra.append(_walls(entry, abroad))
    return entry.replace(walled_in=abroad), extra


def _walls(entry: Entry, backend: str) -> Entry:
    return entry.replace(backend=backend, facts=entry.walls, stale=(), stale_backend="")
