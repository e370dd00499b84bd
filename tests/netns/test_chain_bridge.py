"""bridge with host-local on the real kernel: results, traffic, DEL, CHECK, GC, STATUS; failures leave nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from errno import ECONNREFUSED
from pathlib import Path
from typing import Any

import pytest
from real_machine import Chain, RealMachine, ping
from soon import eventually

from pycni.spec import version

V4 = [{"subnet": "10.1.2.0/24"}]
V6 = [{"subnet": "fd00:1::/64"}]
FAMILIES = {"ipv4": [V4], "ipv6": [V6], "dual": [V4, V6]}


@pytest.fixture
def machine(netns: Callable[[], Any], tmp_path: Path) -> Iterator[RealMachine]:
    made = RealMachine(netns, tmp_path)
    yield made
    made.close()


def bridge(machine: RealMachine, ranges: list[Any], **keys: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(machine.directory / "leases")}
    return {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": ipam, **keys}


def links(space: Any) -> dict[str, dict[str, Any]]:
    return {each["ifname"]: each for each in json.loads(space.run(["ip", "-j", "-d", "addr"]).stdout)}


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


# --- failing ADDs ----------------------------------------------------------------------------------------------------


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
