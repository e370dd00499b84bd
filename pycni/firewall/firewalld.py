"""The firewalld backend: addresses as sources of a zone of firewalld's, told over D-Bus (contract 5.4).

firewalld forgets them when it restarts, and they name nobody: whose one is, only the ledger knows.
"""

from __future__ import annotations

from pycni.firewall.bus import Bus, BusError
from pycni.firewall.dbus_message import Method
from pycni.firewall.facts import FIREWALLD, Fact, Owner, Trust
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError, NotAvailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycni.firewall.ledger import Entry, Ledger
    from pycni.firewall.restore import Restored

_NAME = "org.fedoraproject.FirewallD1"
_ALREADY = "ZONE_ALREADY_SET"


def _zone_method(member: str) -> Method:
    return Method(_NAME, "/org/fedoraproject/FirewallD1", _NAME + ".zone", member)


_ADD = _zone_method("addSource")
_REMOVE = _zone_method("removeSource")
_QUERY = _zone_method("querySource")


def running(bus: str) -> bool:
    """Whether firewalld serves on this bus, as the reference asks; a bus that cannot be reached has none."""
    try:
        with Bus(bus) as connection:
            return connection.has_owner(_NAME)
    except BusError:
        return False


def status(bus: str, zone: str) -> None:
    """NotAvailable saying why addresses cannot be added to this zone."""
    anyone = str(Prefix.host(Address(bytes(4))))
    try:
        with Bus(bus) as connection:
            if not connection.has_owner(_NAME):
                raise NotAvailable("firewall backend firewalld: firewalld does not run")
            connection.call(_QUERY, zone, anyone)
    except BusError as error:
        raise NotAvailable(f"firewall backend firewalld: {error.msg}") from None


class FirewalldBackend:
    """Trust facts in firewalld; other facts are none of its.  The caller holds the namespace's lock."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def status(self) -> None:
        """Depends on a zone and a bus: see `status` of this module."""

    def install(self, entry: Entry) -> None:
        """The entry's addresses are sources of their zones; FirewallError in the reference's words, and none is,
        else."""
        for fact in _trusts(entry.facts):
            done: list[Address] = []
            with Bus(fact.bus) as connection:
                for address in fact.addresses:
                    source = str(Prefix.host(address))
                    try:
                        connection.call(_ADD, fact.zone, source)
                    except BusError as error:
                        if _ALREADY in error.msg:
                            continue
                        self._remove(connection, entry.owner, fact.replace(addresses=tuple(done)))
                        text = f"failed to add the address {source} to {fact.zone} zone: {error.msg}"
                        raise FirewallError(text) from None
                    done.append(address)

    def remove(self, owner: Owner, kind: str, facts: tuple[Fact, ...], search: bool) -> None:  # noqa: ARG002
        """The facts' addresses are no sources of their zones, except those of other attachments.  What firewalld
        answers is of no interest, as in the reference: one that has gone has forgotten them, and one that does not
        know the source or the zone any more has nothing to remove."""
        for fact in _trusts(facts):
            try:
                with Bus(fact.bus) as connection:
                    self._remove(connection, owner, fact)
            except BusError:
                continue

    def _remove(self, connection: Bus, owner: Owner, fact: Trust) -> None:
        for address in fact.addresses:
            if self._claimed(owner, fact.replace(addresses=(address,))):
                continue
            try:
                connection.call(_REMOVE, fact.zone, str(Prefix.host(address)))
            except BusError as error:
                if not error.name:
                    raise

    def _claimed(self, owner: Owner, wanted: Trust) -> bool:
        """Whether another attachment has the address in the same zone."""
        return any(
            wanted.addresses[0] in fact.addresses and (fact.zone, fact.bus) == (wanted.zone, wanted.bus)
            for entry in self._ledger.holders(owner, wanted)
            for fact in _trusts(entry.facts_in(FIREWALLD))
        )

    def missing(self, owner: Owner, kind: str, facts: tuple[Fact, ...]) -> list[str]:  # noqa: ARG002
        """What CHECK does not find, in the reference's words; unlike it, an address that firewalld does not have is
        missing too (contract, appendix A.15)."""
        found = []
        for fact in _trusts(facts):
            with Bus(fact.bus) as connection:
                for address in fact.addresses:
                    source = str(Prefix.host(address))
                    try:
                        there = connection.call(_QUERY, fact.zone, source)
                    except BusError:
                        there = False
                    if not there:
                        found.append(f"failed to find the address {source} in {fact.zone} zone")
        return found

    def restore(self, entries: list[Entry]) -> Restored:
        """What firewalld has forgotten of these it is told again."""
        from pycni.firewall.restore import each

        return each(self, entries)

    def collect(self, *_what: object) -> list[str]:
        """Nothing beyond what the ledger knows."""
        return []


def _trusts(facts: Iterable[Fact]) -> Iterator[Trust]:
    return (fact for fact in facts if isinstance(fact, Trust))
