"""bridge with host-local on the real kernel: DEL, CHECK, GC and STATUS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bridge_network import V4, V6, bridge, links, machine
from real_machine import Chain, RealMachine

__all__ = ["machine"]


# --- DEL -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
@pytest.mark.parametrize("way", ["plain", "twice", "without a result", "empty netns", "netns gone"])
def test_del_leaves_nothing_of_the_attachment(
    machine: RealMachine, netns: Callable[[], Any], way: str, backend: str
) -> None:
    chain = Chain(machine, [bridge(machine, [V4, V6], ipMasq=True, ipMasqBackend=backend)])
    chain.add(netns().path, "stays")
    before = machine.snapshot()
    container = netns()
    chain.add(container.path)
    assert machine.snapshot() != before
    path = container.path
    if way == "netns gone":
        container.close()
    for _ in range(2 if way == "twice" else 1):
        chain.delete("" if way == "empty netns" else path, with_result=way != "without a result")
    assert machine.snapshot() == before


def test_del_of_what_never_was(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    chain = Chain(machine, [bridge(machine, [V4], ipMasq=True)])
    before = machine.snapshot(container)
    chain.delete(container.path)
    chain.delete("")
    chain.delete("/run/netns/there/is/none")
    assert machine.snapshot(container) == before


def test_del_does_not_touch_anothers_link_of_the_same_name(machine: RealMachine, netns: Callable[[], Any]) -> None:
    """Without a namespace the host's end is found by its name, but removed only if its alias says that it is ours."""
    container = netns()
    chain = Chain(machine, [bridge(machine, [V4])])
    veth = chain.add(container.path)["interfaces"][1]["name"]
    machine.host.run(["ip", "link", "set", veth, "alias", "somebody else's"])
    chain.delete("")
    assert veth in links(machine.host)


# --- CHECK -----------------------------------------------------------------------------------------------------------

TAKEN_AWAY = {
    "the address": (
        ["ip", "-n", "{c}", "addr", "del", "10.1.2.2/24", "dev", "eth0"],
        "Failed to match addr 10.1.2.2/24",
    ),
    "the IPv6 address": (
        ["ip", "-n", "{c}", "addr", "del", "fd00:1::2/64", "dev", "eth0"],
        "Failed to match addr fd00:1::2/64 on interface eth0",
    ),
    "the default route": (["ip", "-n", "{c}", "route", "del", "default"], "Expected Route 0.0.0.0/0 via 10.1.2.1"),
    "the interface": (["ip", "-n", "{c}", "link", "del", "eth0"], "Interface name eth0 not found"),
    "the mac": (
        ["ip", "-n", "{c}", "link", "set", "eth0", "address", "0a:00:00:00:00:01"],
        "Interface eth0 Mac",
    ),
    "the port": (["ip", "link", "set", "{veth}", "nomaster"], "CNI veth created for bridge br0 was not found"),
    "the bridge": (["ip", "link", "del", "br0"], "Interface name br0 not found"),
    "promiscuity": (["ip", "link", "set", "br0", "promisc", "on"], "configured Promisc Mode false"),
    "masquerading": (["iptables", "-t", "nat", "-F"], ""),
}


def test_check_of_what_is_whole(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    chain = Chain(machine, [bridge(machine, [V4, V6], ipMasq=True)])
    chain.add(container.path)
    before = machine.snapshot(container)
    assert chain.check(container.path) == []
    assert machine.snapshot(container) == before


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_check_misses_what_was_taken_away(machine: RealMachine, netns: Callable[[], Any], what: str) -> None:
    container = netns()
    chain = Chain(machine, [bridge(machine, [V4, V6], ipMasq=True, ipMasqBackend="iptables")])
    veth = chain.add(container.path)["interfaces"][1]["name"]
    command, text = TAKEN_AWAY[what]
    if command[1] == "-n":
        container.run(["ip", *command[3:]])
    else:
        machine.host.run([word.format(veth=veth) for word in command])
    errors = chain.check(container.path)
    assert len(errors) == 1
    assert errors[0].startswith("bridge: ")
    assert text in errors[0]


def test_check_misses_the_lease(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    chain = Chain(machine, [bridge(machine, [V4])])
    chain.add(container.path)
    (machine.directory / "leases/net/10.1.2.2").unlink()
    assert chain.check(container.path) == ["bridge: host-local: Failed to find address added by container c1"]


def test_check_without_a_result(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    config = {**bridge(machine, [V4]), "name": "net", "cniVersion": "1.1.0"}
    machine.ok("bridge", "ADD", config, container.path)
    assert machine.error("bridge", "CHECK", config, container.path)["msg"] == "Required prevResult missing"


def test_check_of_another_namespace(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container, other = netns(), netns()
    chain = Chain(machine, [bridge(machine, [V4])])
    chain.add(container.path)
    assert chain.check(other.path) == [
        f"bridge: Sandbox in prevResult {container.path} doesn't match configured netns: {other.path}"
    ]


# --- GC and STATUS ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_gc_removes_the_invalid_and_keeps_the_valid(
    machine: RealMachine, netns: Callable[[], Any], backend: str
) -> None:
    chain = Chain(machine, [bridge(machine, [V4, V6], ipMasq=True, ipMasqBackend=backend)])
    valid, invalid, gone = netns(), netns(), netns()
    chain.add(valid.path, "valid")
    before = machine.snapshot(valid)
    chain.add(invalid.path, "invalid")
    chain.add(gone.path, "gone")
    gone.close()
    chain.collect(("valid", "eth0"))
    assert machine.snapshot(valid) == before
    assert set(links(invalid)) == {"lo"}
    assert chain.check(valid.path, "valid") == []
    chain.collect(("valid", "eth0"))
    assert machine.snapshot(valid) == before
    chain.collect()
    assert set(links(valid)) == {"lo"}
    assert not [name for name in machine.files() if name.startswith("leases")]


def test_gc_leaves_other_networks_alone(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    other = {**bridge(machine, [[{"subnet": "10.9.0.0/24"}]], ipMasq=True), "name": "other", "cniVersion": "1.1.0"}
    machine.ok("bridge", "ADD", other, container.path, container_id="c9")
    before = machine.snapshot(container)
    Chain(machine, [bridge(machine, [V4], ipMasq=True)]).collect()
    assert machine.snapshot(container) == before


def test_gc_without_the_list_frees_nothing(machine: RealMachine, netns: Callable[[], Any]) -> None:
    chain = Chain(machine, [bridge(machine, [V4])])
    chain.add(netns().path)
    before = machine.snapshot()
    config = {**bridge(machine, [V4]), "name": "net", "cniVersion": "1.1.0"}
    assert machine.ok("bridge", "GC", config, "") is None
    assert machine.snapshot() == before


def test_status(machine: RealMachine, netns: Callable[[], Any]) -> None:
    small = Chain(machine, [bridge(machine, [[{"subnet": "10.1.2.0/30"}]], ipMasq=True)])
    assert small.status() == []
    small.add(netns().path)
    assert small.status() == ["bridge: 50 no IP addresses available in range set: 10.1.2.1-10.1.2.2"]
    taken = Chain(machine, [bridge(machine, [V4], bridge="wan")])
    assert taken.status() == ['bridge: 50 "wan" already exists but is not a bridge']
