"""Rules that outlived what knew of them: GC, a lost ledger, a killed install, the reference's own rules."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reference_plugins
from firewall_house import BOTH, ONE, TWO, everything, firewall, install, owned, reopen, space, state
from firewall_spaces import Space

from pycni.firewall.facts import Owner
from pycni.firewall.firewall import Firewall
from pycni.firewall.ledger import Ledger
from pycni.kernel.namespace import Namespace

__all__ = ["firewall", "reopen", "space"]


@BOTH
def test_remove_without_ledger_finds_names_and_comments(
    space: Space, firewall: Firewall, reopen: Callable[[], Firewall], tmp_path: Path, backend: str
) -> None:
    """The run directory was lost, or an operator's copy of the rules came back after it."""
    install(firewall, ONE, everything(2), backend)
    shutil.rmtree(tmp_path / "run" / "ledger")
    fresh = reopen()
    for kind, facts in everything(2).items():
        fresh.remove(ONE, kind, facts if kind == "firewall" else ())
    assert owned(space) == []


@BOTH
def test_collect(space: Space, firewall: Firewall, backend: str) -> None:
    other = Owner("net2", "one", "eth0")
    install(firewall, TWO, everything(3, 9090), backend)
    install(firewall, other, everything(4, 9191), backend)
    before = state(space)
    install(firewall, ONE, everything(2), backend)
    keep = {("two", "eth0")}
    for kind in everything(2):
        removed = firewall.collect("net", kind, keep)
        assert removed == [f'{kind} rules of container "one" interface "eth0"']
        assert firewall.collect("net", kind, keep) == []
    assert state(space) == before


@BOTH
def test_containers_removed_in_step(space: Space, firewall: Firewall, backend: str) -> None:
    """As parallel DELs do: nobody is the last of the network before the last kind."""
    for number, owner in enumerate((ONE, TWO)):
        install(firewall, owner, everything(2 + number, 8080 + number), backend)
    for kind in reversed(list(everything(2))):
        for owner in (ONE, TWO):
            firewall.remove(owner, kind)
    assert owned(space) == []


@BOTH
def test_collecting_several_containers(space: Space, firewall: Firewall, backend: str) -> None:
    for number, owner in enumerate((ONE, TWO)):
        install(firewall, owner, everything(2 + number, 8080 + number), backend)
    for kind in everything(2):
        firewall.collect("net", kind, set())
    assert owned(space) == []


@BOTH
def test_collect_without_ledger(
    space: Space, firewall: Firewall, reopen: Callable[[], Firewall], tmp_path: Path, backend: str
) -> None:
    kinds = ("masquerade", "portmap")
    before: list[str] = []
    for owner, number in ((TWO, 3), (Owner("net2", "one", "eth0"), 4), (ONE, 2)):
        before = state(space)
        for kind in kinds:
            firewall.install(owner, kind, backend, everything(number, 8080 + number)[kind])
    shutil.rmtree(tmp_path / "run" / "ledger")
    for kind in kinds:
        removed = reopen().collect("net", kind, {("two", "eth0")})
        assert removed
        assert all("one" in text for text in removed)
    assert state(space) == before


@BOTH
def test_a_killed_install_is_cleaned_up(
    space: Space, reopen: Callable[[], Firewall], tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 between the ledger and the kernel, and between the kernel and the end."""

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    dying = reopen()
    before = owned(space)
    for name in ("install", "after"):
        for kind, facts in everything(2).items():
            with monkeypatch.context() as patch:
                hands = dying._backend(backend)
                original = hands.install

                def install_and_die(entry: Any, original: Any = original) -> None:
                    original(entry)
                    raise Killed

                patch.setattr(hands, "install", die if name == "install" else install_and_die)
                with pytest.raises(Killed):
                    dying.install(ONE, kind, backend, facts)
        fresh = reopen()
        for kind in everything(2):
            assert fresh.collect("net", kind, set()) == [f'{kind} rules of container "one" interface "eth0"']
        assert owned(space) == before
        assert list(Ledger(str(tmp_path / "run"), "-".join(map(str, space.identity))).all()) == []


def test_the_references_nftables_rules_are_removed(tmp_path: Path) -> None:
    with Space() as host, Space() as container:
        ipam = {"type": "host-local", "dataDir": str(tmp_path / "leases"), "subnet": "10.1.2.0/24"}
        bridge = {
            "cniVersion": "1.0.0",
            "name": "net",
            "type": "bridge",
            "isGateway": True,
            "ipMasq": True,
            "ipMasqBackend": "nftables",
            "ipam": ipam,
        }
        results = {}
        for name in ("one", "two"):
            results[name] = reference_plugins.call(host, "bridge", "ADD", name, bridge, container.path, f"if{name}")
            mappings = [{"hostPort": 80 + len(name) + len(results), "containerPort": 80, "protocol": "tcp"}]
            portmap = {
                "cniVersion": "1.0.0",
                "name": "net",
                "type": "portmap",
                "backend": "nftables",
                "runtimeConfig": {"portMappings": mappings},
                "prevResult": results[name],
            }
            reference_plugins.call(host, "portmap", "ADD", name, portmap, container.path, f"if{name}")
        listing = host.sh("nft list ruleset")
        assert "id: one" in listing and 'comment "one"' in listing
        with Namespace.open(host.path) as namespace:
            firewall = Firewall(namespace, str(tmp_path / "run"))
            one = Owner("net", "one", "ifone")
            for kind in ("masquerade", "portmap"):
                firewall.remove(one, kind)
            listing = host.sh("nft list ruleset")
            assert "id: one" not in listing and 'comment "one"' not in listing
            assert "id: two" in listing and 'comment "two"' in listing
            assert firewall.collect("net", "masquerade", {("two", "iftwo")}) == []
            (removed,) = firewall.collect("net", "masquerade", set())
            assert "id: two" in removed
            firewall.close()
