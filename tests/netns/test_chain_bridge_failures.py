"""bridge with host-local on the real kernel: an ADD that fails leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bridge_network import V4, V6, bridge, links, machine
from real_machine import Chain, RealMachine

__all__ = ["machine"]


def test_a_full_range(machine: RealMachine, netns: Callable[[], Any]) -> None:
    config = bridge(machine, [[{"subnet": "10.1.2.0/30"}]], ipMasq=True)
    chain = Chain(machine, [config])
    chain.add(netns().path)
    container = netns()
    before = machine.snapshot(container)
    body = machine.error(
        "bridge", "ADD", {**config, "name": "net", "cniVersion": "1.1.0"}, container.path, container_id="c2"
    )
    assert body == {
        "code": 999,
        "msg": "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.2",
    }
    assert machine.snapshot(container) == before


def test_a_taken_address(machine: RealMachine, netns: Callable[[], Any]) -> None:
    config = bridge(machine, [V4], ipMasq=True)
    Chain(machine, [config]).add(netns().path)
    container = netns()
    before = machine.snapshot(container)
    whole = {**config, "name": "net", "cniVersion": "1.1.0", "runtimeConfig": {"ips": ["10.1.2.2"]}}
    body = machine.error("bridge", "ADD", whole, container.path, container_id="c2")
    assert body["msg"] == (
        "failed to allocate for range 0: requested IP address 10.1.2.2 is not available "
        "in range set 10.1.2.1-10.1.2.254"
    )
    assert machine.snapshot(container) == before


FAILING: dict[str, tuple[dict[str, Any], dict[str, str], int, str]] = {
    "unknown backend": ({"ipMasq": True, "ipMasqBackend": "pf"}, {}, 999, 'unknown ipmasq backend "pf"'),
    "bad key": ({"mtu": "big"}, {}, 999, "invalid configuration: key 'mtu': expected an integer, got a string"),
    "mtu out of range": ({"mtu": 10**12}, {}, 999, f"invalid configuration: key 'mtu': {10**12} does not fit 32 bits"),
    "mtu the kernel refuses": ({"mtu": 10}, {}, 999, 'failed to create bridge "br0": '),
    "bridge's name": ({"bridge": "../br0"}, {}, 999, "invalid configuration: key 'bridge': '../br0' is not"),
    "network's name": ({"name": "../net"}, {}, 7, "invalid characters found in network name"),
    "container id": ({}, {"container_id": "../c1"}, 4, "invalid characters in containerID"),
    "interface": ({}, {"ifname": "../eth0"}, 4, "interface name contains / or :"),
    "no netns": ({}, {"netns": "/run/netns/none"}, 999, 'failed to open netns "/run/netns/none": failed to Statfs'),
    "old version": ({"cniVersion": "0.9.0"}, {}, 1, "incompatible CNI versions"),
    "no plugin": ({"ipam": {"type": "nowhere"}}, {}, 999, 'failed to find plugin "nowhere" in path ['),
    "mac argument": ({}, {"CNI_ARGS": "MAC=0a:00:00:00:00:01"}, 999, 'ARGS: unknown args ["MAC=0a:00:00:00:00:01"]'),
    "hairpin": (
        {"hairpinMode": True, "promiscMode": True},
        {},
        999,
        "cannot set hairpin mode and promiscuous mode at the same time",
    ),
    "vlan": ({"vlan": 4095}, {}, 999, "invalid VLAN ID 4095 (must be between 0 and 4094)"),
    "a bridge that is none": ({"bridge": "wan"}, {}, 999, 'failed to create bridge "wan": "wan" already exists but is'),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_failing_add_changes_nothing(machine: RealMachine, netns: Callable[[], Any], what: str) -> None:
    keys, environment, code, text = FAILING[what]
    container = netns()
    before = machine.snapshot(container)
    config = {"name": "net", "cniVersion": "1.1.0", **bridge(machine, [V4, V6], ipMasq=True), **keys}
    options: dict[str, Any] = {"netns": container.path, **environment}
    body = machine.error("bridge", "ADD", config, **options)
    assert body["code"] == code
    assert body["msg"].startswith(text)
    assert machine.snapshot(container) == before


def test_the_hosts_own_namespace(machine: RealMachine) -> None:
    before = machine.snapshot()
    config = {"name": "net", "cniVersion": "1.1.0", **bridge(machine, [V4])}
    assert machine.error("bridge", "ADD", config, machine.host.path) == {
        "code": 8,
        "msg": "plugin's netns and netns from CNI_NETNS should not be the same",
    }
    assert machine.snapshot() == before


def test_an_interface_that_exists(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    chain = Chain(machine, [bridge(machine, [V4], ipMasq=True)])
    chain.add(container.path)
    before = machine.snapshot(container)
    config = {"name": "net", "cniVersion": "1.1.0", **bridge(machine, [V4], ipMasq=True)}
    body = machine.error("bridge", "ADD", config, container.path)
    assert body["msg"].startswith('container veth name ("eth0") peer provided (')
    assert machine.snapshot(container) == before
    assert chain.check(container.path) == []


def test_a_gateway_in_the_way(machine: RealMachine, netns: Callable[[], Any]) -> None:
    """The last step but one fails: everything before it is undone."""
    # with an address of its own: one that follows its ports loses it with the last of them
    machine.host.run(["ip", "link", "add", "br0", "address", "0a:00:00:00:00:b0", "type", "bridge"])
    machine.host.run(["ip", "addr", "add", "10.1.2.99/24", "dev", "br0"])
    machine.host.run(["ip", "link", "set", "br0", "up"])
    container = netns()
    before = machine.snapshot(container)
    config = {"name": "net", "cniVersion": "1.1.0", **bridge(machine, [V4], ipMasq=True)}
    body = machine.error("bridge", "ADD", config, container.path)
    assert body["msg"] == 'failed to set bridge addr: "br0" already has an IP address different from 10.1.2.1/24'
    after = machine.snapshot(container)
    assert after == before
    machine.ok("bridge", "ADD", {**config, "forceAddress": True}, container.path)
    assert [each["local"] for each in links(machine.host)["br0"]["addr_info"] if each["family"] == "inet"] == [
        "10.1.2.1"
    ]


@pytest.mark.parametrize("label", ["0.1.0", "0.2.0"])
def test_a_result_that_the_oldest_versions_cannot_express(
    machine: RealMachine, netns: Callable[[], Any], label: str
) -> None:
    container = netns()
    before = machine.snapshot(container)
    config = {"name": "net", "cniVersion": label, "type": "bridge", "bridge": "br0"}
    assert machine.error("bridge", "ADD", config, container.path)["msg"] == "cannot convert: no valid IP addresses"
    assert machine.snapshot(container) == before
