"""After somebody else removed rules: everything on record holds again, in the order in which it came.

What each backend lacks goes back in as few transactions as it takes.  Nothing is removed, and what is there is left as
it is, so a restoration that was killed half-way is completed by the next one.
"""

from __future__ import annotations

import os

from pycni.firewall.facts import BRIDGE_NAT, FIREWALLD
from pycni.firewall.ledger import IPTABLES, Entry, Ledger
from pycni.record import Record
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    from pycni.firewall.facts import Fact, Owner

    class Checking(Protocol):
        """What can be asked for what is missing, and given it."""

        def install(self, entry: Entry) -> None: ...
        def missing(self, owner: Owner, kind: str, facts: tuple[Fact, ...]) -> list[str]: ...


NFTABLES = "nftables"

_BACKENDS = (BRIDGE_NAT, NFTABLES, IPTABLES, FIREWALLD)


class Restored(Record):
    """One text for each thing that was missing and is there again, and one for each that cannot be."""

    lost: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: Restored) -> Restored:
        return Restored(self.lost + other.lost, self.problems + other.problems)


def shares(ledger: Ledger) -> dict[str, list[Entry]]:
    """What each backend should have, oldest first: an entry for each attachment and kind, with that backend's facts
    alone."""
    found: dict[str, list[Entry]] = {}
    for entry in sorted(ledger.all(), key=lambda entry: _written(ledger, entry)):
        settled = entry.replace(stale=(), stale_backend="")
        for name in _BACKENDS:
            facts = settled.facts_in(name)
            if facts:
                found.setdefault(name, []).append(settled.replace(backend=name, facts=facts, walled_in=""))
    return found


def _written(ledger: Ledger, entry: Entry) -> int:
    """When the entry was recorded: nanoseconds, 0 when its file is gone."""
    try:
        return os.stat(ledger.path(entry.owner, entry.kind)).st_mtime_ns
    except OSError:
        return 0


def each(backend: Checking, entries: Iterable[Entry]) -> Restored:
    """One attachment after the other."""
    lost, problems = [], []
    for entry in entries:
        try:
            if backend.missing(entry.owner, entry.kind, entry.facts):
                backend.install(entry)
                lost.append(described(entry))
        except CniError as error:
            problems.append(f"{described(entry)}: {error.msg}")
    return Restored(tuple(lost), tuple(problems))


def described(entry: Entry) -> str:
    """As operators are told of it."""
    owner = entry.owner
    return f'{entry.kind} rules of container "{owner.container_id}" interface "{owner.ifname}" on "{owner.network}"'


def restore(ledger: Ledger, restorer: Callable[[str], Callable[[list[Entry]], Restored]]) -> Restored:
    """Everything on record, backend by backend; `restorer` gives the function for a backend's name."""
    result = Restored()
    for name, entries in shares(ledger).items():
        try:
            result += restorer(name)(entries)
        except CniError as error:
            result += Restored((), (error.msg,))
    return result
