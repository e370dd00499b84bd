"""What the kernel tells of changes of rules, and whose they are, by real transactions in a namespace."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from firewall_spaces import Space

from netd.rule_events import RuleEvents, call_us
from netd.rule_watch import RuleWatch
from pycni.firewall.generation import INET, NfTables
from pycni.firewall.nft_expressions import delete_table
from pycni.firewall.nft_messages import batch
from pycni.kernel.namespace import Namespace

SETUP = """
nft add table inet pynet; nft add chain inet pynet p_a; nft add rule inet pynet p_a drop; nft add table inet pynet_guard
nft 'add set inet pynet p_s { type ipv4_addr; }'; nft 'add element inet pynet p_s { 10.0.0.1, 10.0.0.2 }'
nft add table ip foreign; nft add chain ip foreign c; nft add rule ip foreign c drop
iptables -N CNI-X; iptables -A FORWARD -j CNI-X; iptables -A INPUT -j DROP; iptables -t nat -N KUBE-X
iptables -t nat -A KUBE-X -j RETURN
nft add table bridge nat; nft 'add chain bridge nat PREROUTING { type filter hook prerouting priority -300; }'
nft add rule bridge nat PREROUTING drop
"""


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as space:
        yield space


@pytest.fixture
def events(space: Space) -> Iterator[RuleEvents]:
    space.sh(SETUP)
    with Namespace.open(space.path) as namespace:
        events = RuleEvents(namespace)
    yield events
    events.close()


@pytest.mark.parametrize(
    "command",
    [
        "nft flush ruleset",
        "nft delete table inet pynet",
        "nft flush table inet pynet",
        "nft flush chain inet pynet p_a",
        "nft flush set inet pynet p_s",
        "nft delete element inet pynet p_s '{ 10.0.0.2 }'",
        "nft delete table inet pynet_guard",
        "nft delete table bridge nat",
        "nft flush chain bridge nat PREROUTING",
        "iptables -F",
        "iptables -F FORWARD",
        "iptables -D FORWARD -j CNI-X",
        "iptables-save | grep -v CNI-X | iptables-restore",
        "nft add table inet firewalld",
        "nft -f - <<< $'add table ip foreign2\\ndelete table inet pynet\\nadd table ip foreign3'",
    ],
)
def test_losses_are_noticed(space: Space, events: RuleEvents, command: str) -> None:
    space.run("bash", "-ec", command)
    assert events.read()
    assert not events.read()


@pytest.mark.parametrize(
    "command",
    [
        "nft add table inet pynet",
        "nft add rule inet pynet p_a accept",
        "nft add element inet pynet p_s '{ 10.0.0.3 }'",
        "nft delete table ip foreign",
        "iptables -F INPUT",
        "iptables -A FORWARD -j ACCEPT",
        "iptables -N CNI-Y",
        "iptables -t nat -F KUBE-X",
        "iptables -L; nft list ruleset",
    ],
)
def test_what_is_none_is_not(space: Space, events: RuleEvents, command: str) -> None:
    space.run("bash", "-ec", command)
    assert not events.read()


def test_our_own_changes_are_not(space: Space, events: RuleEvents) -> None:
    def ours() -> None:
        call_us()
        with Namespace.open(space.path) as namespace:
            nftables = NfTables(namespace)
            nftables.commit(batch([delete_table(INET, "pynet")]))
            nftables.close()

    thread = threading.Thread(target=ours)
    thread.start()
    thread.join()
    assert "pynet_guard" in space.sh("nft list tables")
    assert "inet pynet\n" not in space.sh("nft list tables")
    assert not events.read()
    space.sh("nft delete table inet pynet_guard")
    assert events.read()


def test_a_reader_that_is_too_slow_takes_it_for_a_loss(space: Space) -> None:
    with Namespace.open(space.path) as namespace:
        events = RuleEvents(namespace)
    small = socket.socket(fileno=events.fileno())
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.detach()
    elements = ", ".join(f"10.0.{high}.{low}" for high in range(40) for low in range(250))
    space.sh("nft add table ip foreign; nft 'add set ip foreign s { type ipv4_addr; }'")
    space.run("nft", "-f", "-", stdin=f"add element ip foreign s {{ {elements} }}\n")
    assert events.read()
    assert not events.read()
    events.close()


def watching(space: Space, mend: Callable[[], tuple[tuple[str, ...], tuple[str, ...]]]) -> RuleWatch:
    with Namespace.open(space.path) as namespace:
        watch = RuleWatch(namespace, mend, lambda _: None)
    watch.start()
    return watch


def test_a_watch_looks_at_its_start_and_after_losses_only(space: Space) -> None:
    space.sh(SETUP)
    looks = threading.Semaphore(0)

    def mend() -> tuple[tuple[str, ...], tuple[str, ...]]:
        looks.release()
        return (), ()

    watch = watching(space, mend)
    try:
        assert looks.acquire(timeout=5)
        space.sh("nft add table ip other; nft delete table ip other; iptables -A FORWARD -j ACCEPT")
        assert not looks.acquire(timeout=1)
        space.sh("iptables -F; nft delete table inet pynet; iptables -t nat -F; iptables -X")
        assert looks.acquire(timeout=2), "all of it is one occasion"
        assert not looks.acquire(timeout=0.2)
    finally:
        watch.close()


def test_a_watch_that_only_waits_ends_at_once(space: Space) -> None:
    looked = threading.Event()

    def mend() -> tuple[tuple[str, ...], tuple[str, ...]]:
        looked.set()
        return (), ()

    watch = watching(space, mend)
    assert looked.wait(5)
    began = time.monotonic()
    watch.close()
    assert time.monotonic() - began < 1.0
