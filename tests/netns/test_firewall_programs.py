"""Which programs the firewall needs, finds and runs, and how few; what importing it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from firewall_house import ONE, TWO, address, everything, firewall, install, legacy, owned, reopen, space
from firewall_spaces import Space

from pycni import program_path
from pycni.firewall import programs
from pycni.firewall.facts import Admit, Fact, Masquerade, Owner
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Prefix
from pycni.spec.errors import FirewallError, NotAvailable

__all__ = ["firewall", "legacy", "reopen", "space"]


class Runs:
    """Counts the programs run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.argv: list[list[str]] = []
        original = programs.run

        def run(namespace: Namespace, argv: list[str], text: str = "") -> programs.Outcome:
            self.argv.append(argv)
            return original(namespace, argv, text)

        monkeypatch.setattr(programs, "run", run)


def test_nftables_runs_no_program_in_the_steady_state(
    firewall: Firewall, reopen: Callable[[], Firewall], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(firewall, ONE, everything(2), NFTABLES)
    runs = Runs(monkeypatch)
    for each in (firewall, reopen()):
        install(each, TWO, everything(3, 9090), NFTABLES)
        for kind in everything(3):
            each.remove(TWO, kind)
            each.remove(TWO, kind)
        alone = Owner("alone", "three", "eth0")
        other_subnet = {"masquerade": (Masquerade((Prefix.parse("10.7.7.7/30"),)),)}
        install(each, alone, other_subnet, NFTABLES)
        for kind in everything(3):
            each.remove(alone, kind)
            each.collect("net", kind, {("one", "eth0")})
    assert runs.argv == []


def test_iptables_runs_one_program_in_the_steady_state(
    space: Space, firewall: Firewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    four: dict[str, tuple[Fact, ...]]
    for owner, number in ((ONE, 2), (TWO, 3)):
        four = {
            "masquerade": (Masquerade((address(number),)),),
            "portmap": everything(number)["portmap"][:1],
            "firewall": (Admit((address(number).address,)),),
        }
        if owner == ONE:
            install(firewall, ONE, four, IPTABLES)
    runs = Runs(monkeypatch)
    install(firewall, TWO, four, IPTABLES)
    assert [os.path.basename(argv[0]) for argv in runs.argv] == ["iptables-restore"] * 3
    runs.argv.clear()
    for kind in four:
        firewall.remove(TWO, kind)
        firewall.remove(TWO, kind)
    assert runs.argv == [], "rules are deleted by netlink"
    space.sh("iptables -t nat -A POSTROUTING -s 10.9.9.9 -j ACCEPT")
    runs.argv.clear()
    firewall.install(TWO, "masquerade", IPTABLES, four["masquerade"])
    assert [os.path.basename(argv[0]) for argv in runs.argv] == ["iptables-save", "iptables-restore"]


@pytest.mark.usefixtures("legacy")
def test_legacy_iptables(space: Space, firewall: Firewall) -> None:
    assert programs.variant(program_path.find("iptables")) == programs.LEGACY
    for kind in everything(2):
        firewall.remove(ONE, kind)
    install(firewall, TWO, everything(3, 9090), IPTABLES)
    before = owned(space)
    for _ in range(2):
        install(firewall, ONE, everything(2), IPTABLES)
    assert len(owned(space)) > len(before)
    assert "chain" not in space.sh("nft list ruleset 2>/dev/null")
    for kind, facts in everything(2).items():
        assert firewall.missing(ONE, kind, IPTABLES, facts) == []
        firewall.remove(ONE, kind)
    assert owned(space) == before
    for kind in everything(3):
        firewall.remove(TWO, kind)
    assert owned(space) == []


def test_choice_and_status(firewall: Firewall, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in everything(2):
        assert firewall.choose(kind, "") == IPTABLES
        assert firewall.choose(kind, NFTABLES) == NFTABLES
    for backend in (IPTABLES, NFTABLES):
        firewall.status(backend)
    monkeypatch.setattr(program_path, "_found", {})
    monkeypatch.setattr(program_path, "SBIN", (str(tmp_path),))
    monkeypatch.setenv("PATH", "")
    assert firewall.choose("portmap", "") == NFTABLES
    with pytest.raises(NotAvailable, match="firewall backend iptables: iptables is not installed"):
        firewall.status(IPTABLES)
    with pytest.raises(NotAvailable, match="firewall backend nftables: nft is not installed"):
        firewall.status(NFTABLES)
    with pytest.raises(FirewallError, match="nft is not installed"):
        firewall.install(ONE, "masquerade", NFTABLES, (Masquerade((address(2),)),))
    with pytest.raises(FirewallError, match="could not initialize iptables protocol 0"):
        firewall.install(ONE, "firewall", IPTABLES, (Admit((address(2).address,)),))
    for kind in everything(2):
        firewall.remove(ONE, kind)


def test_nothing_heavy_is_imported() -> None:
    """What a plugin without the engine would pay for."""
    heavy = (
        "json",
        "re",
        "typing",
        "dataclasses",
        "ipaddress",
        "socket",
        "subprocess",
        "enum",
        "collections",
        "logging",
    )
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules); import pycni.firewall.firewall;"
        f"print([name for name in {heavy!r} if name in sys.modules and name not in before])"
    )
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script, root], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
