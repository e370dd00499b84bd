"""Which backend may have something in a namespace, told by the names of its tables alone.

A removal looks for what either backend, or the reference's, has left.  One request shows that there is nothing of the
one not in use, and then its code need not even be loaded: without the engine that is a tenth of a call.
"""

from __future__ import annotations

from pycni import program_path
from pycni.firewall import programs
from pycni.firewall.generation import FAMILY, INET, NfTables
from pycni.spec.errors import KernelError

NFTABLES_TABLES = frozenset(
    [
        (INET, "pynet"),
        (INET, "cni_plugins_masquerade"),
        *[(family, "cni_hostport") for family in FAMILY.values()],
    ]
)
"""Ours and the reference's."""

IPTABLES_TABLES = frozenset((family, table) for family in FAMILY.values() for table in ("nat", "filter"))


def of_nftables(nftables: NfTables) -> bool:
    """Whether there is a table of an nftables backend; True when the kernel cannot be asked."""
    return _any(nftables, NFTABLES_TABLES)


def of_iptables(nftables: NfTables) -> bool:
    """Whether there is a table that iptables backends write; True where iptables writes the legacy ones."""
    for name in programs.IPTABLES.values():
        path = program_path.find(name)
        if path and programs.variant(path) == programs.LEGACY:
            return True
    return _any(nftables, IPTABLES_TABLES)


def _any(nftables: NfTables, wanted: frozenset[tuple[int, str]]) -> bool:
    try:
        return not wanted.isdisjoint(nftables.tables())
    except (KernelError, OSError):
        return True
