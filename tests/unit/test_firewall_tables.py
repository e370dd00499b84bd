"""Laws of the pure part of the iptables backend."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall import chains, naming, withdraw
from pycni.firewall.facts import Admit, Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.tables import Command, Draft, Tables, quoted, restore_input
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError

names = st.text(st.sampled_from("abcdefXYZ0189_.-"), min_size=1, max_size=12)
owners = st.builds(Owner, names, names, st.sampled_from(["eth0", "eth1"]))
addresses = st.one_of(
    st.integers(1, 2**32 - 2).map(lambda number: Address.from_number(number, 4)),
    st.integers(2**64, 2**128 - 2).map(lambda number: Address.from_number(number, 6)),
)
prefixes = addresses.flatmap(
    lambda address: st.integers(1, address.bits).map(lambda length: Prefix(address, length)),
)
mappings = st.builds(
    Mapping,
    st.sampled_from(["tcp", "udp", "sctp"]),
    st.integers(1, 65535),
    st.integers(1, 65535),
    st.one_of(st.none(), addresses),
)
masquerades = st.builds(Masquerade, st.lists(prefixes, min_size=1, max_size=3, unique=True).map(tuple))
publishes = st.builds(
    Publish, prefixes, st.lists(mappings, min_size=1, max_size=20).map(tuple), st.booleans(), st.booleans()
)
admissions = st.one_of(
    st.builds(Admit, st.lists(addresses, min_size=1, max_size=3, unique=True).map(tuple)),
    st.builds(
        Isolate, st.sampled_from(["br0", "br1"]), st.sampled_from(["same-bridge", "isolated"]), st.sampled_from([4, 6])
    ),
)
BY_KIND = {"masquerade": masquerades, "portmap": publishes, "firewall": admissions}
shares = st.sampled_from(sorted(BY_KIND)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(BY_KIND[kind], min_size=1, max_size=3).map(tuple))
)


def nobody(_: Fact) -> bool:
    return False


def take_away(draft: Draft, owner: Owner, kind: str, facts: tuple[Fact, ...], family: int) -> None:
    if kind == "masquerade":
        withdraw.masquerade(draft, owner, facts, (), family)
    elif kind == "portmap":
        withdraw.ports(draft, owner, (), family)
    else:
        withdraw.admissions(draft, facts, family, nobody)


def listing(tables: Tables) -> str:
    """The model as iptables-save would print it."""
    parts = []
    for table in dict.fromkeys(table for table, _ in tables.chains):
        own = {chain: rules for (of, chain), rules in tables.chains.items() if of == table}
        parts.append(f"*{table}")
        parts += [f":{chain} - [0:0]" for chain in own]
        parts += [f"-A {chain} {rule}" for chain, rules in own.items() for rule in rules]
        parts.append("COMMIT")
    return "\n".join(parts) + "\n"


def replay(tables: Tables, text: str) -> None:
    """What iptables-restore --noflush does, strictly: it refuses what the kernel refuses."""
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
            continue
        if line == "COMMIT":
            continue
        verb, chain, *rest = line.split(" ", 2)
        rule = rest[0] if rest else ""
        place = (table, chain)
        if verb == "-N":
            assert not tables.exists(table, chain)
            tables.chains[place] = []
            continue
        assert tables.exists(table, chain), line
        rules = tables.chains.setdefault(place, [])
        target = rule.rpartition("-j ")[2].split(" ")[0]
        if verb in ("-A", "-I") and target.startswith("CNI-"):
            assert tables.exists(table, target), line
        if verb == "-A":
            rules.append(rule)
        elif verb == "-I":
            rules.insert(0, rule)
        elif verb == "-D":
            rules.remove(rule)
        elif verb == "-F":
            rules.clear()
        else:
            assert verb == "-X"
            assert not rules
            del tables.chains[place]
            assert not any(
                each.endswith(f"-j {chain}") for chain_rules in tables.chains.values() for each in chain_rules
            )


@given(owners, shares, st.sampled_from([4, 6]))
def test_applying_twice_adds_nothing(owner: Owner, share: tuple[str, tuple[Fact, ...]], family: int) -> None:
    tables = Tables()
    draft = Draft(tables)
    chains.install(draft, owner, share[1], family)
    draft.commit()
    again = Draft(tables)
    chains.install(again, owner, share[1], family)
    assert again.commands == []


@given(owners, owners, shares, shares, st.sampled_from([4, 6]))
def test_commands_make_what_the_model_says(
    first: Owner,
    second: Owner,
    share: tuple[str, tuple[Fact, ...]],
    other: tuple[str, tuple[Fact, ...]],
    family: int,
) -> None:
    tables, kernel = Tables(), Tables()
    for owner, (kind, facts) in ((first, share), (second, other)):
        for change in (chains.install, None):
            draft = Draft(tables)
            if change is not None:
                change(draft, owner, facts, family)
            else:
                take_away(draft, owner, kind, facts, family)
            replay(kernel, restore_input(draft.commands))
            draft.commit()
            assert {k: v for k, v in kernel.chains.items() if v} == {k: v for k, v in tables.chains.items() if v}


SHARED = {
    chains.SETMARK,
    chains.MASQ,
    chains.DNAT,
    chains.FORWARD,
    "CNI-ADMIN",
    "POSTROUTING",
    "PREROUTING",
    "OUTPUT",
    "FORWARD",
    *(chains.STAGE_1, chains.STAGE_2),
}


@given(owners, owners, shares, shares, st.sampled_from([4, 6]))
def test_remove_restores_what_was_before(
    resident: Owner,
    owner: Owner,
    earlier: tuple[str, tuple[Fact, ...]],
    share: tuple[str, tuple[Fact, ...]],
    family: int,
) -> None:
    """With the static shared chains already there, install and remove is no change."""
    kind, facts = share
    if (resident.network + resident.container_id) == (owner.network + owner.container_id):
        resident = resident.replace(network=owner.network + "x")
    claimed = {str(address) for fact in earlier[1] if isinstance(fact, Admit) for address in fact.addresses}
    held = {fact for fact in earlier[1] if isinstance(fact, Isolate)}
    tables = Tables()
    warm = Draft(tables)
    chains.install(warm, owner, facts, family)
    take_away(warm, owner, kind, facts, family)
    chains.install(warm, resident, earlier[1], family)
    warm.commit()
    before = {place: list(rules) for place, rules in tables.chains.items() if rules}
    draft = Draft(tables)
    chains.install(draft, owner, facts, family)

    def by_resident(fact: Fact) -> bool:
        if isinstance(fact, Admit):
            return str(fact.addresses[0]) in claimed
        return fact in held

    if kind == "firewall":
        withdraw.admissions(draft, facts, family, by_resident)
    else:
        take_away(draft, owner, kind, facts, family)
    draft.commit()
    assert {place: rules for place, rules in tables.chains.items() if rules} == before


@given(owners, owners, shares, st.sampled_from([4, 6]))
def test_deletions_by_position_are_the_commands(
    resident: Owner, owner: Owner, share: tuple[str, tuple[Fact, ...]], family: int
) -> None:
    """Deleting rules by where they stood leaves what the deleting commands leave."""
    tables = Tables()
    draft = Draft(tables)
    for each in (owner, resident, owner):
        chains.install(draft, each, share[1], family)
    assert draft.deletions() is None or not draft.commands
    draft.commit()
    kernel = {place: list(rules) for place, rules in tables.chains.items()}
    draft = Draft(tables)
    take_away(draft, owner, share[0], share[1], family)
    deletions = draft.deletions()
    assert deletions is not None
    table = chains.TABLE_OF_KIND[share[0]]
    for chain, places in deletions[0].items():
        before = kernel[table, chain]
        assert draft.length_before(table, chain) == len(before)
        kernel[table, chain] = [rule for place, rule in enumerate(before) if place not in places]
    for chain in deletions[1]:
        del kernel[table, chain]
    draft.commit()
    assert kernel == tables.chains


@given(owners, shares)
def test_listing_is_read_back(owner: Owner, share: tuple[str, tuple[Fact, ...]]) -> None:
    tables = Tables()
    draft = Draft(tables)
    chains.install(draft, owner, share[1], 4)
    draft.commit()
    read = Tables()
    read.parse(listing(tables))
    assert read == tables


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_quoting_is_what_a_shell_like_reader_undoes(word: str) -> None:
    text = quoted(word)
    unescaped = text[1:-1] if text.startswith('"') else text
    for special in "\"'\\":
        unescaped = unescaped.replace("\\" + special, special) if special != "\\" else unescaped
    if "\\" not in word:
        assert unescaped == word
    if "\\" not in word and "'" not in word:
        assert shlex.split(text) == [word]


def test_chain_names_of_the_contract() -> None:
    assert naming.masquerade_chain("mynet", "c1") == "CNI-f0bca4ac77cde1bf2f3da5df"
    assert naming.port_chain("pnet", "c1") == "CNI-DN-45f36743c0e772d73e562"
    assert naming.attachment_hash(Owner("mynet", "c1", "eth0")) == "d23676b4f2d9fe04-f4d01f2ef4b92245"


def test_fifteen_ports_a_rule() -> None:
    mappings = tuple(Mapping("tcp", 1000 + number, 80) for number in range(31))
    rules = chains.entry_rules(Owner("n", "c", "eth0"), Publish(Prefix.parse("10.0.0.2/24"), mappings))
    assert [rule.partition("--dports ")[2].partition(" ")[0].count(",") for rule in rules] == [14, 14, 0]


def test_siblings_keep_the_shared_chain() -> None:
    """One container with two interfaces on one network: contract 2.0.5's quirk does not bite."""
    one, two = Owner("net", "c", "eth0"), Owner("net", "c", "eth1")
    first = (Masquerade((Prefix.parse("10.0.0.2/24"),)),)
    second = (Masquerade((Prefix.parse("10.0.0.3/24"),)),)
    tables = Tables()
    draft = Draft(tables)
    chains.install(draft, two, second, 4)
    draft.commit()
    alone = {place: list(rules) for place, rules in tables.chains.items()}
    draft = Draft(tables)
    chains.install(draft, one, first, 4)
    withdraw.masquerade(draft, one, first, [(two, second)], 4)
    draft.commit()
    assert tables.chains == alone


