"""Others who change rules beside ours, and ours that they removed, against the real kernel."""

from __future__ import annotations

from typing import Any

import pytest
from firewall_house import ONE, TWO, address, everything, firewall, install, owned, reopen, space, state
from firewall_spaces import Space

from pycni.firewall import generation
from pycni.firewall.facts import Admit, Mapping, Masquerade, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.spec.address import Prefix

__all__ = ["firewall", "reopen", "space"]


@pytest.mark.parametrize(
    ("backend", "damage", "said", "conditions"),
    [
        (IPTABLES, "iptables -t nat -F PREROUTING", "-j CNI-HOSTPORT-DNAT in chain PREROUTING not found", ()),
        (IPTABLES, "iptables -t nat -F OUTPUT", "-j CNI-HOSTPORT-DNAT in chain OUTPUT not found", ("-s", "192.0.2.1")),
        (IPTABLES, "ip6tables -t nat -F POSTROUTING", "-j CNI-HOSTPORT-MASQ in chain POSTROUTING not found", ()),
        (IPTABLES, "iptables -t nat -F CNI-HOSTPORT-SETMARK", "in chain CNI-HOSTPORT-SETMARK not found", ()),
        (NFTABLES, "nft flush table inet pynet", "rules of chain p_", ()),
    ],
)
def test_a_port_that_nothing_leads_to_is_missing_and_comes_back(
    space: Space, firewall: Firewall, backend: str, damage: str, said: str, conditions: tuple[str, ...]
) -> None:
    mappings = (Mapping("tcp", 8080, 80),)
    facts = (Publish(address(2), mappings, conditions=conditions), Publish(Prefix.parse("fd00:2::2/64"), mappings))
    install(firewall, ONE, {"portmap": facts}, backend)
    before = state(space)
    assert firewall.missing(ONE, "portmap", backend, facts) == []
    space.run(*damage.split())
    found = firewall.missing(ONE, "portmap", backend, facts)
    assert found and all(said in each for each in found)
    assert not firewall.restore().problems
    assert state(space) == before


def test_a_policy_that_became_drop_is_noticed(space: Space, firewall: Firewall) -> None:
    facts = everything(2)["firewall"]
    space.sh("iptables -A FORWARD -s 192.0.2.1 -j ACCEPT")
    firewall.install(ONE, "firewall", NFTABLES, facts)
    assert firewall.missing(ONE, "firewall", NFTABLES, facts) == []
    space.sh("iptables -P FORWARD DROP")
    assert firewall.missing(ONE, "firewall", NFTABLES, facts) == [
        "chain PYNET-FORWARD not found in iptables table filter"
    ]
    firewall.install(ONE, "firewall", NFTABLES, facts)
    assert firewall.missing(ONE, "firewall", NFTABLES, facts) == []


def test_strangers_elements_stay(space: Space, firewall: Firewall) -> None:
    """A delete with the wrong value would succeed in the kernel."""
    firewall.install(ONE, "masquerade", NFTABLES, (Masquerade((address(2),)),))
    space.sh('nft add element inet pynet p_admit4 { 10.1.2.9 comment \\"an-operator\\" }')
    firewall.remove(TWO, "firewall", (Admit((address(9).address,)),))
    assert "an-operator" in space.sh("nft list set inet pynet p_admit4")


def test_a_flushed_ruleset_comes_back_with_the_next_install(space: Space, firewall: Firewall) -> None:
    install(firewall, ONE, everything(2), NFTABLES)
    space.sh("nft flush ruleset")
    assert firewall.missing(ONE, "portmap", NFTABLES, everything(2)["portmap"]) == [
        "nftables table inet pynet not found"
    ]
    install(firewall, ONE, everything(2), NFTABLES)
    assert firewall.missing(ONE, "portmap", NFTABLES, everything(2)["portmap"]) == []
    space.sh("nft delete map inet pynet p_nothing 2>/dev/null || true; nft flush map inet pynet p_ports4")
    assert firewall.missing(ONE, "portmap", NFTABLES, everything(2)["portmap"]) == [
        'missing hostport rules in "p_ports4" set: 8080/tcp'
    ]


def test_no_strangers_rule_is_deleted_by_position(
    space: Space, firewall: Firewall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others change the chain between our look and our batch, which must not hold then."""
    facts = everything(2)["masquerade"]
    firewall.install(ONE, "masquerade", IPTABLES, facts)
    original = generation.NfTables.commit
    harm = iter(["iptables -t nat -I POSTROUTING -s 10.9.9.9 -j ACCEPT", "iptables -t nat -I POSTROUTING -s 10.9.9.8"])

    def commit(self: generation.NfTables, batch: list[Any]) -> None:
        space.sh(next(harm))
        original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(generation.NfTables, "commit", commit)
        firewall.remove(ONE, "masquerade")
    assert owned(space) == []
    saved = space.saved()["iptables-save"]
    assert [line.split(" ")[3] for line in saved if line.startswith("-A POSTROUTING")] == ["10.9.9.8/32", "10.9.9.9/32"]


def test_foreign_changes_between_two_calls(space: Space, firewall: Firewall) -> None:
    """Flushes, restores and deletions by others are seen, not guessed."""
    install(firewall, ONE, everything(2), IPTABLES)
    wanted = space.saved()
    for harm in (
        "iptables -t nat -F; iptables -t nat -X",
        "iptables -F; ip6tables -t nat -F",
        "iptables-save | iptables-restore",
        "nft flush ruleset",
    ):
        space.sh(harm)
        install(firewall, ONE, everything(2), IPTABLES)
        assert {program: sorted(lines) for program, lines in space.saved().items()} == {
            program: sorted(lines) for program, lines in wanted.items()
        }
    space.sh("nft flush ruleset")
    for kind in everything(2):
        firewall.remove(ONE, kind)
    assert owned(space) == []
