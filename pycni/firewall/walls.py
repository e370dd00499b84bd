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
    extra: list[Entry] = []
    abroad = ""
    for claimants in ledger.bridges():
        first = next((each for each in claimants if each.owner != entry.owner), None)
        if first is None or first.backend == entry.backend:
            continue
        abroad = first.backend
        if first.walled_in != entry.backend:
            for each in (first, *claimants):
                ledger.put(each.replace(walled_in=entry.backend))
            extra.append(first.replace(backend=entry.backend, facts=first.walls, stale=(), stale_backend=""))
    if abroad:
        extra.append(entry.replace(backend=abroad, facts=entry.walls, stale=(), stale_backend=""))
    return entry.replace(walled_in=abroad), extra
