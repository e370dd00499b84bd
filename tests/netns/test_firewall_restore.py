"""`Firewall.restore` after others removed rules, against the real kernel: all of it comes back, in its order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from firewall_house import BOTH, everything, firewall, install, legacy, reopen, space
from firewall_spaces import Space

from pycni.firewall import programs
from pycni.firewall.facts import BRIDGE_NAT, Mapping, Owner, Publish, SpoofCheck
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.firewall.generation import NfTables
from pycni.firewall.ledger import Entry, Ledger
from pycni.firewall.naming import SPOOFCHECK
from pycni.firewall.restore import Restored
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Prefix

__all__ = ["firewall", "legacy", "reopen", "space"]

OWNERS = [Owner("net", f"c{number}", "eth0") for number in (2, 3, 4)]
NOTHING = Restored()


def filled(firewall: Firewall, backend: str) -> None:
    """Three containers with everything, one of them isolated otherwise, one port with conditions, and a spoof check."""
    conditions = ("ip", "saddr", "192.0.2.0/24") if backend == NFTABLES else ("-s", "192.0.2.0/24")
    for number, owner in enumerate(OWNERS, 2):
        facts = everything(number, 8000 + number)
        if number == 4:
            mappings = (Mapping("tcp", 9000, 80),)
            facts["portmap"] = (Publish(Prefix.parse("10.1.2.4/24"), mappings, conditions=conditions),)
        install(firewall, owner, facts, backend)
    firewall.install(OWNERS[0], SPOOFCHECK, BRIDGE_NAT, (SpoofCheck("veth0", b"\x0a\0\0\0\0\1"),))


def state(space: Space) -> str:
    """All tables, each as the kernel shows it, sorted by their names."""
    return space.sh("nft list tables | sort | while read -r table; do nft -s list $table; done")


FLUSHES = {
    "everything": "nft flush ruleset",
    "rules": "nft list tables | while read -r t; do nft flush $t; done",
    "iptables rules": "for p in iptables ip6tables; do for t in filter nat; do $p -t $t -F; done; done",
    "iptables chains": "for p in iptables ip6tables; do for t in filter nat; do $p -t $t -F; $p -t $t -X; done; done",
    "our table": "nft delete table inet pynet",
    "the table of spoof checks": "nft delete table bridge nat",
}
PARTS = {
    IPTABLES: [
        "iptables -t nat -F PREROUTING",
        "ip6tables -t nat -F POSTROUTING",
        "iptables -F CNI-FORWARD",
        "iptables -F FORWARD",
        "ip6tables -F CNI-ISOLATION-STAGE-2",
        "iptables -t nat -F CNI-HOSTPORT-MASQ",
    ],
    NFTABLES: [
        "nft flush chain inet pynet p_forward",
        "nft flush chain inet pynet p_leave_10.1.2.0/24",
        "nft flush chain inet pynet p_from_fd00_2__/64",
        "nft flush chain inet pynet p_conditional",
        "nft flush set inet pynet p_bridges",
        "nft flush map inet pynet p_ports4",
        "nft flush map inet pynet p_masq6",
        "nft delete chain inet pynet p_postrouting",
    ],
}
CASES = [(backend, flush) for backend in PARTS for flush in [*FLUSHES.values(), *PARTS[backend]]]


@pytest.mark.parametrize(("backend", "flush"), CASES)
def test_everything_on_record_comes_back(space: Space, firewall: Firewall, backend: str, flush: str) -> None:
    filled(firewall, backend)
    assert firewall.restore() == NOTHING
    before = state(space)
    space.run("sh", "-ec", flush, check=False)
    flushed = state(space)
    restored = firewall.restore()
    assert not restored.problems
    assert bool(restored.lost) == (flushed != before)
    if not flush.startswith(("nft flush chain", "nft delete chain")):
        assert state(space) == before
    assert sorted(state(space).splitlines()) == sorted(before.splitlines()), "the order of nft's chains may differ"
    assert firewall.restore() == NOTHING


@BOTH
def test_rules_of_others_and_the_operators_stay(space: Space, firewall: Firewall, backend: str) -> None:
    filled(firewall, backend)
    space.sh("nft add table ip foreign; iptables -A INPUT -s 203.0.113.9 -j DROP")
    space.sh(
        "iptables -A CNI-ADMIN -s 203.0.113.8 -j DROP; iptables -F CNI-FORWARD"
        if backend == IPTABLES
        else "nft add rule inet pynet p_operator ip saddr 203.0.113.8 drop; nft flush chain inet pynet p_forward"
    )
    assert firewall.restore().lost
    after = state(space)
    for each in ("203.0.113.8", "203.0.113.9", "table ip foreign"):
        assert each in after


@BOTH
def test_what_was_withdrawn_does_not_come_back(space: Space, firewall: Firewall, backend: str) -> None:
    filled(firewall, backend)
    for kind in ("masquerade", "portmap", "firewall", SPOOFCHECK):
        firewall.remove(OWNERS[0], kind)
    before = state(space)
    space.sh("nft flush ruleset")
    firewall.restore()
    assert "10.1.2.2" not in state(space)
    assert [line for line in state(space).splitlines() if "10.1.2.3" in line] == [
        line for line in before.splitlines() if "10.1.2.3" in line
    ]


class Killed(BaseException):
    """Nothing of the process runs any more."""


@BOTH
@pytest.mark.parametrize("after", [False, True])
def test_a_restoration_killed_anywhere_is_mended_by_the_next(
    space: Space, reopen: Callable[[], Firewall], backend: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reopen()
    filled(first, backend)
    before = state(space)
    left = [0]
    run, commit = programs.run, NfTables.commit

    def step(act: Callable[[], object]) -> object:
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        done = act()
        if left[0] == 0:
            raise Killed
        return done

    def counted_run(namespace: Namespace, argv: list[str], text: str = "") -> object:
        if os.path.basename(argv[0]).endswith("-save"):
            return run(namespace, argv, text)
        return step(lambda: run(namespace, argv, text))

    def counted_commit(self: NfTables, messages: Sequence[object]) -> None:
        step(lambda: commit(self, messages))  # type: ignore[arg-type]

    kills = 0
    while True:
        space.sh("nft flush ruleset")
        victim = reopen()
        with monkeypatch.context() as patched:
            patched.setattr(programs, "run", counted_run)
            patched.setattr(NfTables, "commit", counted_commit)
            left[0] = kills + 1
            try:
                victim.restore()
            except Killed:
                kills += 1
            else:
                break
        assert not reopen().restore().problems
        assert state(space) == before
    assert kills >= 4


@BOTH
def test_one_that_is_refused_does_not_keep_the_others_out(
    space: Space, firewall: Firewall, backend: str, tmp_path: Path
) -> None:
    filled(firewall, backend)
    ledger = Ledger(str(tmp_path / "run"), "-".join(map(str, space.identity)))
    space.sh("nft flush ruleset")
    stranger = Owner("other", "stranger", "eth0")
    for protocol in ("dccp", "mystery"):
        # a kernel or an iptables that knew it is gone
        mapping = Mapping(protocol, 53, 53)
        ledger.put(Entry(stranger, "portmap", backend, (Publish(Prefix.parse("10.9.9.9/24"), (mapping,)),)))
    restored = firewall.restore()
    assert len(restored.problems) == 1
    assert "stranger" in restored.problems[0]
    for number in (2, 3, 4):
        assert f"10.1.2.{number}" in state(space)
    assert restored.lost


@pytest.mark.usefixtures("legacy")
def test_legacy_tables(space: Space, firewall: Firewall) -> None:
    filled(firewall, IPTABLES)
    listing = "iptables-legacy-save | grep -v '^#'; ip6tables-legacy-save | grep -v '^#'"
    before = space.sh(listing)
    assert firewall.restore() == NOTHING
    space.sh("iptables-legacy -t nat -F; iptables-legacy -F; ip6tables-legacy -t nat -F")
    assert firewall.restore().lost
    assert space.sh(listing) == before


def test_nothing_on_record_costs_nothing(firewall: Firewall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", lambda *_: pytest.fail("a program was run"))
    monkeypatch.setattr(NfTables, "request", lambda *_: pytest.fail("the kernel was asked"))
    assert firewall.restore() == NOTHING
