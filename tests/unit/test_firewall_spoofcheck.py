"""The rules of macspoofchk as messages, and their tear-down as requests."""

from __future__ import annotations

from pycni.firewall import nft_messages as messages
from pycni.firewall import spoofcheck
from pycni.firewall.facts import Owner, SpoofCheck
from pycni.firewall.spoofcheck import Names
from pycni.kernel.netlink import attributes, text

OWNER = Owner("net", "c1", "eth0")
FACT = SpoofCheck("veth12345678", bytes.fromhex("020000000001"))


def test_names_are_the_references() -> None:
    names = Names(OWNER)
    assert (names.chain, names.mac_chain) == ("cni-br-iface-c1-eth0", "cni-br-iface-c1-eth0-mac")
    assert names.comment == "macspoofchk-c1-eth0"


def test_the_rules() -> None:
    """In family bridge, each in its chain and with its comment; the values are those that CHECK looks for."""
    told = spoofcheck._rules(Names(OWNER), FACT)
    assert [message[2][0] for message in told] == [7] * 4
    chains = [text(attributes(payload, 4)[2]) for _, _, payload in told]
    assert chains == ["PREROUTING", "cni-br-iface-c1-eth0", "cni-br-iface-c1-eth0-mac", "cni-br-iface-c1-eth0-mac"]
    assert b"veth12345678\0\0\0\0" in told[0][2] and b"cni-br-iface-c1-eth0\0" in told[0][2]
    assert b"cni-br-iface-c1-eth0-mac\0" in told[1][2]
    assert FACT.mac in told[2][2] and FACT.mac not in told[3][2]
    answers = [(kind, payload) for kind, _, payload in told]
    assert all(b"macspoofchk-c1-eth0\0" in payload for _, payload in answers)
    assert messages.rules(answers) == [], "a rule without a handle is not yet one"


def test_the_base_chain_comes_first() -> None:
    table, chain = spoofcheck._table()
    assert text(attributes(table[2], 4)[1]) == "nat"
    found = attributes(chain[2], 4)
    assert (text(found[3]), text(found[7])) == ("PREROUTING", "filter")
    hook = attributes(found[4])
    assert (int.from_bytes(hook[1], "big"), int.from_bytes(hook[2], "big", signed=True)) == (0, -300)