def test_a_foreign_siblings_jump_stays() -> None:
    """The other interface was made by the reference: the ledger does not know it, the listing does."""
    one, two = Owner("net", "c", "eth0"), Owner("net", "c", "eth1")
    first = (Masquerade((Prefix.parse("10.0.0.2/24"),)),)
    tables = Tables()
    draft = Draft(tables)
    chains.install(draft, two, (Masquerade((Prefix.parse("10.0.0.3/24"),)),), 4)
    chains.install(draft, one, first, 4)
    withdraw.masquerade(draft, one, first, (), 4)
    draft.commit()
    chain = naming.masquerade_chain("net", "c")
    assert [rule.split(" ")[1] for rule in tables.rules("nat", "POSTROUTING")] == ["10.0.0.3/32"]
    assert tables.rules("nat", chain)
    draft = Draft(tables)
    withdraw.masquerade(draft, one, (), (), 4)
    draft.commit()
    assert not tables.exists("nat", chain)


def test_strays_spare_other_networks_and_valid_containers() -> None:
    tables = Tables()
    draft = Draft(tables)
    facts: tuple[Fact, ...] = (Publish(Prefix.parse("10.0.0.2/24"), (Mapping("tcp", 80, 80), Mapping("udp", 80, 80))),)
    for network, container in (("net", "valid"), ("net", "gone"), ("net2", "gone")):
        chains.install(draft, Owner(network, container, "eth0"), facts, 4)
    draft.commit()
    draft = Draft(tables)
    gone = naming.port_chain("net", "gone")
    asked: list[str] = []

    def refuse(what: str) -> bool:
        asked.append(what)
        return False

    assert withdraw.strays(draft, "net", "portmap", ["valid"], refuse) == []
    assert set(asked) == {f'chain {gone} (dnat name: "net" id: "gone")'} and not draft.commands
    removed = withdraw.strays(draft, "net", "portmap", ["valid"], lambda what: what in asked)
    kernel = Tables()
    kernel.parse(listing(tables))
    replay(kernel, restore_input(draft.commands))
    draft.commit()
    assert kernel == tables
    assert removed == asked[:1]
    left = {chain for _, chain in tables.chains if chain.startswith("CNI-DN-")}
    assert left == {naming.port_chain("net", "valid"), naming.port_chain("net2", "gone")}


