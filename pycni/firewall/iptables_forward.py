"""The one static rule in iptables that lets what our nftables table accepted pass a FORWARD policy of DROP.

An accept in one base chain does not end the evaluation of the next one: docker and ufw set iptables' FORWARD policy to
DROP, and packets that our chain (which runs before) accepted would be dropped there.  Our chain marks them.

The bundled runtime marks what its published ports explain (`netd.ports.guard`), also between networks, which is what
they are for (contract docker 3.3): for it the rule stands before isolation, and the operator's chain before the rule.
"""

from __future__ import annotations

from pycni import program_path
from pycni.firewall import programs
from pycni.firewall.chains import FILTER, ISOLATION_ENTRY, NO_WAY_OUT_ENTRY, STAGE_1, comment
from pycni.firewall.generation import FAMILY, NfTables
from pycni.firewall.nft_static import MARK
from pycni.firewall.programs import LEGACY, missing_iptables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.firewall.iptables import Iptables
    from pycni.firewall.tables import Draft

CHAIN = "PYNET-FORWARD"
ENTRY = f"{comment('pynet: accepted by nftables table inet pynet')} -j {CHAIN}"
RULE = f"-m mark --mark {MARK:#x}/{MARK:#x} -j ACCEPT"
ADMIN = "CNI-ADMIN"
ADMIN_ENTRY = f"-m mark --mark {MARK:#x}/{MARK:#x} -j {ADMIN}"

_POLICY = 5
"""NFTA_CHAIN_POLICY."""

_DROP = 0


class ForwardAccept:
    """Keeps the rule in one namespace; looking whether it is needed and there executes nothing on an nft host."""

    def __init__(self, iptables: Iptables, nftables: NfTables) -> None:
        self._iptables = iptables
        self._nftables = nftables

    def ensure(self, again: bool = False) -> None:
        """The rule is there in each family whose FORWARD policy is DROP; FirewallError when it cannot be made.
        `again`: its chain may be there without it, for somebody flushed the rules."""
        for family in (4, 6):
            if not self._iptables.present(family, FILTER) or missing_iptables(family):
                continue
            if programs.variant(program_path.find("iptables")) == LEGACY:
                if self._iptables.policy(family, FILTER, "FORWARD") == "DROP":
                    self._iptables.change(family, FILTER, _add)
            elif self._drops(family) and (again or self._nftables.chain(FAMILY[family], FILTER, CHAIN) is None):
                self._iptables.change(family, FILTER, _add)

    def pass_isolation(self) -> None:
        """The rule comes before isolation in each family that has isolated bridges; FirewallError."""
        for family in (4, 6):
            if not missing_iptables(family) and self._iptables.has_chain(family, FILTER, STAGE_1):
                self._iptables.change(family, FILTER, _lead)

    def missing(self) -> list[str]:
        """What CHECK does not find: the rule, in the families whose FORWARD policy asks for it."""
        return [
            f"chain {CHAIN} not found in ip{'' if family == 4 else '6'}tables table {FILTER}"
            for family in (4, 6)
            if self._drops(family) and self._nftables.chain(FAMILY[family], FILTER, CHAIN) is None
        ]

    def _drops(self, family: int) -> bool:
        chain = self._nftables.chain(FAMILY[family], FILTER, "FORWARD")
        return chain is not None and int.from_bytes(chain.get(_POLICY, b"\1"), "big") == _DROP


def _add(draft: Draft) -> None:
    draft.ensure_chain(FILTER, CHAIN)
    draft.append(FILTER, CHAIN, RULE)
    draft.insert(FILTER, "FORWARD", ENTRY)


def _lead(draft: Draft) -> None:
    rules = draft.rules(FILTER, "FORWARD")
    if ISOLATION_ENTRY not in rules:
        return
    if ENTRY in rules and rules.index(ENTRY) > rules.index(ISOLATION_ENTRY):
        draft.delete(FILTER, "FORWARD", ENTRY)
    _add(draft)
    if NO_WAY_OUT_ENTRY in rules:
        # nothing leads into an internal network, or out of it
        draft.delete(FILTER, "FORWARD", NO_WAY_OUT_ENTRY)
        draft.insert(FILTER, "FORWARD", NO_WAY_OUT_ENTRY)
    if draft.exists(FILTER, ADMIN):
        draft.insert(FILTER, CHAIN, ADMIN_ENTRY)
