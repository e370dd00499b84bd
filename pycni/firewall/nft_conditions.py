"""Published ports with free match words (`conditionsV4`, `conditionsV6`) in nft's syntax: the rare path.

Words of any kind fit in no map, so such a container gets a chain of its own, named after its hashes, through `nft`;
the jumps to these chains are written anew as a whole each time, from the chains that exist.
"""

from __future__ import annotations

from pycni.firewall import nft_static as static
from pycni.firewall.chains import own_family
from pycni.firewall.facts import Fact, Mapping, Owner, Publish
from pycni.firewall.naming import attachment_hash, network_hash
from pycni.spec.errors import FirewallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from pycni.firewall.ledger import Ledger
    from pycni.firewall.nft_table import Table

PREFIX = "p_if_"


def chain_name(attachment: str) -> str:
    """The chain of an attachment, by its hash."""
    return PREFIX + attachment.replace("-", "_")


def rules(fact: Publish) -> list[str]:
    """The rules of one fact, each a whole line after the chain's name; FirewallError for words that would
    end the line."""
    family = "ip" if fact.target.family == 4 else "ip6"
    address = str(fact.target.address) if fact.target.family == 4 else f"[{fact.target.address}]"
    words = " ".join(fact.conditions)
    if not words.isprintable() or ";" in words:
        raise FirewallError(f"conditions {words!r} are more than one statement")
    nfproto = "ipv4" if fact.target.family == 4 else "ipv6"
    return [
        f"meta nfproto {nfproto} {words} {_at(mapping, family)}{mapping.protocol.lower()} dport {mapping.host_port} "
        f"dnat {family} to {address}:{mapping.container_port}"
        for mapping in fact.mappings
        if own_family(mapping, fact.target.family)
    ]


def _at(mapping: Mapping, family: str) -> str:
    host = mapping.host_address
    return "" if host is None or host.is_unspecified else f"{family} daddr {host} "


class Conditions:
    """The conditional chains of our table."""

    def __init__(self, table: Table, ledger: Ledger) -> None:
        self._table = table
        self._ledger = ledger

    @staticmethod
    def concern(facts: Iterable[Fact]) -> bool:
        """Whether any of the facts has conditions."""
        return any(isinstance(fact, Publish) and fact.conditions for fact in facts)

    def update(self, owner: Owner) -> None:
        """The owner's chain holds what its ledger entry says; no chain when that has no conditions."""
        entry = self._ledger.get(owner, "portmap")
        facts = [fact for fact in entry.facts if isinstance(fact, Publish)] if entry is not None else []
        lines = [rule for fact in facts if fact.conditions for rule in rules(fact)]
        self._write(chain_name(attachment_hash(owner)), lines)

    def remove(self, owner: Owner) -> None:
        """The owner has no chain."""
        chain = chain_name(attachment_hash(owner))
        if self._table.chain_exists(chain):
            self._write(chain, [])

    def collect(self, network: str, valid: AbstractSet[str], wanted: Callable[[str], bool]) -> list[str]:
        """Remove the chains of the network's attachments that are not valid, those `wanted`; what was removed."""
        keep = {chain_name(attachment) for attachment in valid}
        found = [chain for chain in self._table.chains(PREFIX + network_hash(network)) if chain not in keep]
        found = [chain for chain in found if wanted(f"nftables chain {chain}")]
        for chain in found:
            self._write(chain, [])
        return [f"nftables chain {chain}" for chain in found]

    def missing(self, owner: Owner, facts: Iterable[Fact]) -> list[str]:
        """What CHECK does not find, in the reference's words (contract 4.4)."""
        chain = chain_name(attachment_hash(owner))
        if self.concern(facts) and not self._table.chain_exists(chain):
            return [f'missing hostport rules in "{chain}" chain']
        return []

    def lacks(self, owner: Owner, facts: Iterable[Fact]) -> bool:
        """Whether rules of the owner's chain are missing, or jumps to such chains."""
        lines = [rule for fact in facts if isinstance(fact, Publish) and fact.conditions for rule in rules(fact)]
        if not lines:
            return False
        chain = chain_name(attachment_hash(owner))
        return (
            not self._table.chain_exists(chain)
            or self._table.length(chain) < len(lines)
            or self._table.length(static.CONDITIONAL) < len(self._table.chains(PREFIX))
        )

    def _write(self, chain: str, lines: list[str]) -> None:
        chains = self._table.chains(PREFIX)
        where = f"inet {static.TABLE}"
        text = [f"flush chain {where} {static.CONDITIONAL}"]
        if lines:
            text += [f"add chain {where} {chain}", f"flush chain {where} {chain}"]
            text += [f"add rule {where} {chain} {line}" for line in lines]
        elif chain in chains:
            text += [f"flush chain {where} {chain}", f"delete chain {where} {chain}"]
        jumps = [each for each in chains if each != chain] + ([chain] if lines else [])
        text += [f"add rule {where} {static.CONDITIONAL} jump {each}" for each in jumps]
        self._table.run_nft("\n".join(text) + "\n")
