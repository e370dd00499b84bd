"""The iptables backend: the reference's chains and rules for an owner's facts (contract 2.0.5, 4.3, 5)."""

from __future__ import annotations

from pycni.firewall import chains, naming, withdraw
from pycni.firewall.chains import FILTER, NAT
from pycni.firewall.facts import Admit, Fact, Masquerade, Owner, Publish
from pycni.firewall.programs import IPTABLES, missing_iptables
from pycni.firewall.tables import Draft, Tables
from pycni.spec.errors import CniError, FirewallError, NotAvailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from pycni.firewall.iptables import Iptables
    from pycni.firewall.ledger import Entry, Ledger
    from pycni.firewall.restore import Restored

NAME = "iptables"


class IptablesBackend:
    """Facts in the iptables of one namespace.  The caller holds the namespace's lock."""

    def __init__(self, iptables: Iptables, ledger: Ledger) -> None:
        self._iptables = iptables
        self._ledger = ledger

    def status(self) -> None:
        """NotAvailable naming the program that is missing."""
        for family in (4, 6):
            reason = missing_iptables(family)
            if reason:
                raise NotAvailable(f"firewall backend iptables: {reason}")

    def install(self, entry: Entry) -> None:
        """The entry's facts hold and its stale ones of this backend do not; FirewallError, and none of it, else."""
        kind = entry.kind
        if kind == naming.FIREWALL:
            for protocol, family in enumerate((4, 6)):
                reason = missing_iptables(family)
                if reason:
                    raise FirewallError(f"could not initialize iptables protocol {protocol}: {reason}")
        stale = entry.stale if entry.stale_backend == NAME else ()
        touched = sorted({family for fact in (*entry.facts, *stale) for family in chains.families(fact)})
        done: list[int] = []
        try:
            for family in touched:
                self._iptables.change(family, chains.TABLE_OF_KIND[kind], self._maker(entry, stale, family))
                done.append(family)
        except CniError:
            for family in done:
                self._remove_from(family, entry.owner, kind, entry.facts)
            raise

    def _maker(self, entry: Entry, stale: tuple[Fact, ...], family: int) -> Callable[[Draft], None]:
        def make(draft: Draft) -> None:
            if stale:
                self._withdraw(draft, entry.owner, entry.kind, stale, family, entry.facts)
            chains.install(draft, entry.owner, entry.facts, family)

        return make

    def _withdraw(
        self, draft: Draft, owner: Owner, kind: str, facts: tuple[Fact, ...], family: int, new: tuple[Fact, ...] = ()
    ) -> None:
        """Remove the owner's rules except those that its `new` facts or other attachments need."""
        if kind == naming.FIREWALL:
            withdraw.admissions(draft, facts, family, lambda fact: _claims(new, fact) or self._claimed(owner, fact))
            return
        siblings = [(entry.owner, entry.facts) for entry in self._ledger.siblings(owner, kind) if entry.backend == NAME]
        if new:
            siblings.append((owner, new))
        if kind == naming.MASQUERADE:
            withdraw.masquerade(draft, owner, facts, siblings, family)
        else:
            withdraw.ports(draft, owner, siblings, family)

    def _claimed(self, owner: Owner, fact: Fact) -> bool:
        holders = self._ledger.holders(owner, fact)
        return any(_claims(entry.facts_in(NAME), fact) for entry in holders)

    def remove(self, owner: Owner, kind: str, facts: tuple[Fact, ...], search: bool) -> None:  # noqa: ARG002
        """Nothing of this owner and kind is left; FirewallError with every reason why something is.  Names are
        always searched for: it costs one request to the kernel."""
        problems = []
        for family in (4, 6):
            try:
                self._remove_from(family, owner, kind, facts)
            except FirewallError as error:
                problems.append(error.msg)
        if problems:
            raise FirewallError("\n".join(problems))

    def _remove_from(self, family: int, owner: Owner, kind: str, facts: tuple[Fact, ...]) -> None:
        table = chains.TABLE_OF_KIND[kind]
        names = {
            naming.MASQUERADE: (naming.masquerade_chain(owner.network, owner.container_id),),
            naming.PORTMAP: (
                naming.port_chain(owner.network, owner.container_id),
                naming.old_snat_chain(owner.network, owner.container_id),
            ),
            naming.FIREWALL: (chains.FORWARD, chains.STAGE_1, chains.NO_WAY_OUT) if facts else (),
        }[kind]
        if any(self._iptables.has_chain(family, table, name) for name in names):
            self._iptables.change(family, table, lambda draft: self._withdraw(draft, owner, kind, facts, family))

    def collect(
        self, network: str, kind: str, valid: AbstractSet[tuple[str, str]], wanted: Callable[[str], bool]
    ) -> list[str]:
        """Remove the network's chains of containers that are not valid, those `wanted`; what was removed."""
        removed: list[str] = []
        if kind == naming.FIREWALL:
            return removed  # its rules name nobody: only the ledger knows
        container_ids = {container_id for container_id, _ in valid}
        for family in (4, 6):
            if not self._iptables.present(family, NAT):
                continue
            found: list[str] = []

            def make(draft: Draft, found: list[str] = found) -> None:
                found[:] = withdraw.strays(draft, network, kind, container_ids, wanted)

            self._iptables.change(family, NAT, make)
            removed += [text for text in found if text not in removed]
        return removed

    def restore(self, entries: list[Entry]) -> Restored:
        """What is missing of these is there again: one run of a program for each table that lacks something."""
        from pycni.firewall import restore

        result = restore.Restored()
        for (family, table), group in _by_table(entries).items():
            try:
                # iptables-save words conditions in its own way, so a draft would always find them missing
                group = [
                    entry
                    for entry in group
                    if not _conditional(entry) or self.missing(entry.owner, entry.kind, entry.facts)
                ]
                commands = self._iptables.change(family, table, _all_of(group, family))
            except CniError:
                result += restore.each(self, group)  # one that is refused is not to keep the others out
                continue
            if commands:
                what = f"{len(commands)} rules and chains of {IPTABLES[family]}, table {table}"
                result += restore.Restored((what,))
        return result

    def missing(self, owner: Owner, kind: str, facts: tuple[Fact, ...]) -> list[str]:
        """What CHECK does not find, in the reference's words where it has some (contract 4.3, 5.2)."""
        found: list[str] = []
        for fact in facts:
            for family in chains.families(fact):
                if not self._iptables.present(family, chains.TABLE_OF_KIND[kind]):
                    view = Draft(Tables())
                else:
                    view = self._iptables.view(family, chains.TABLE_OF_KIND[kind])
                found += _missing(view, owner, fact, family)
        return found


