"""The nftables backend: an owner's facts as elements of our own table (see `pycni.firewall.nft_static`).

In the steady state nothing is executed: an install or a removal is one netlink transaction.  An element that two owners
want (one bridge's isolation, one address on two networks) is marked as shared, and goes when the ledger knows nobody
who needs it.  A host port has one owner; a second container that asks for it is refused.
"""

from __future__ import annotations

from errno import EEXIST, ENOENT

from pycni import program_path
from pycni.firewall import nft_static as static
from pycni.firewall.facts import Fact, Masquerade, Owner, Publish
from pycni.firewall.naming import attachment_hash, network_hash
from pycni.firewall.nft_conditions import Conditions
from pycni.firewall.nft_elements import SHARED, Element, Held, comment_of, elements
from pycni.firewall.nft_reference import ReferenceTables
from pycni.firewall.nft_table import NFT_NEEDED, Table
from pycni.kernel.netlink import Refused
from pycni.spec.errors import CniError, FirewallError, KernelError, NotAvailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from pycni.firewall.generation import NfTables
    from pycni.firewall.iptables_forward import ForwardAccept
    from pycni.firewall.ledger import Entry, Ledger
    from pycni.firewall.restore import Restored
    from pycni.kernel.namespace import Namespace

NAME = "nftables"

_ATTEMPTS = 5


