"""Processes of one call each, with the iptables backend: what one listed serves the next, as long as it is true."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from firewall_spaces import Space

from pycni.firewall import programs
from pycni.firewall.facts import Masquerade, Owner
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.firewall.generation import NfTables
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Prefix

KIND = "masquerade"
ROOT = Path(__file__).resolve().parents[2]
PLAIN = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def owner(number: int) -> Owner:
    return Owner("net", f"c{number}", "eth0")


def facts(number: int) -> tuple[Masquerade, ...]:
    return (Masquerade((Prefix.parse(f"10.1.2.{number}/24"),)),)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The programs run, for the test to clear."""
    names: list[str] = []
    original = programs.run

    def run(namespace: Namespace, argv: list[str], text: str = "") -> programs.Outcome:
        names.append(os.path.basename(argv[0]))
        return original(namespace, argv, text)

    monkeypatch.setattr(programs, "run", run)
    yield names


def call(space: Space, run_dir: Path, act: Callable[[Firewall], object]) -> None:
    """What a plugin without the engine does: open, act once, end."""
    with Namespace.open(space.path) as namespace:
        firewall = Firewall(namespace, str(run_dir), keep_listing=True)
        act(firewall)
        firewall.close()


def add(space: Space, run_dir: Path, number: int) -> None:
    call(space, run_dir, lambda firewall: firewall.install(owner(number), KIND, IPTABLES, facts(number)))


def masqueraded(space: Space) -> list[str]:
    saved = space.saved()["iptables-save"]
    return [rule.split()[3] for rule in saved if rule.startswith("-A POSTROUTING")]


def generation(space: Space) -> int:
    with Namespace.open(space.path) as namespace:
        nftables = NfTables(namespace)
        number = nftables.generation()
        nftables.close()
        return number


def test_the_tables_are_listed_once(tmp_path: Path, executed: list[str]) -> None:
    with Space() as space:
        add(space, tmp_path, 2)
        add(space, tmp_path, 3)
        executed.clear()
        add(space, tmp_path, 4)
        assert executed == ["iptables-restore"]
        executed.clear()
        call(space, tmp_path, lambda firewall: firewall.remove(owner(3), KIND))
        add(space, tmp_path, 4)
        assert executed == []
        saved = space.saved()["iptables-save"]
        assert [rule.split()[3] for rule in saved if rule.startswith("-A POSTROUTING")] == [
            "10.1.2.2/32",
            "10.1.2.4/32",
        ]


def test_a_change_by_somebody_else_is_seen(tmp_path: Path, executed: list[str]) -> None:
    with Space() as space:
        add(space, tmp_path, 2)
        add(space, tmp_path, 3)
        space.sh("iptables -t nat -F POSTROUTING")
        executed.clear()
        add(space, tmp_path, 3)
        assert executed == ["iptables-save", "iptables-restore"]
        assert masqueraded(space) == ["10.1.2.3/32"]


def test_another_namespace_with_the_same_file_believes_nothing(tmp_path: Path, executed: list[str]) -> None:
    """An inode number is used again when its namespace is gone; the generations may be equal as well."""
    with Space() as first, Space() as second:
        for space in (first, second):
            space.sh("iptables -t nat -A POSTROUTING -s 10.9.9.9 -j ACCEPT")
        add(first, tmp_path, 2)
        second.sh("iptables -t nat -A POSTROUTING -s 10.9.9.8 -j ACCEPT")
        assert generation(first) == generation(second)
        (file,) = tmp_path.glob("iptables-*.listing")
        file.rename(tmp_path / f"iptables-{'-'.join(map(str, second.identity))}.listing")
        executed.clear()
        add(second, tmp_path, 2)
        assert executed == ["iptables-save", "iptables-restore"]


@pytest.mark.parametrize(("backend", "other"), [(IPTABLES, "nft_backend"), (NFTABLES, "iptables")])
def test_the_other_backend_is_not_even_loaded(tmp_path: Path, backend: str, other: str) -> None:
    script = (
        "from pycni.firewall.facts import Admit, Masquerade, Owner\n"
        "from pycni.firewall.firewall import Firewall\n"
        "from pycni.kernel.namespace import Namespace\n"
        "from pycni.spec.address import Prefix\n"
        "address = Prefix.parse('10.1.2.3/24')\n"
        "facts = {'masquerade': (Masquerade((address,)),), 'firewall': (Admit((address.address,)),)}\n"
        "with Namespace.current() as namespace:\n"
        f"    firewall = Firewall(namespace, {str(tmp_path)!r}, keep_listing=True)\n"
        "    for kind, wanted in facts.items():\n"
        f"        firewall.install(Owner('net', 'c1', 'eth0'), kind, {backend!r}, wanted)\n"
        "    for kind in facts:\n"
        "        firewall.remove(Owner('net', 'c1', 'eth0'), kind)\n"
        "print(*[name for name in sys.modules if name.startswith('pycni.firewall.')])\n"
    )
    with Space() as space:
        loaded = space.run(PLAIN, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}").stdout
    names = [name.removeprefix("pycni.firewall.") for name in loaded.split()]
    assert ("iptables_backend" if backend == IPTABLES else "nft_backend") in names
    assert other not in names
