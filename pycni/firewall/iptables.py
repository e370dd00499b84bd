"""The iptables backend's hands: listings, and changes by one `iptables-restore --noflush` a family.

A listing of 1000 containers takes 77 ms, so it is kept, and believed while nf_tables' generation (one netlink request,
3 µs) is what our own last commit left; a commit of ours adds one a table.  A process that lives for one call passes its
knowledge on to the next in a file.  Legacy tables have no generation and are listed every time.  A restore that fails
because something changed meanwhile is repeated from a fresh listing.
"""

from __future__ import annotations

from pycni import program_path
from pycni.firewall import programs
from pycni.firewall.generation import FAMILY, NfTables
from pycni.firewall.programs import IPTABLES, LEGACY, missing_iptables
from pycni.firewall.tables import Command, Draft, Tables, restore_input
from pycni.kernel.netlink import Refused
from pycni.spec.errors import FirewallError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pycni.firewall.kept_listing import KeptListing
    from pycni.kernel.namespace import Namespace
    from pycni.kernel.netlink import Message

_ATTEMPTS = 8
_LOCK_SECONDS = 30
_LEGACY_TABLES = {4: "/proc/thread-self/net/ip_tables_names", 6: "/proc/thread-self/net/ip6_tables_names"}


class Iptables:
    """The tables of one namespace, both families.  One thread at a time uses it."""

    def __init__(self, namespace: Namespace, nftables: NfTables, kept: KeptListing | None = None) -> None:
        self._namespace = namespace
        self._nftables = nftables
        self._models: dict[int, Tables] = {}
        self._listed: set[tuple[int, str]] = set()
        self._kept = kept
        self._unread: dict[tuple[int, str], str] = {}

    def forget(self) -> None:
        """Believe no earlier listing."""
        self._listed.clear()
        self._unread.clear()

    def change(self, family: int, table: str, make: Callable[[Draft], object]) -> list[Command]:
        """Make the changes that `make` asks a draft of the table for, all or none; the commands that were needed.

        `make` is called again, with a fresh listing, when the tables changed under it.  FirewallError when the change
        is refused."""
        reason = missing_iptables(family)
        if reason:
            raise FirewallError(f"could not initialize iptables protocol {family}: {reason}")
        refused: tuple[list[Command], str] | None = None
        for _ in range(_ATTEMPTS):
            cached = self._is_current(family, table)
            draft = Draft(self._model(family, table))
            make(draft)
            if not draft.commands:
                return []
            complaint = "" if self._delete(family, table, draft) else self._restore(family, draft)
            if not complaint:
                commands = draft.commands
                draft.commit()
                self._pass_on()
                return commands
            self.forget()
            if not cached and refused is not None and refused[0] == draft.commands:
                break  # twice the same from fresh listings: not a race
            refused = (draft.commands, complaint)
        raise FirewallError(f"{IPTABLES[family]}-restore: {refused[1] if refused else 'the tables kept changing'}")

    def policy(self, family: int, table: str, chain: str) -> str:
        """`ACCEPT` or `DROP`, empty for a chain without one."""
        return self._model(family, table).policies.get((table, chain), "")

    def view(self, family: int, table: str) -> Draft:
        """The table as it is, to look at."""
        return Draft(self._model(family, table))

    def present(self, family: int, table: str) -> bool:
        """Whether the family has this table at all; nothing is executed to find out, and none is created."""
        if missing_iptables(family):
            return False
        if programs.variant(program_path.find(IPTABLES[family])) != LEGACY:
            try:
                return self._nftables.table_exists(FAMILY[family], table)
            except (KernelError, OSError):
                return False
        with self._namespace.entered():
            try:
                with open(_LEGACY_TABLES[family], encoding="ascii") as file:
                    return table in file.read().split()
            except OSError:
                return False

    def has_chain(self, family: int, table: str, chain: str) -> bool:
        """Whether the chain may exist; nothing is executed where the kernel can be asked."""
        if not self.present(family, table):
            return False
        if programs.variant(program_path.find(IPTABLES[family])) == LEGACY:
            return True
        return self._nftables.chain(FAMILY[family], table, chain) is not None

    def _generation_now(self, family: int) -> int:
        """-1 where there is none to go by."""
        if programs.variant(program_path.find(IPTABLES[family])) == LEGACY:
            return -1
        try:
            return self._nftables.generation()
        except (KernelError, OSError):
            return -1

    def _is_current(self, family: int, table: str) -> bool:
        now = self._generation_now(family)
        if now == -1 or now != self._nftables.known:
            self.forget()
            self._nftables.known = now
            self._take_over()
        listing = self._unread.pop((family, table), None)
        if listing is not None:
            self._believe(family, table, listing)
        return (family, table) in self._listed

    def _take_over(self) -> None:
        """What the process before us knew, if nothing has changed since."""
        if self._kept is not None and self._nftables.known != -1:
            try:
                self._unread = self._kept.read(self._nftables.cookie(), self._nftables.known)
            except OSError:
                self._kept = None  # a kernel that does not tell namespaces apart

    def _pass_on(self) -> None:
        if self._kept is not None and self._listed and self._nftables.known != -1:
            listings = {(family, table): self._models[family].text(table) for family, table in self._listed}
            self._kept.write(self._nftables.cookie(), self._nftables.known, self._unread | listings)

    def _believe(self, family: int, table: str, listing: str) -> None:
        model = self._models.setdefault(family, Tables())
        model.forget(table)
        model.parse(listing)
        self._listed.add((family, table))

    def _model(self, family: int, table: str) -> Tables:
        model = self._models.setdefault(family, Tables())
        if not self._is_current(family, table):
            program = program_path.find(f"{IPTABLES[family]}-save")
            outcome = programs.run(self._namespace, [program, "-t", table])
            if outcome.status != 0:
                raise FirewallError(f"{IPTABLES[family]}-save: {outcome.complaint or f'exit status {outcome.status}'}")
            self._believe(family, table, outcome.stdout.decode(errors="surrogateescape"))
            # the listing creates a missing table's base chains in some versions: what counts is what we read after it
            if self._nftables.known == -1 or self._generation_now(family) != self._nftables.known:
                self._listed.discard((family, table))
        return model

    def _delete(self, family: int, table: str, draft: Draft) -> bool:
        """Whether changes that only take away could be made by netlink: 0.2 ms, where a program that deletes waits
        10-20 ms for the kernel when it closes its socket.

        A rule's handle is found by its position, so the batch holds only if the tables are still those of the listing
        (the kernel compares the generation): a handle may be reused, and a stale one would delete a stranger's rule."""
        deletions = draft.deletions()
        generation = self._nftables.known
        if deletions is None or generation == -1:
            return False
        from pycni.firewall import nft_messages as messages

        positions, dropped = deletions
        proto = FAMILY[family]
        batch: list[Message] = []
        try:
            for chain, places in positions.items():
                rules = messages.handles(self._nftables.dump(messages.dump_rules(proto, table, chain)))
                if len(rules) != draft.length_before(table, chain):
                    return False
                batch += [messages.delete_rule(proto, table, chain, rules[place]) for place in places]
            batch += [messages.delete_chain(proto, table, chain) for chain in dropped]
            self._nftables.commit(messages.batch(batch, generation))
        except Refused:
            return False  # a change in between, or a kernel that knows better: iptables-restore will tell
        return True

    def _restore(self, family: int, draft: Draft) -> str:
        """Empty when the kernel took the commands, else why it did not."""
        before = self._nftables.known
        program = program_path.find(f"{IPTABLES[family]}-restore")
        argv = [program, "--noflush", "--wait", str(_LOCK_SECONDS)]
        outcome = programs.run(self._namespace, argv, restore_input(draft.commands))
        if outcome.status != 0:
            return outcome.complaint or f"exit status {outcome.status}"
        now = self._generation_now(family)
        if before != -1 and now == before + len(draft.tables()):
            self._nftables.known = now
        else:
            self.forget()
            self._nftables.known = now
        return ""
