"""bridge with host-local on the real kernel: results and traffic."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from errno import ECONNREFUSED
from typing import Any

import pytest
from bridge_network import FAMILIES, V4, V6, bridge, links, machine
from real_machine import Chain, RealMachine, ping
from soon import eventually

from pycni.spec import version

__all__ = ["machine"]


@pytest.mark.parametrize("family", FAMILIES)
def test_two_containers_reach_each_other_their_gateway_and_beyond(
    machine: RealMachine, netns: Callable[[], Any], family: str
) -> None:
    chain = Chain(machine, [bridge(machine, FAMILIES[family], ipMasq=True)])
    first, second = netns(), netns()
    chain.add(first.path)
    result = chain.add(second.path, "c2")
    for number, subnet in ((4, "10.1.2."), (6, "fd00:1::")):
        if subnet not in json.dumps(result["ips"]):
            continue
        assert ping(first, f"{subnet}3")
        assert ping(second, f"{subnet}2")
        assert ping(first, f"{subnet}1")
        assert ping(machine.host, f"{subnet}2")
        # the neighbour has no route back: only the host's own address can be answered
        assert ping(first, "192.0.2.2" if number == 4 else "fd99::2")


@pytest.mark.parametrize("stranger", [False, True])
def test_the_first_packet_to_a_new_gateway_does_not_wait(
    machine: RealMachine, netns: Callable[[], Any], stranger: bool
) -> None:
    """Duplicates are looked for (1 to 2 s) only where a port of the bridge may lead to somebody who has the address."""
    if stranger:
        machine.host.run(["ip", "link", "add", "br0", "type", "bridge"])
        machine.host.run(["ip", "tuntap", "add", "mode", "tap", "name", "tap0"])
        machine.host.run(["ip", "link", "set", "tap0", "master", "br0", "up"])
    container = netns()
    Chain(machine, [bridge(machine, [V4, V6])]).add(container.path)
    if not stranger:
        with container.inside():
            probe = socket.socket(socket.AF_INET6)
        with probe:
            probe.settimeout(0.5)
            assert probe.connect_ex(("fd00:1::1", 9)) == ECONNREFUSED
    found = {each["local"]: each for each in links(machine.host)["br0"]["addr_info"]}
    assert found["fd00:1::1"].get("nodad", False) is not stranger
    assert "nodad" not in found["10.1.2.1"]


def test_the_result_says_what_is_there(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    result = Chain(machine, [bridge(machine, [V4, V6], mtu=1400)]).add(container.path)
    host, inside = links(machine.host), links(container)
    reported = result["interfaces"]
    veth = reported[1]["name"]
    assert [each["name"] for each in reported] == ["br0", veth, "eth0"]
    assert [each["mac"] for each in reported] == [
        host["br0"]["address"],
        host[veth]["address"],
        inside["eth0"]["address"],
    ]
    assert [each.get("sandbox") for each in reported] == [None, None, container.path]
    assert set(host) == {"lo", "wan", "br0", veth}
    assert (host[veth]["master"], host[veth]["mtu"], inside["eth0"]["mtu"]) == ("br0", 1400, 1400)
    assert inside["eth0"]["operstate"] == "UP"
    assert result["ips"] == [
        {"address": "10.1.2.2/24", "gateway": "10.1.2.1", "interface": 2},
        {"address": "fd00:1::2/64", "gateway": "fd00:1::1", "interface": 2},
    ]
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}, {"dst": "::/0", "gw": "fd00:1::1"}]
    assert "dns" not in result
    for path in (f"net/ipv6/conf/{veth}/accept_ra", "net/ipv6/conf/br0/accept_ra"):
        assert machine.namespace.read_sysctl(path) == "0"
    assert machine.namespace.read_sysctl("net/ipv4/ip_forward") == "1"
    assert machine.namespace.read_sysctl("net/ipv6/conf/all/forwarding") == "1"


@pytest.mark.parametrize("label", version.ALL)
def test_every_spec_version(machine: RealMachine, netns: Callable[[], Any], label: str) -> None:
    container = netns()
    chain = Chain(machine, [bridge(machine, [V4, V6])], label)
    result = chain.add(container.path)
    assert result["cniVersion"] == label
    if label in ("0.1.0", "0.2.0"):
        assert result["ip4"] == {
            "ip": "10.1.2.2/24",
            "gateway": "10.1.2.1",
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}],
        }
        assert result["ip6"]["ip"] == "fd00:1::2/64"
    else:
        assert [each["address"] for each in result["ips"]] == ["10.1.2.2/24", "fd00:1::2/64"]
        assert [each.get("version") for each in result["ips"]] == ([None] * 2 if label[0] == "1" else ["4", "6"])
    assert ("dns" in result) == (label[0] == "0")
    assert ping(container, "10.1.2.1")
    if label not in ("0.1.0", "0.2.0", "0.3.0", "0.3.1"):
        assert chain.check(container.path) == []
    chain.delete(container.path)
    assert set(links(container)) == {"lo"}


def test_hairpin_promiscuous_isolated_and_mac(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    config = bridge(machine, [V4], hairpinMode=True, portIsolation=True, runtimeConfig={"mac": "0a:00:00:00:00:42"})
    result = Chain(machine, [config]).add(container.path)
    assert result["interfaces"][2]["mac"] == links(container)["eth0"]["address"] == "0a:00:00:00:00:42"
    port = links(machine.host)[result["interfaces"][1]["name"]]["linkinfo"]["info_slave_data"]
    assert (port["hairpin"], port["isolated"]) == (True, True)
    other = netns()
    promiscuous = bridge(machine, [[{"subnet": "10.9.0.0/24"}]], bridge="br1", promiscMode=True)
    Chain(machine, [promiscuous]).add(other.path, "c2")
    assert "PROMISC" in links(machine.host)["br1"]["flags"]


def test_isolated_ports_do_not_reach_each_other(machine: RealMachine, netns: Callable[[], Any]) -> None:
    chain = Chain(machine, [bridge(machine, [V4], portIsolation=True)])
    first, second = netns(), netns()
    chain.add(first.path)
    chain.add(second.path, "c2")
    assert ping(first, "10.1.2.1")
    assert not ping(first, "10.1.2.3", seconds=0.5)


def test_without_ipam_and_with_a_disabled_interface(machine: RealMachine, netns: Callable[[], Any]) -> None:
    up, down = netns(), netns()
    plain = {"type": "bridge", "bridge": "br0"}
    result = Chain(machine, [plain]).add(up.path)
    assert "ips" not in result
    assert eventually(lambda: links(up)["eth0"]["operstate"] == "UP")
    Chain(machine, [{**plain, "disableContainerInterface": True}]).add(down.path, "c2")
    assert "UP" not in links(down)["eth0"]["flags"]
    assert links(down)["eth0"]["addr_info"] == []


def test_the_bridges_mac_is_stable(machine: RealMachine, netns: Callable[[], Any]) -> None:
    chain = Chain(machine, [bridge(machine, [V4])])
    mac = chain.add(netns().path)["interfaces"][0]["mac"]
    for number in range(2, 6):
        container = netns()
        assert chain.add(container.path, f"c{number}")["interfaces"][0]["mac"] == mac
        chain.delete(container.path, f"c{number}")
    assert links(machine.host)["br0"]["address"] == mac
