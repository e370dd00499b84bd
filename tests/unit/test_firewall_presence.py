"""What a removal learns from the names of tables."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pycni import program_path
from pycni.firewall import nft_reference, nft_static, presence, programs
from pycni.firewall.generation import INET
from pycni.kernel.netlink import Refused

IPV4 = 2


class Tables:
    """nf_tables with these tables; None: a kernel without."""

    def __init__(self, names: Iterable[tuple[int, str]] | None) -> None:
        self._names = names

    def tables(self) -> set[tuple[int, str]]:
        if self._names is None:
            raise Refused(2)
        return set(self._names)


@pytest.fixture(autouse=True)
def nft_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_path, "find", lambda name: f"/sbin/{name}")
    monkeypatch.setattr(programs, "variant", lambda _path: programs.NFT)


@pytest.mark.parametrize(
    ("names", "iptables", "nftables"),
    [
        ([], False, False),
        ([(IPV4, "nat")], True, False),
        ([(10, "filter")], True, False),
        ([(INET, "nat"), (INET, "filter"), (IPV4, "pynet")], False, False),
        ([(INET, "pynet")], False, True),
        ([(INET, "cni_plugins_masquerade")], False, True),
        ([(10, "cni_hostport"), (IPV4, "nat")], True, True),
        (None, True, True),
    ],
)
def test_tables_tell_the_backend(names: list[tuple[int, str]] | None, iptables: bool, nftables: bool) -> None:
    tables = Tables(names)
    assert presence.of_iptables(tables) is iptables  # type: ignore[arg-type]
    assert presence.of_nftables(tables) is nftables  # type: ignore[arg-type]


def test_legacy_tables_are_not_nf_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "variant", lambda path: programs.LEGACY if "ip6" in path else programs.NFT)
    assert presence.of_iptables(Tables([]))  # type: ignore[arg-type]


def test_the_names_are_those_the_backends_use() -> None:
    used = {(INET, nft_static.TABLE)}
    used |= {(family, table) for places in nft_reference._TABLES.values() for family, table, _ in places}
    assert used == presence.NFTABLES_TABLES
