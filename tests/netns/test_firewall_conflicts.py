"""Two that want the same port or address, one after the other or at once, against the real kernel."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from firewall_house import BOTH, ONE, TWO, address, everything, firewall, install, owned, reopen, space, state
from firewall_spaces import Space

from pycni.firewall.facts import Admit, Mapping, Masquerade, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.spec.address import Prefix
from pycni.spec.errors import FirewallError

__all__ = ["firewall", "reopen", "space"]


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
