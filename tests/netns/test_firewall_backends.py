"""Ownership, idempotence, conflicts, crashes and garbage collection, against the real kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import reference_plugins
from firewall_spaces import Space

from pycni import program_path
from pycni.firewall import generation, programs
from pycni.firewall.facts import Admit, Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.firewall.ledger import Ledger
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Prefix
from pycni.spec.errors import FirewallError, NotAvailable

BOTH = pytest.mark.parametrize("backend", [IPTABLES, NFTABLES])


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as space:
        yield space


@pytest.fixture
def reopen(space: Space, tmp_path: Path) -> Iterator[Callable[[], Firewall]]:
    """A firewall of the same namespace as another process would see it: it remembers nothing."""
    made: list[tuple[Firewall, Namespace]] = []

    def make() -> Firewall:
        namespace = Namespace.open(space.path)
        made.append((Firewall(namespace, str(tmp_path / "run")), namespace))
        return made[-1][0]

    yield make
    for firewall, namespace in made:
        firewall.close()
        namespace.close()


@pytest.fixture
def firewall(reopen: Callable[[], Firewall]) -> Firewall:
    return reopen()


def address(number: int) -> Prefix:
    return Prefix.parse(f"10.1.2.{number}/24")


def everything(number: int, port: int = 8080) -> dict[str, tuple[Fact, ...]]:
    """All kinds of facts of a container, dual stack."""
    four, six = address(number), Prefix.parse(f"fd00:2::{number}/64")
    mappings = (Mapping("tcp", port, 80), Mapping("udp", port, 81, Prefix.parse("10.1.2.1/32").address))
    return {
        "masquerade": (Masquerade((four, six)),),
        "portmap": (Publish(four, mappings), Publish(six, mappings)),
        "firewall": (
            Admit((four.address, six.address)),
            Isolate("br0", "isolated", 4),
            Isolate("br0", "isolated", 6),
        ),
    }


def install(firewall: Firewall, owner: Owner, facts: dict[str, tuple[Fact, ...]], backend: str) -> None:
    for kind, each in facts.items():
        firewall.install(owner, kind, backend, each)


def state(space: Space) -> list[str]:
    """All that is in the namespace, without counters and handles."""
    saved = [line for lines in space.saved().values() for line in lines]
    ours = space.run("nft", "list", "table", "inet", "pynet", check=False).stdout.split("\n")
    return sorted(saved) + sorted(line.strip() for line in ours)


def owned(space: Space) -> list[str]:
    """The lines that are there because of a container."""
    marks = ("10.1.2.", "fd00:2", "br0", "p_leave", "p_from", "p_if_", "CNI-DN-", ", id: ", 'id: \\"')
    return [line for line in state(space) if any(mark in line for mark in marks)]


ONE, TWO = Owner("net", "one", "eth0"), Owner("net", "two", "eth0")


@BOTH
def test_installing_twice_changes_nothing(space: Space, firewall: Firewall, backend: str) -> None:
    install(firewall, ONE, everything(2), backend)
    before = state(space)
    install(firewall, ONE, everything(2), backend)
    assert state(space) == before
    for kind, facts in everything(2).items():
        assert firewall.missing(ONE, kind, backend, facts) == []


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


def test_host_port_conflict(space: Space, firewall: Firewall) -> None:
    facts = everything(2)["portmap"]
    firewall.install(ONE, "portmap", NFTABLES, facts)
    before = state(space)
    with pytest.raises(FirewallError) as failure:
        firewall.install(TWO, "portmap", NFTABLES, everything(3)["portmap"])
    assert failure.value.msg == 'host port 8080/tcp is already published by container "one" of network "net"'
    assert state(space) == before
    on_address = (Publish(address(3), (Mapping("udp", 8080, 1, Prefix.parse("10.1.2.1/32").address),)),)
    with pytest.raises(FirewallError, match=r"host port 8080/udp on 10\.1\.2\.1 is already published"):
        firewall.install(TWO, "portmap", NFTABLES, on_address)
    assert state(space) == before
    firewall.remove(ONE, "portmap")
    firewall.install(TWO, "portmap", NFTABLES, everything(3)["portmap"])


def test_conflict_with_an_unknown_holder(firewall: Firewall, reopen: Callable[[], Firewall], tmp_path: Path) -> None:
    firewall.install(ONE, "portmap", NFTABLES, everything(2)["portmap"])
    shutil.rmtree(tmp_path / "run" / "ledger")
    with pytest.raises(FirewallError, match='by container "one" of network "net"'):
        reopen().install(TWO, "portmap", NFTABLES, everything(3)["portmap"])


def test_one_container_publishes_a_port_on_two_networks(space: Space, firewall: Firewall) -> None:
    """nerdctl hands all ports to every network; the first keeps them, the second inherits them."""
    second = Owner("other", "one", "eth1")
    firewall.install(ONE, "portmap", NFTABLES, everything(2)["portmap"])
    firewall.install(second, "portmap", NFTABLES, everything(3)["portmap"])
    listing = space.sh("nft list map inet pynet p_ports4")
    assert "10.1.2.2 . 80" in listing
    firewall.remove(ONE, "portmap")
    listing = space.sh("nft list map inet pynet p_ports4")
    assert "10.1.2.3 . 80" in listing
    assert "10.1.2.2 . 80" not in listing
    firewall.remove(second, "portmap")
    assert owned(space) == []


def test_an_address_with_two_owners(space: Space, firewall: Firewall) -> None:
    other = Owner("other", "two", "eth0")
    facts = (Masquerade((address(2),)),)
    for owner in (ONE, other):
        firewall.install(owner, "masquerade", NFTABLES, facts)
    firewall.remove(ONE, "masquerade")
    assert "10.1.2.2 " in space.sh("nft list map inet pynet p_masq4")
    assert firewall.missing(other, "masquerade", NFTABLES, facts) == []
    firewall.remove(other, "masquerade")
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


def test_an_address_given_to_the_next_container(space: Space, firewall: Firewall) -> None:
    """The first one's DEL comes late: the second one's rules for the same address stay."""
    facts = (Admit((address(2).address,)),)
    for owner in (ONE, TWO):
        firewall.install(owner, "firewall", IPTABLES, facts)
    firewall.remove(ONE, "firewall")
    firewall.remove(ONE, "firewall", facts)
    assert firewall.missing(TWO, "firewall", IPTABLES, facts) == []
    firewall.remove(TWO, "firewall")
    assert owned(space) == []


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


@BOTH
def test_parallel_installs_and_removals(space: Space, reopen: Callable[[], Firewall], backend: str) -> None:
    """Two firewalls (as of two processes) with three threads each."""
    firewalls = [reopen(), reopen()]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            firewall = firewalls[number % 2]
            for turn in range(2):
                owner = Owner("net", f"c{number}-{turn}", "eth0")
                install(firewall, owner, everything(10 + number * 2 + turn, 1000 + number * 2 + turn), backend)
                if turn == 0:
                    for kind in everything(2):
                        firewall.remove(owner, kind)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for number in range(6):
        owner = Owner("net", f"c{number}-1", "eth0")
        for kind, facts in everything(11 + number * 2, 1001 + number * 2).items():
            assert firewalls[0].missing(owner, kind, backend, facts) == []
            firewalls[1].remove(owner, kind)
    assert owned(space) == []


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


@pytest.fixture
def legacy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's iptables is the legacy variant."""
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            target = program_path.find(f"{family}-legacy{suffix}")
            (tmp_path / f"{family}{suffix}").symlink_to(target)
    monkeypatch.setattr(program_path, "_found", {})
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


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