class NftBackend:
    """Facts in our nftables table of one namespace.  The caller holds the namespace's lock."""

    def __init__(
        self, namespace: Namespace, nftables: NfTables, ledger: Ledger, forward: Callable[[], ForwardAccept | None]
    ) -> None:
        self._nftables = nftables
        self._ledger = ledger
        self._forward = forward
        self._table = Table(namespace, nftables)
        self._conditions = Conditions(self._table, ledger)
        self._reference = ReferenceTables(nftables)

    def status(self) -> None:
        """NotAvailable naming what is missing: the program (needed once a namespace) or the kernel's nf_tables."""
        try:
            self._nftables.generation()
        except (KernelError, OSError) as error:
            raise NotAvailable(f"firewall backend nftables: the kernel does not offer nf_tables: {error}") from None
        if not program_path.find("nft") and not self._table.exists():
            raise NotAvailable(f"firewall backend nftables: {NFT_NEEDED}")

    def install(self, entry: Entry) -> None:
        """The entry's facts hold and its stale ones of this backend do not; FirewallError, and none of it, else."""
        wanted = elements(entry.facts)
        stale = entry.stale if entry.stale_backend == NAME else ()
        self._table.ensure(wanted)
        if entry.kind == "firewall":
            forward = self._forward()
            if forward is not None:
                forward.ensure()
        gone = self._only_in_first(elements(stale), wanted)
        self._settle(entry.owner, entry.kind, gone, wanted)
        if self._conditions.concern(entry.facts) or self._conditions.concern(stale):
            self._conditions.update(entry.owner)

    @staticmethod
    def _only_in_first(first: Iterable[Element], second: Iterable[Element]) -> tuple[Element, ...]:
        keep = {element.identity for element in second}
        return tuple([element for element in first if element.identity not in keep])

    def _settle(self, owner: Owner, kind: str, gone: tuple[Element, ...], wanted: tuple[Element, ...]) -> None:
        """First as if nothing of it were there yet, which is right but for repeated and conflicting calls."""
        fresh = not gone
        for _ in range(_ATTEMPTS):
            try:
                if fresh:
                    adding = [(_new(element, owner), not element.shared) for element in wanted]
                    self._table.commit((), adding)
                else:
                    remove, adding = self._decide(owner, kind, gone, wanted)
                    self._table.commit(remove, adding)
                    self._table.drop_unused(remove)
                return
            except Refused as error:
                if error.errno not in (EEXIST, ENOENT):
                    raise FirewallError(f"changing nftables table {static.TABLE}: {error.msg}") from None
                if error.errno == ENOENT:
                    self._table.ensure(wanted)  # somebody flushed the ruleset, or removed the subnet's last container
                fresh = False
        raise FirewallError(f"changing nftables table {static.TABLE}: it kept changing")

    def _decide(
        self, owner: Owner, kind: str, gone: Iterable[Element], wanted: Iterable[Element]
    ) -> tuple[list[Held], list[tuple[Held, bool]]]:
        """What to remove and add, seeing what is there; FirewallError for a port that another container has."""
        remove = self._removable(owner, kind, gone)
        adding = self._inherited(owner, remove) if kind == "portmap" else []
        for element in wanted:
            there = self._table.get(element.set, element.key)
            new = _new(element, owner)
            if there is None:
                adding.append((new, True))
            elif there.belongs_to(owner):
                if not there.means(element):
                    remove.append(there)
                    adding.append((new, True))
            elif element.exclusive:
                self._refuse_conflict(owner, element, there)
            elif not there.is_shared:
                remove.append(there)
                adding.append((there.replace(comment=f"{SHARED}, {element.label}"), True))
        return remove, adding

    def _refuse_conflict(self, owner: Owner, element: Element, there: Held) -> None:
        """A port is taken, unless by the same container through another network: that one has its traffic."""
        for entry in self._ledger.networks_of(owner.container_id, "portmap"):
            if there.belongs_to(entry.owner):
                return
        holder, network = self._holder(there)
        raise FirewallError(
            f'host port {element.label} is already published by container "{holder}" of network "{network}"'
        )

    def _holder(self, there: Held) -> tuple[str, str]:
        entry = self._ledger.by_hash(there.comment[:33], "portmap")
        if entry is not None:
            return entry.owner.container_id, entry.owner.network
        head, _, container_id = there.comment.partition(", id: ")
        return container_id or "?", head.partition(", net: ")[2].partition(", if: ")[0] or "?"

    def _removable(self, owner: Owner, kind: str, candidates: Iterable[Element]) -> list[Held]:
        """Those of the elements that are there, ours, and needed by nobody else."""
        found = []
        for element in candidates:
            there = self._table.get(element.set, element.key)
            if there is not None and (
                there.belongs_to(owner) or (there.is_shared and not self._claimed(owner, kind, there))
            ):
                found.append(there)
        return found

    def _claimed(self, owner: Owner, kind: str, there: Held) -> bool:
        """Whether the ledger knows another owner of a shared element."""
        return any(
            element.identity == there.identity
            for entry in self._ledger.others(owner, kind)
            for element in elements(entry.facts_in(NAME))
        )

    def remove(self, owner: Owner, kind: str, facts: tuple[Fact, ...], search: bool) -> None:
        """Nothing of this owner and kind is left; with `search` also what only its comment shows.  Rules of the
        reference's own tables go too."""
        self._reference.remove(owner, kind)
        if not self._table.exists():
            return
        if facts or search:
            self._remove_elements(owner, kind, facts, search)
        if kind == "portmap" and (search or self._conditions.concern(facts)):
            self._conditions.remove(owner)

    def _remove_elements(self, owner: Owner, kind: str, facts: tuple[Fact, ...], search: bool) -> None:
        for _ in range(_ATTEMPTS):
            found = self._removable(owner, kind, elements(facts))
            if search:
                known = {held.identity for held in found}
                marked = self._table.containing(static.SETS_OF_KIND[kind], attachment_hash(owner))
                found += [held for held in marked if held.identity not in known and held.belongs_to(owner)]
            adding = self._inherited(owner, found) if kind == "portmap" else []
            try:
                if self._ledger.has_others(owner) and self._others_have(owner, kind):
                    self._table.commit(found, adding)
                    return
                self._table.commit_last(found, adding)
                # an ADD cut short may have made a subnet's chain and not got to the element that jumps to it
                gone = {held.jump for held in found}
                self._table.drop_unused([element for element in elements(facts) if element.jump not in gone])
                return
            except Refused as error:
                if error.errno not in (EEXIST, ENOENT):
                    raise FirewallError(f"changing nftables table {static.TABLE}: {error.msg}") from None
        raise FirewallError(f"changing nftables table {static.TABLE}: it kept changing")

    def _others_have(self, owner: Owner, kind: str) -> bool:
        """Whether another container of the network has anything of this kind, and may need the subnet's chain."""
        entries = self._ledger.network(owner.network, kind)
        return any(entry.owner.container_id != owner.container_id for entry in entries)

    def _inherited(self, owner: Owner, found: list[Held]) -> list[tuple[Held, bool]]:
        """The ports that go over to another network of the same container, which asked for them too."""
        freed = {held.identity for held in found}
        adding: list[tuple[Held, bool]] = []
        for entry in self._ledger.networks_of(owner.container_id, "portmap") if freed else ():
            if entry.owner == owner or entry.backend != NAME:
                continue
            for element in elements(entry.facts):
                if element.identity in freed:
                    freed.discard(element.identity)
                    adding.append((_new(element, entry.owner), True))
        return adding

    def collect(
        self, network: str, kind: str, valid: AbstractSet[tuple[str, str]], wanted: Callable[[str], bool]
    ) -> list[str]:
        """Remove what carries the network's name and belongs to none of the valid attachments, as far as it is
        `wanted`; what was removed."""
        hashes = {attachment_hash(Owner(network, *each)) for each in valid}
        removed = self._reference.collect(network, kind, hashes, wanted)
        if not self._table.exists():
            return removed
        head = network_hash(network) + "-"
        found = [
            held
            for held in self._table.containing(static.SETS_OF_KIND[kind], head)
            if held.comment.startswith(head) and held.comment[:33] not in hashes
        ]
        found = [held for held in (*found, *self._unclaimed(kind)) if wanted(_described(held))]
        self._table.commit(found, ())
        if wanted(""):
            # also of the attachments removed one by one before: each saw that the network had others
            self._table.drop_all_unused()
        removed += [_described(held) for held in found]
        if kind == "portmap":
            removed += self._conditions.collect(network, hashes, wanted)
        return removed

    def _unclaimed(self, kind: str) -> list[Held]:
        """Shared elements that no attachment in the ledger needs."""
        shared = [held for held in self._table.containing(static.SETS_OF_KIND[kind], SHARED) if held.is_shared]
        claimed = {
            element.identity
            for entry in (self._ledger.all() if shared else ())
            if entry.kind == kind
            for element in elements(entry.facts_in(NAME))
        }
        return [held for held in shared if held.identity not in claimed]

    def restore(self, entries: list[Entry]) -> Restored:
        """What is missing of these is there again, whoever flushed the table, its chains or its sets."""
        from pycni.firewall import restore

        result = restore.Restored()
        try:
            if self._table.mend(_subnets(entries)):
                result += restore.Restored((f"rules of nftables table {static.TABLE}",))
            result += restore.each(self, entries)
            for entry in entries:
                if self._conditions.lacks(entry.owner, entry.facts):
                    self._conditions.update(entry.owner)
                    result += restore.Restored((restore.described(entry),))
            forward = self._forward() if any(entry.kind == "firewall" for entry in entries) else None
            if forward is not None:
                forward.ensure(again=True)
        except (CniError, OSError) as error:
            reason = error.msg if isinstance(error, CniError) else (error.strerror or str(error)).lower()
            result += restore.Restored((), (f"nftables table {static.TABLE}: {reason}",))
        return result

    def missing(self, owner: Owner, kind: str, facts: tuple[Fact, ...]) -> list[str]:
        """What CHECK does not find (contract 4.4)."""
        if not self._table.exists():
            return [f"nftables table inet {static.TABLE} not found"]
        wanted = elements(facts)
        subnets = {element.jump: element.subnet for element in wanted if element.subnet is not None}
        found = [f"rules of chain {chain} in nftables table not found" for chain in self._table.damaged(subnets)]
        for element in wanted:
            there = self._table.get(element.set, element.key)
            if there is None or (there.belongs_to(owner) and not there.means(element)):
                what = "hostport" if kind == "portmap" else kind
                found.append(f'missing {what} rules in "{element.set}" set: {element.label}')
        if kind == "firewall":
            forward = self._forward()
            found += forward.missing() if forward is not None else []
        return found + self._conditions.missing(owner, facts)


def _new(element: Element, owner: Owner) -> Held:
    return element.held(comment_of(element, owner))


def _subnets(entries: Iterable[Entry]) -> list[Element]:
    """What there is of elements that jump to a subnet's chain."""
    found = []
    for entry in entries:
        facts = [fact for fact in entry.facts if isinstance(fact, (Masquerade, Publish))]
        try:
            found += [element for element in elements(facts) if element.subnet is not None]
        except FirewallError:
            continue  # a protocol without ports: its install says so
    return found


def _described(held: Held) -> str:
    return f"nftables element of {held.set} ({held.comment if held.is_shared else held.comment[35:]})"
