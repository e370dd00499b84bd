"""Facts as elements, and elements as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_firewall_tables import admissions, masquerades, owners, publishes

from pycni.firewall import nft_messages as messages
from pycni.firewall import nft_static as static
from pycni.firewall.facts import Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.generation import INET
from pycni.firewall.naming import owner_comment
from pycni.firewall.nft_conditions import rules
from pycni.firewall.nft_elements import comment_of, elements
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError

facts = st.lists(st.one_of(masquerades, publishes, admissions), max_size=5)
KEY_SIZES = {
    "p_ports4": 8,
    "p_ports6": 8,
    "p_ports_at4": 12,
    "p_ports_at6": 24,
    "p_hairpin4": 4,
    "p_hairpin6": 16,
    "p_masq4": 4,
    "p_masq6": 16,
    "p_admit4": 4,
    "p_admit6": 16,
    "p_bridges": 16,
    "p_open_pairs": 32,
    "p_closed_pairs": 32,
    "p_internal": 16,
    "p_internal_pairs": 32,
}


@given(facts)
def test_keys_are_unique_and_of_their_sets_size(wanted: list[Fact]) -> None:
    found = elements(wanted)
    assert len({element.identity for element in found}) == len(found)
    for element in found:
        assert len(element.key) == KEY_SIZES[element.set]
        assert not (element.data and element.jump)
        assert not (element.exclusive and element.shared)


@given(facts, owners)
def test_elements_are_read_as_they_are_written(wanted: list[Fact], owner: Owner) -> None:
    """The kernel answers in the form in which it is told."""
    for element in elements(wanted):
        held = element.held(comment_of(element, owner))
        kind, _, payload = messages.add(INET, static.TABLE, held, True)
        assert messages.held([(kind, payload)]) == [held]
        assert messages.held([(kind, payload)], held.comment.encode()) == [held]
        assert messages.held([(kind, payload)], b"somebody else") == []
        assert held.means(element)
        assert held.belongs_to(owner) != element.shared


@given(st.text(max_size=300), st.text(max_size=300))
def test_comments_fit_and_have_no_quotes(network: str, container_id: str) -> None:
    comment = owner_comment(Owner(network, container_id, "eth0"))
    assert len(comment.encode()) <= 128
    assert '"' not in comment


def test_every_set_belongs_to_a_kind() -> None:
    assert sorted(name for names in static.SETS_OF_KIND.values() for name in names) == sorted(KEY_SIZES)
    text = static.ruleset()
    assert all(f" inet pynet {name} " in text for name in KEY_SIZES)
    assert f"add chain inet pynet {static.MARKER}\n" in text
    assert "flush chain inet pynet p_operator" not in text
    assert "flush chain inet pynet p_conditional" not in text


def test_a_published_port_in_bytes() -> None:
    host = Address.parse("192.0.2.1")
    fact = Publish(Prefix.parse("10.1.2.3/24"), (Mapping("tcp", 8080, 80), Mapping("UDP", 53, 54, host)))
    first, second, hairpin = elements([fact])
    assert (first.set, first.key, first.data) == (
        "p_ports4",
        bytes.fromhex("06000000 1f900000"),
        bytes.fromhex("0a010203 00500000"),
    )
    assert (second.set, second.key) == ("p_ports_at4", bytes.fromhex("c0000201 11000000 00350000"))
    assert second.label == "53/udp on 192.0.2.1"
    assert (hairpin.key, hairpin.jump) == (bytes.fromhex("0a010203"), "p_from_10.1.2.0/24")


def test_subnet_chains() -> None:
    six = Prefix.parse("fd00:1::2/64").network
    (element,) = elements([Masquerade((Prefix.parse("fd00:1::2/64"),))])
    assert (element.jump, element.subnet) == ("p_leave_fd00_1__/64", six)
    fact = Publish(Prefix.parse("10.0.0.2/24"), (Mapping("tcp", 1, 2),), masq_all=True)
    everywhere = elements([fact])[-1]
    assert everywhere.jump == "p_from_0.0.0.0/0"


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (Publish(Prefix.parse("10.0.0.2/24"), (Mapping("icmp", 1, 1),)), 'unknown port protocol "icmp"'),
        (Publish(Prefix.parse("10.0.0.2/24"), (Mapping("tcp", 65536, 1),)), "invalid port 65536"),
        (Publish(Prefix.parse("10.0.0.2/24"), (Mapping("tcp", 1, 0),)), "invalid port 0"),
        (Isolate("b" * 16, "isolated", 4), "bridge name b+ is too long"),
    ],
)
def test_what_no_element_can_say(fact: Fact, text: str) -> None:
    with pytest.raises(FirewallError, match=text):
        elements([fact])


def test_conditional_rules() -> None:
    mappings = (Mapping("tcp", 80, 81), Mapping("tcp", 82, 83, Address.parse("::1")))
    words = ("ip6", "saddr", "fd00::/8")
    found = rules(Publish(Prefix.parse("fd00::2/64"), mappings, conditions=words))
    assert found == [
        "meta nfproto ipv6 ip6 saddr fd00::/8 tcp dport 80 dnat ip6 to [fd00::2]:81",
        "meta nfproto ipv6 ip6 saddr fd00::/8 ip6 daddr ::1 tcp dport 82 dnat ip6 to [fd00::2]:83",
    ]


@pytest.mark.parametrize("word", ["accept; flush ruleset", "accept\nflush ruleset"])
def test_conditions_cannot_break_out(word: str) -> None:
    fact = Publish(Prefix.parse("10.0.0.2/24"), (Mapping("tcp", 80, 81),), conditions=("ip", word))
    with pytest.raises(FirewallError, match="more than one statement"):
        rules(fact)
