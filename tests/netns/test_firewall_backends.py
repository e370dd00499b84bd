"""Installing, replacing and removing rules with either backend, against the real kernel: ownership and idempotence."""

from __future__ import annotations

from pathlib import Path

import pytest
from firewall_house import BOTH, ONE, TWO, address, everything, firewall, install, owned, reopen, space, state
from firewall_spaces import Space

from pycni.firewall.facts import Mapping, Masquerade, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.spec.address import Prefix
from pycni.spec.errors import FirewallError

__all__ = ["firewall", "reopen", "space"]


@BOTH
def test_installing_twice_changes_nothing(space: Space, firewall: Firewall, backend: str) -> None:
    install(firewall, ONE, everything(2), backend)
    before = state(space)
    install(firewall, ONE, everything(2), backend)
    assert state(space) == before
    for kind, facts in everything(2).items():
        assert firewall.missing(ONE, kind, backend, facts) == []


@BOTH
def test_removing_leaves_what_was_before(space: Space, firewall: Firewall, tmp_path: Path, backend: str) -> None:
    install(firewall, TWO, everything(3, 9090), backend)
    before = state(space)
    install(firewall, ONE, everything(2), backend)
    assert state(space) != before
    for _ in range(2):
        for kind in everything(2):
            firewall.remove(ONE, kind)
        assert state(space) == before
    for kind in everything(3):
        firewall.remove(TWO, kind)
    assert owned(space) == []
    assert [path for path in (tmp_path / "run" / "ledger").rglob("*") if path.is_file()] == []


@BOTH
def test_changed_facts_replace_the_old_ones(space: Space, firewall: Firewall, backend: str) -> None:
    install(firewall, ONE, everything(2), backend)
    wanted = state(space)
    install(firewall, ONE, everything(77, 7777), backend)
    assert not any("10.1.2.2" in line and "10.1.2.2/24" not in line for line in owned(space)) or backend == IPTABLES
    assert not any("8080" in line for line in owned(space))
    install(firewall, ONE, everything(2), backend)
    assert sorted(owned(space)) == sorted(line for line in wanted if line in owned(space))
    assert set(state(space)) == set(wanted)


@pytest.mark.parametrize(("first", "second"), [(IPTABLES, NFTABLES), (NFTABLES, IPTABLES)])
def test_changing_the_backend(space: Space, firewall: Firewall, first: str, second: str) -> None:
    install(firewall, ONE, everything(2), first)
    install(firewall, ONE, everything(2), second)
    left = owned(space)
    assert left
    assert any("-A" in line for line in left) == (second == IPTABLES)
    assert any("elements" in line for line in left) == (second == NFTABLES)
    for kind in everything(2):
        firewall.remove(ONE, kind)
    assert owned(space) == []


@pytest.mark.parametrize(
    ("subnet", "masq_all", "wanted"),
    [
        ("10.1.2.3/24", False, ["ip saddr 10.1.2.0/24 masquerade", "ip saddr 127.0.0.1 masquerade"]),
        ("10.1.2.3/19", False, ["ip saddr 10.1.0.0/19 masquerade", "ip saddr 127.0.0.1 masquerade"]),
        ("10.1.2.3/32", False, ["ip saddr 10.1.2.3 masquerade", "ip saddr 127.0.0.1 masquerade"]),
        ("10.1.2.3/24", True, ["meta nfproto ipv4 masquerade"]),
        ("fd00::3/61", False, ["ip6 saddr fd00::/61 masquerade"]),
        ("fd00::3/128", False, ["ip6 saddr fd00::3 masquerade"]),
        ("fd00::3/64", True, ["meta nfproto ipv6 masquerade"]),
    ],
)
def test_subnet_chains(space: Space, firewall: Firewall, subnet: str, masq_all: bool, wanted: list[str]) -> None:
    """nft reads what we encoded as what we meant."""
    prefix = Prefix.parse(subnet)
    firewall.install(ONE, "portmap", NFTABLES, (Publish(prefix, (Mapping("tcp", 80, 80),), masq_all=masq_all),))
    firewall.install(ONE, "masquerade", NFTABLES, (Masquerade((prefix,)),))
    listing = space.sh("nft list table inet pynet").split("\n")
    chains = {
        line.split()[1].split("_")[1]: [each.strip() for each in listing[index + 1 : index + 3] if "}" not in each]
        for index, line in enumerate(listing)
        if line.startswith(("\tchain p_from_", "\tchain p_leave_"))
    }
    family = "ip" if prefix.family == 4 else "ip6"
    own = str(prefix.network).removesuffix("/32").removesuffix("/128")
    assert chains == {"from": wanted, "leave": [f"{family} daddr {own} return", "masquerade"]}


def test_long_names(space: Space, firewall: Firewall) -> None:
    """A comment holds 128 bytes; the hashes at its head tell owners apart all the same."""
    owners = [Owner("n" * 90, "c" * 200 + end, "eth0") for end in "ab"]
    for number, owner in enumerate(owners):
        install(firewall, owner, everything(2 + number, 80 + number), NFTABLES)
    with pytest.raises(FirewallError, match="c" * 200 + "a"):
        firewall.install(ONE, "portmap", NFTABLES, everything(9, 80)["portmap"])
    assert space.sh("nft list map inet pynet p_ports4").count("net: nnn") == 2
    for owner in owners:
        for kind in everything(2):
            firewall.remove(owner, kind)
    assert owned(space) == []


def test_a_refused_rule_changes_nothing(space: Space, firewall: Firewall) -> None:
    before = owned(space)
    facts = (
        Publish(address(2), (Mapping("tcp", 80, 80),)),
        Publish(Prefix.parse("fd00:2::2/64"), (Mapping("tcp", 80, 80),), conditions=("--no-such-option",)),
    )
    with pytest.raises(FirewallError, match="ip6tables-restore"):
        firewall.install(ONE, "portmap", IPTABLES, facts)
    assert owned(space) == before
    with pytest.raises(FirewallError, match='unknown port protocol "icmp"'):
        firewall.install(ONE, "portmap", NFTABLES, (Publish(address(2), (Mapping("icmp", 80, 80),)),))
    assert owned(space) == before