def _by_table(entries: Iterable[Entry]) -> dict[tuple[int, str], list[Entry]]:
    """The entries that have something in each family's tables."""
    found: dict[tuple[int, str], list[Entry]] = {}
    for entry in entries:
        for family in sorted({family for fact in entry.facts for family in chains.families(fact)}):
            found.setdefault((family, chains.TABLE_OF_KIND[entry.kind]), []).append(entry)
    return found


def _conditional(entry: Entry) -> bool:
    return any(isinstance(fact, Publish) and fact.conditions for fact in entry.facts)


def _all_of(entries: list[Entry], family: int) -> Callable[[Draft], None]:
    def make(draft: Draft) -> None:
        for entry in entries:
            chains.install(draft, entry.owner, entry.facts, family)

    return make


def _claims(facts: Iterable[Fact], wanted: Fact) -> bool:
    """Whether facts include this one; of an Admit, its address."""
    if isinstance(wanted, Admit):
        return any(isinstance(fact, Admit) and wanted.addresses[0] in fact.addresses for fact in facts)
    return wanted in facts


def _missing(view: Draft, owner: Owner, fact: Fact, family: int) -> list[str]:
    if isinstance(fact, Publish):
        return _missing_ports(view, owner, fact)
    if isinstance(fact, Admit):
        return _missing_admissions(view, fact, family)
    wanted = Draft(Tables())
    chains.install(wanted, owner, (fact,), family)
    if isinstance(fact, Masquerade):
        chain = naming.masquerade_chain(owner.network, owner.container_id)
        if not view.exists(NAT, chain):
            return [f"chain {chain} not found in iptables table nat"]
    return _missing_rules(view, wanted)


def _missing_rules(view: Draft, wanted: Draft) -> list[str]:
    return [
        f"rule {command.rule} in chain {command.chain} not found in table {command.table}"
        for command in wanted.commands
        if command.rule and command.rule not in view.rules(command.table, command.chain)
    ]


def _missing_ports(view: Draft, owner: Owner, fact: Publish) -> list[str]:
    chain = naming.port_chain(owner.network, owner.container_id)
    if not view.exists(NAT, chain):
        return [f"chain {chain} not found in iptables table nat"]
    there = view.rules(NAT, chain)
    found = [
        f"rule {rule} in chain {chain} not found in table nat" for rule in chains.port_rules(fact) if rule not in there
    ]
    shared = Draft(Tables())
    chains.share_port_chains(shared, fact)
    found += _missing_rules(view, shared)
    entries = chains.rules_to(view.rules(NAT, chains.DNAT), chain)
    wanted = chains.entry_rules(owner, fact)
    if fact.conditions:
        # iptables-save words the conditions in its own way; their number and their jump must do
        return found if len(entries) >= len(wanted) else [*found, _no_entry(wanted[0])]
    return found + [_no_entry(rule) for rule in wanted if rule not in entries]


def _no_entry(rule: str) -> str:
    return f"entry rule {rule} in chain {chains.DNAT} not found in table nat"


def _missing_admissions(view: Draft, fact: Admit, family: int) -> list[str]:
    found = []
    if chains.FORWARD_ENTRY not in view.rules(FILTER, "FORWARD"):
        found.append(f"expected FORWARD rule [{_words(chains.FORWARD_ENTRY)}] not found")
    admin = chains.admin_entry(fact.admin_chain)
    if admin not in view.rules(FILTER, chains.FORWARD):
        found.append(f"expected {chains.FORWARD} rule [{_words(admin)}] not found")
    for address in fact.addresses:
        if address.family == family:
            there = view.rules(FILTER, chains.FORWARD)
            found += [f"expected rule [{rule}] not found" for rule in chains.admit_rules(address) if rule not in there]
    return found


def _words(rule: str) -> str:
    return rule.replace('"', "")
