"""Our table in one namespace: its static part, and elements added, looked up and removed by raw netlink.

A delete with the wrong value succeeds in the kernel, so whose an element is, is read from its comment first.  Every
change is one transaction; a change refused because somebody was quicker is decided anew, a bounded number of times.
"""

from __future__ import annotations

from errno import EBUSY, EEXIST, ENOENT

from pycni import program_path
from pycni.firewall import nft_messages as messages
from pycni.firewall import nft_static as static
from pycni.firewall import nft_subnets, programs
from pycni.firewall.generation import INET, NfTables
from pycni.kernel.netlink import Refused
from pycni.spec.errors import FirewallError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycni.firewall.nft_elements import Element, Held
    from pycni.kernel.namespace import Namespace
    from pycni.kernel.netlink import Message
    from pycni.spec.address import Prefix

NFT_NEEDED = "nft is not installed"


class Table:
    """`inet pynet` of one namespace.  The caller holds the namespace's lock."""

    def __init__(self, namespace: Namespace, nftables: NfTables) -> None:
        self._namespace = namespace
        self._nftables = nftables

    def exists(self) -> bool:
        """Whether this version's static part is loaded: one netlink request.  Without nf_tables it is not."""
        try:
            return self._nftables.chain(INET, static.TABLE, static.MARKER) is not None
        except (KernelError, OSError):
            return False

    def ensure(self, wanted: Iterable[Element] = ()) -> None:
        """Load the static part where it is missing, and the subnet chains that these elements jump to."""
        if not self.exists():
            self.run_nft(static.ruleset())
        chains = {element.jump: element.subnet for element in wanted if element.subnet is not None}
        for chain, subnet in chains.items():
            if not self.chain_exists(chain):
                try:
                    self._nftables.commit(messages.batch(nft_subnets.create(chain, subnet)))
                except Refused as error:
                    if error.errno != EEXIST:
                        raise FirewallError(f"creating nftables chain {chain}: {error.msg}") from None

    def mend(self, wanted: Iterable[Element]) -> bool:
        """Whether rules of the static part, or of the chains that these elements jump to, were missing; they are not
        any more.  Elements that are there stay."""
        chains = {element.jump: element.subnet for element in wanted if element.subnet is not None}
        damaged = self.damaged(chains)
        if not chains.keys() >= set(damaged):
            self.run_nft(static.ruleset())
        for chain in damaged:
            if chain in chains:
                self._nftables.commit(messages.batch(nft_subnets.refill(chain, chains[chain])))
        return bool(damaged)

    def damaged(self, subnets: Mapping[str, Prefix]) -> list[str]:
        """Chains that lack rules: of the static part, and of these subnets' chains those that are there."""
        replies = self._nftables.dump((messages.GETCHAIN, 0, bytes((INET, 0, 0, 0))))
        there = messages.chain_uses(replies, static.TABLE)
        found = [chain for chain, count in static.rule_counts().items() if there.get(chain, -1) < count]
        return found + [
            chain
            for chain, subnet in subnets.items()
            if chain in there and self.length(chain) < nft_subnets.length(chain, subnet)
        ]

    def drop_unused(self, gone: Iterable[Held | Element]) -> None:
        """Delete the subnet chains that these absent elements would jump to, where no other element does."""
        self._drop({element.jump for element in gone if element.jump})

    def drop_all_unused(self) -> None:
        """Delete every subnet chain that no element jumps to, whoever left it."""
        for prefix in static.SUBNET_CHAINS:
            self._drop(self.chains(prefix))

    def _drop(self, chains: Iterable[str]) -> None:
        for chain in chains:
            try:
                self._nftables.commit(messages.batch((messages.delete_chain(INET, static.TABLE, chain),)))
            except Refused as error:
                if error.errno not in (EBUSY, ENOENT):
                    raise FirewallError(f"deleting nftables chain {chain}: {error.msg}") from None

    def run_nft(self, text: str) -> None:
        """Run one `nft -f -`; FirewallError with its complaint."""
        program = program_path.find("nft")
        if not program:
            raise FirewallError(NFT_NEEDED)
        outcome = programs.run(self._namespace, [program, "-f", "-"], text)
        if outcome.status != 0:
            raise FirewallError(f"nft: {outcome.complaint or f'exit status {outcome.status}'}")

    def get(self, name: str, key: bytes) -> Held | None:
        """The element with this key, None when it is absent."""
        try:
            replies = self._nftables.request(messages.get(INET, static.TABLE, name, key))
        except Refused as error:
            if error.errno == ENOENT:
                return None
            raise FirewallError(f"reading nftables set {name}: {error.msg}") from None
        return next(iter(messages.held(replies)), None)

    def containing(self, names: Iterable[str], text: str) -> list[Held]:
        """Every element of these sets whose comment contains the text."""
        wanted = text.encode()
        found = []
        for name in names:
            try:
                replies = self._nftables.dump(messages.dump_set(INET, static.TABLE, name))
            except Refused as error:
                if error.errno == ENOENT:
                    continue
                raise FirewallError(f"listing nftables set {name}: {error.msg}") from None
            found += messages.held(replies, wanted)
        return found

    def chain_exists(self, chain: str) -> bool:
        return self._nftables.chain(INET, static.TABLE, chain) is not None

    def length(self, chain: str) -> int:
        """How many rules a chain has, which is there."""
        return len(messages.handles(self._nftables.dump(messages.dump_rules(INET, static.TABLE, chain))))

    def chains(self, prefix: str) -> list[str]:
        """The table's chains whose names begin so."""
        replies = self._nftables.dump((messages.GETCHAIN, 0, bytes((INET, 0, 0, 0))))
        return [name for name in messages.chain_names(replies, static.TABLE) if name.startswith(prefix)]

    def commit(self, remove: Iterable[Held], add: Iterable[tuple[Held, bool]]) -> None:
        """Remove, then add (with exclusiveness each), all or nothing; Refused with the kernel's reason."""
        changes = _changes(remove, add)
        if changes:
            self._nftables.commit(messages.batch(changes))

    def commit_last(self, remove: Iterable[Held], add: Iterable[tuple[Held, bool]]) -> None:
        """As `commit`, and the subnet chains that the removed elements jumped to go where no other element does.

        In one transaction if that is possible: the kernel waits 7-20 ms for each when the socket closes."""
        chains = {element.jump for element in remove if element.jump}
        changes = _changes(remove, add) + [messages.delete_chain(INET, static.TABLE, chain) for chain in chains]
        try:
            if changes:
                self._nftables.commit(messages.batch(changes))
        except Refused as error:
            if error.errno != EBUSY:
                raise
            self.commit(remove, add)
            self.drop_unused(remove)


def _changes(remove: Iterable[Held], add: Iterable[tuple[Held, bool]]) -> list[Message]:
    changes = [messages.delete(INET, static.TABLE, element) for element in remove]
    return changes + [messages.add(INET, static.TABLE, element, exclusive) for element, exclusive in add]
