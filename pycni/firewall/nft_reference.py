"""Rules that the reference's nftables backends left in their own tables (contract 2.0.5, 4.4), removed by raw netlink.

They are found as the reference finds them: masquerading by the attachment's hash, ports by the container id alone."""

from __future__ import annotations

from errno import ENOENT

from pycni.firewall import nft_messages as messages
from pycni.firewall.generation import FAMILY, INET, NfTables
from pycni.firewall.naming import attachment_hash, network_hash
from pycni.kernel.netlink import Refused
from pycni.spec.errors import FirewallError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from pycni.firewall.facts import Owner

_MASQUERADE = (INET, "cni_plugins_masquerade", ("masq_checks",))
_PORTS = tuple(
    (family, "cni_hostport", ("hostports", "hostip_hostports", "masquerading")) for family in FAMILY.values()
)
_TABLES = {"masquerade": (_MASQUERADE,), "portmap": _PORTS, "firewall": ()}
_ATTEMPTS = 3


class ReferenceTables:
    """The reference's nftables tables of one namespace; where there are none, finding out is one request each."""

    def __init__(self, nftables: NfTables) -> None:
        self._nftables = nftables

    def remove(self, owner: Owner, kind: str) -> None:
        """No rule of this attachment is left there."""
        head = attachment_hash(owner)
        if kind == "masquerade":
            self._remove(kind, lambda comment: comment.startswith(head))
        else:
            self._remove(kind, lambda comment: comment == owner.container_id)

    def collect(self, network: str, kind: str, valid: AbstractSet[str], wanted: Callable[[str], bool]) -> list[str]:
        """Remove the network's rules whose attachment hash is not valid, as far as they are `wanted`; port rules do not
        name their network."""
        if kind != "masquerade":
            return []
        head = network_hash(network) + "-"
        gone = self._remove(
            kind,
            lambda comment: comment.startswith(head) and comment[:33] not in valid and wanted(_described(comment)),
        )
        return [_described(comment) for comment in gone]

    def _remove(self, kind: str, selected: Callable[[str], bool]) -> list[str]:
        removed: list[str] = []
        for family, table, chains in _TABLES[kind]:
            try:
                present = self._nftables.table_exists(family, table)
            except (KernelError, OSError):
                return removed  # a kernel without nf_tables has none of its rules
            for chain in chains if present else ():
                removed += self._remove_from(family, table, chain, selected)
        return removed

    def _remove_from(self, family: int, table: str, chain: str, selected: Callable[[str], bool]) -> list[str]:
        failure = ""
        for _ in range(_ATTEMPTS):
            try:
                rules = messages.rules(self._nftables.dump(messages.dump_rules(family, table, chain)))
                found = [(handle, comment) for handle, comment in rules if selected(comment)]
                if found:
                    gone = [messages.delete_rule(family, table, chain, handle) for handle, _ in found]
                    self._nftables.commit(messages.batch(gone))
                return [comment for _, comment in found]
            except Refused as error:
                failure = error.msg
                if error.errno != ENOENT:
                    break
                if self._nftables.chain(family, table, chain) is None:
                    return []
        raise FirewallError(f"removing rules from nftables chain {table} {chain}: {failure}")


def _described(comment: str) -> str:
    return f"nftables masquerade rule ({comment[35:]})"
