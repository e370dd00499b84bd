"""The ledger's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_firewall_tables import admissions, masquerades, publishes

from pycni.firewall.facts import (
    FIREWALLD,
    Admit,
    Fact,
    Isolate,
    Mapping,
    Masquerade,
    Owner,
    Publish,
    SpoofCheck,
    Trust,
)
from pycni.firewall.ledger import Entry, Ledger, decode, encode
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError

HOSTILE = Owner("../../etc", "a/../b\0", "eth0/..")
FACTS = (Masquerade((Prefix.parse("10.0.0.2/24"),)),)


@given(
    st.builds(Owner, st.text(), st.text(), st.text()),
    st.lists(st.one_of(masquerades, publishes, admissions), max_size=4).map(tuple),
    st.lists(admissions, max_size=2).map(tuple),
)
def test_entries_are_read_back(owner: Owner, facts: tuple[Fact, ...], stale: tuple[Fact, ...]) -> None:
    entry = Entry(owner, "portmap", "nftables", facts, stale, "iptables")
    assert decode(encode(entry)) == entry


def test_every_field_of_a_fact_is_kept() -> None:
    publish = Publish(
        Prefix.parse("10.0.0.2/24"),
        (Mapping("tcp", 1, 2, Address.parse("192.0.2.1")), Mapping("UDP", 3, 4)),
        False,
        True,
        7,
        "EXTERNAL",
        ("-s", "192.0.2.0/24"),
    )
    entry = Entry(Owner("n", "c", "i"), "portmap", "iptables", (publish, Admit((Address.parse("::1"),), "ADMIN")))
    assert decode(encode(entry)) == entry


def test_facts_of_other_backends_are_kept() -> None:
    trust = Trust((Address.parse("10.0.0.2"), Address.parse("fd00::2")), "work", "unix:path=/bus")
    check = SpoofCheck("veth1", bytes.fromhex("0a0000000001"))
    entry = Entry(Owner("n", "c", "i"), "firewall", FIREWALLD, (trust, check, Isolate("br0", "isolated", 4)))
    assert decode(encode(entry)) == entry


def test_walls_of_firewalld_are_in_iptables() -> None:
    wall = Isolate("br0", "isolated", 4)
    trust = Trust((Address.parse("10.0.0.2"),), "work", "unix:path=/bus")
    entry = Entry(Owner("n", "c", "i"), "firewall", FIREWALLD, (trust, wall))
    assert entry.facts_in(FIREWALLD) == (trust, wall)
    assert entry.facts_in("iptables") == (wall,)
    assert entry.facts_in("nftables") == ()
    assert entry.replace(walled_in="nftables").facts_in("nftables") == (wall,)


def test_an_address_is_found_in_firewalld_too(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), "4-1")
    trust = Trust((Address.parse("10.0.0.2"),), "work", "unix:path=/bus")
    first, second = Owner("n", "c1", "i"), Owner("m", "c2", "i")
    ledger.put(Entry(first, "firewall", FIREWALLD, (trust,)))
    assert [each.owner for each in ledger.holders(second, trust)] == [first]
    ledger.delete(first, "firewall")
    assert list(ledger.holders(second, trust)) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version":2}', '{"version":1,"owner":{}}', "\0"])
def test_foreign_text_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode(text)


def test_any_name_is_safe(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "run"), "4-1")
    entry = Entry(HOSTILE, "masquerade", "iptables", FACTS)
    ledger.put(entry)
    assert ledger.get(HOSTILE, "masquerade") == entry
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    ledger.delete(HOSTILE, "masquerade")
    ledger.delete(HOSTILE, "masquerade")
    assert ledger.get(HOSTILE, "masquerade") is None
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == []


def test_damaged_entries_are_passed_over(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), "4-1")
    owner = Owner("n", "c", "eth0")
    ledger.put(Entry(owner, "masquerade", "iptables", FACTS))
    (file,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    file.write_bytes(b"{")
    assert ledger.get(owner, "masquerade") is None
    assert list(ledger.network("n", "masquerade")) == []


def test_selections(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), "4-1")
    owners = [
        Owner(network, container, ifname) for network in "mn" for container in "ab" for ifname in ("eth0", "eth1")
    ]
    for owner in owners:
        for kind in ("masquerade", "portmap"):
            ledger.put(Entry(owner, kind, "iptables", FACTS))
    me = owners[0]
    assert {entry.owner for entry in ledger.network("m", "portmap")} == set(owners[:4])
    assert [entry.owner for entry in ledger.siblings(me, "portmap")] == [owners[1]]
    others = [entry.owner for entry in ledger.others(me, "portmap")]
    assert set(others) == set(owners[1:]) and {owner.network for owner in others[:3]} == {"m"}
    assert len(list(ledger.all())) == 16
    assert list(Ledger(str(tmp_path), "4-2").all()) == []


def test_a_ledger_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("")
    with pytest.raises(FirewallError, match="writing firewall ledger"):
        Ledger(str(tmp_path), "4-1").put(Entry(Owner("n", "c", "eth0"), "portmap", "iptables", FACTS))


def test_holders_of_an_address_and_a_bridge(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), "4-1")
    one, two = Owner("m", "a", "eth0"), Owner("n", "b", "eth0")
    admit, isolate = Admit((Address.parse("10.0.0.2"), Address.parse("fd00::2"))), Isolate("br0", "isolated", 4)
    entry = Entry(one, "firewall", "iptables", (admit, isolate))
    ledger.put(entry)
    ledger.put(Entry(two, "firewall", "iptables", (Isolate("br1", "isolated", 4),)))
    for fact in (Admit((Address.parse("fd00::2"),)), Isolate("br0", "same-bridge", 6)):
        assert list(ledger.holders(two, fact)) == [entry]
        assert list(ledger.holders(one, fact)) == []
    assert list(ledger.holders(two, Admit((Address.parse("10.0.0.3"),)))) == []
    assert {each.owner for each in ledger.all()} == {one, two}
    ledger.delete(one, "firewall")
    assert list(ledger.holders(two, isolate)) == []
    ledger.delete(two, "firewall")
    assert {path.name for path in (tmp_path / "ledger" / "4-1").rglob("*")} == {".addresses", ".bridges"}
