"""The check of a container's hardware address: rules in table nat of family bridge, written by raw netlink.

Table, chains, rules and comments are the reference's (contract 2.1, "macspoofchk"), so each implementation removes the
other's.  The table and its base chain stay.
"""

from __future__ import annotations

from errno import EEXIST, ENOENT

from pycni.firewall import nft_expressions as nft
from pycni.firewall import nft_messages as messages
from pycni.firewall.facts import Fact, Owner, SpoofCheck
from pycni.firewall.generation import NfTables
from pycni.kernel.netlink import Refused
from pycni.spec.errors import FirewallError, KernelError, NotAvailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.firewall.ledger import Entry
    from pycni.firewall.restore import Restored
    from pycni.kernel.netlink import Message

BRIDGE = 7
"""NFPROTO_BRIDGE."""

TABLE = "nat"
BASE = "PREROUTING"
_PREROUTING = 0
_PRIORITY = -300

_NAME_SIZE = 256
"""A chain's name with its closing zero (NFT_NAME_MAXLEN)."""

_ATTEMPTS = 5


class Names:
    """What an attachment's rules are found by."""

    __slots__ = ("chain", "comment", "mac_chain")

    def __init__(self, owner: Owner) -> None:
        reference = f"{owner.container_id}-{owner.ifname}"
        self.chain = f"cni-br-iface-{reference}"
        self.mac_chain = f"{self.chain}-mac"
        self.comment = f"macspoofchk-{reference}"


class SpoofCheckBackend:
    """SpoofCheck facts in one namespace; other facts are none of its.  The caller holds the namespace's lock."""

    def __init__(self, nftables: NfTables) -> None:
        self._nftables = nftables

    def status(self) -> None:
        """NotAvailable when the kernel has no nf_tables."""
        try:
            self._nftables.generation()
        except (KernelError, OSError) as error:
            raise NotAvailable(f"macspoofchk: the kernel does not offer nf_tables: {error}") from None

    def install(self, entry: Entry) -> None:
        """Only frames from the fact's hardware address pass its port; FirewallError, and nothing changed, else."""
        names = Names(entry.owner)
        if len(names.mac_chain) >= _NAME_SIZE:
            raise _failed(f"name too long, {_NAME_SIZE} characters maximum allowed")  # nft's words
        for fact in entry.facts:
            if isinstance(fact, SpoofCheck):
                self._install(names, fact)

    def _install(self, names: Names, fact: SpoofCheck) -> None:
        for _ in range(_ATTEMPTS):
            try:
                self._nftables.commit(messages.batch([*_table(), *_chains(names), *_rules(names, fact)]))
                return
            except Refused as error:
                if error.errno != EEXIST:
                    raise _failed(error.msg) from None
            except OSError as error:
                raise _failed((error.strerror or str(error)).lower()) from None
            if not self._remove(names):
                raise _failed(f"chain {BASE} of table bridge {TABLE} is not a filter of hook prerouting")
        raise _failed(f"table bridge {TABLE} kept changing")

    def remove(self, owner: Owner, kind: str, facts: tuple[Fact, ...], search: bool) -> None:  # noqa: ARG002
        """No rule and chain of this attachment is left."""
        self._remove(Names(owner))

    def _remove(self, names: Names) -> bool:
        """Whether there was anything."""
        failure = ""
        for _ in range(_ATTEMPTS):
            try:
                gone = self._removal(names)
                if gone:
                    self._nftables.commit(messages.batch(gone))
                return bool(gone)
            except Refused as error:
                failure = error.msg
                if error.errno != ENOENT:
                    break
            except OSError:
                return False  # a kernel without nf_tables has no rules
        raise FirewallError(f"removing the rules of macspoofchk from table bridge {TABLE}: {failure}")

    def _removal(self, names: Names) -> list[Message]:
        if len(names.mac_chain) >= _NAME_SIZE:
            return []
        if self._nftables.chain(BRIDGE, TABLE, names.chain) is None:
            gone = []
        else:
            rules = messages.rules(self._nftables.dump(messages.dump_rules(BRIDGE, TABLE, BASE)))
            found = [handle for handle, comment in rules if comment == names.comment]
            gone = [messages.delete_rule(BRIDGE, TABLE, BASE, handle) for handle in found]
            gone.append(messages.delete_chain(BRIDGE, TABLE, names.chain))
        if self._nftables.chain(BRIDGE, TABLE, names.mac_chain) is not None:
            gone.append(messages.delete_chain(BRIDGE, TABLE, names.mac_chain))
        return gone

    def missing(self, owner: Owner, kind: str, facts: tuple[Fact, ...]) -> list[str]:  # noqa: ARG002
        """What CHECK does not find."""
        names = Names(owner)
        found = []
        for fact in facts:
            if not isinstance(fact, SpoofCheck):
                continue
            for chain, what, value in (
                (BASE, f"interface {fact.interface}", fact.interface.encode() + b"\0"),
                (names.mac_chain, f"address {fact.mac.hex(':')}", fact.mac),
            ):
                if not self._has_rule(chain, names.comment, value):
                    found.append(f"macspoofchk rule for {what} in chain {chain} of table bridge {TABLE} not found")
        return found

    def _has_rule(self, chain: str, comment: str, value: bytes) -> bool:
        try:
            replies = self._nftables.dump(messages.dump_rules(BRIDGE, TABLE, chain))
        except (KernelError, OSError):
            return False  # no such chain, or no nf_tables
        mark = comment.encode() + b"\0"
        return any(value in payload and mark in payload for _, payload in replies)

    def restore(self, entries: list[Entry]) -> Restored:
        """What is missing of these is there again."""
        from pycni.firewall.restore import each

        return each(self, entries)

    def collect(self, *_what: object) -> list[str]:
        """Nothing beyond what the ledger knows: the rules do not name their network."""
        return []


def _table() -> list[Message]:
    return [
        nft.new_table(BRIDGE, TABLE),
        nft.new_base_chain(BRIDGE, TABLE, BASE, "filter", _PREROUTING, _PRIORITY),
    ]


def _chains(names: Names) -> list[Message]:
    return [nft.new_chain(BRIDGE, TABLE, chain) for chain in (names.chain, names.mac_chain)]


def _rules(names: Names, fact: SpoofCheck) -> list[Message]:
    rules = (
        (BASE, nft.arrived_at(fact.interface) + nft.jumps(names.chain)),
        (names.chain, nft.jumps(names.mac_chain)),
        (names.mac_chain, nft.from_mac(fact.mac) + nft.returns()),
        (names.mac_chain, nft.drops()),
    )
    return [nft.new_rule(BRIDGE, TABLE, chain, rule, names.comment) for chain, rule in rules]


def _failed(reason: str) -> FirewallError:
    return FirewallError(f"failed to setup spoof-check: {reason}")