def test_commands_read_as_restore_lines() -> None:
    text = restore_input([Command("-N", "nat", "A"), Command("-A", "filter", "B", "-j X"), Command("-X", "nat", "C")])
    assert text == "*nat\n-N A\n-X C\nCOMMIT\n*filter\n-A B -j X\nCOMMIT\n"


def test_a_port_in_tcp_and_in_capitals_has_one_entry() -> None:
    fact = Publish(
        Prefix.parse("10.0.0.2/24"), (Mapping("tcp", 80, 80), Mapping("TCP", 80, 80), Mapping("udp", 80, 80))
    )
    found = chains.entry_rules(Owner("n", "c", "eth0"), fact)
    assert [rule.split()[1] for rule in found] == ["tcp", "udp"]


def test_words_cannot_break_out_of_their_rule() -> None:
    owner = Owner("n", "c", "eth0")
    target = Prefix.parse("10.0.0.2/24")
    for protocol in ("tcp -j ACCEPT", "tcp\n-F INPUT", ""):
        with pytest.raises(FirewallError, match="unknown port protocol"):
            chains.port_rules(Publish(target, (Mapping(protocol, 80, 80),)))
        with pytest.raises(FirewallError, match="unknown port protocol"):
            chains.entry_rules(owner, Publish(target, (Mapping(protocol, 80, 80),)))
    spaced = Publish(target, (Mapping("tcp", 80, 80),), conditions=("!", "-s 10.0.0.1 -j ACCEPT"))
    assert '! "-s 10.0.0.1 -j ACCEPT" -j CNI-DN-' in chains.entry_rules(owner, spaced)[0]
    draft = Draft(Tables())
    chains.install(draft, owner, (Admit((target.address,), "ADMIN\n-F INPUT"),), 4)
    with pytest.raises(FirewallError, match="control characters"):
        restore_input(draft.commands)
