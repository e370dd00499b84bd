"""bridge: its keys, its plans, and the whole plugin on the in-memory machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine
from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.facts import BRIDGE_NAT, Masquerade, Owner, SpoofCheck
from pycni.firewall.naming import MASQUERADE, SPOOFCHECK, attachment_hash, host_end
from pycni.kernel.memory import MemoryNamespace
from pycni.kernel.model import PortVlan, Route
from pycni.plan import ops
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError, NotAvailable
from pycni.spec.request import parse_config
from pycni.spec.result import IpConfig, Result
from pycni_plugins.bridge import layers
from pycni_plugins.bridge.config import Bridge, parse
from pycni_plugins.bridge.steps import Announce

OWNER = Owner("net", "c1", "eth0")


def keys(cni_args: str = "", **values: Any) -> Bridge:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()), cni_args)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    assert keys() == Bridge("cni0", False, False, False, False, "", 0, False, False, False, True, False, None, False)
    assert keys(bridge="", ipam={}) == keys()


@pytest.mark.parametrize(
    ("values", "vlan", "trunk", "filtering"),
    [
        ({"vlan": 7}, 7, (), True),
        ({"vlan": 0}, 0, (), False),
        ({"vlanTrunk": []}, 0, (), True),
        ({"vlanTrunk": None}, 0, (), False),
        ({"vlanTrunk": [{}]}, 0, (), True),
        ({"vlanTrunk": [{"minID": 3, "maxID": 5, "id": 9}, {"id": 4}, {"ID": 1}]}, 0, (1, 3, 4, 5, 9), True),
        ({"VLAN": 4094, "VlanTrunk": [{"id": 4094}]}, 4094, (4094,), True),
    ],
)
def test_vlans(values: dict[str, Any], vlan: int, trunk: tuple[int, ...], filtering: bool) -> None:
    found = keys(**values)
    assert (found.vlan, found.trunk, found.filtering) == (vlan, trunk, filtering)
    assert not found.keep_default_vlan and not found.spoofcheck


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ()),
        ({"vlanTrunk": []}, ()),
        ({"vlan": 7}, (PortVlan(7, True, True),)),
        ({"vlan": 7, "vlanTrunk": [{"id": 9}]}, (PortVlan(7, True, True), PortVlan(9))),
        ({"vlanTrunk": [{"minID": 2, "maxID": 3}]}, (PortVlan(2), PortVlan(3), PortVlan(1, True, True))),
    ],
)
def test_the_vlans_of_a_port(values: dict[str, Any], expected: tuple[PortVlan, ...]) -> None:
    assert layers.port_vlans(keys(**values)) == expected
    joins = [each for each in layers.links(keys(**values), OWNER) if isinstance(each, ops.JoinVlans)]
    assert joins == ([ops.JoinVlans(expected)] if expected else [])


def test_the_first_mistake_is_the_references() -> None:
    """VLANs, then CNI_ARGS, then what excludes what (contract 2.1)."""
    wrong: dict[str, Any] = {"hairpinMode": True, "promiscMode": True}
    texts = []
    for more, cni_args in (
        ({"disableContainerInterface": True, "ipam": {"type": "x"}, "vlanTrunk": [{"id": 0}], "vlan": -1}, "BAD=1"),
        ({"disableContainerInterface": True, "ipam": {"type": "x"}, "vlanTrunk": [{"id": 0}]}, "BAD=1"),
        ({"disableContainerInterface": True, "ipam": {"type": "x"}}, "BAD=1"),
        ({"disableContainerInterface": True, "ipam": {"type": "x"}}, ""),
        ({}, ""),
    ):
        with pytest.raises(CniError) as caught:
            keys(cni_args, **wrong, **more)
        texts.append(caught.value.msg)
    assert [text.partition(" ")[0] for text in texts] == ["invalid", "incorrect", "ARGS:", "cannot", "cannot"]
    assert "IPAM" in texts[3] and "hairpin" in texts[4]


def test_a_default_gateway_is_a_gateway() -> None:
    assert keys(isDefaultGateway=True).gateway
    assert not keys(isGateway=True).default_gateway


@pytest.mark.parametrize(
    ("sources", "last"),
    [
        ((1, 0, 0), 1),
        ((1, 2, 0), 2),
        ((1, 2, 3), 3),
        ((0, 2, 3), 3),
        ((1, 0, 3), 3),
    ],
)
def test_the_mac_comes_from_the_last_source(sources: tuple[int, int, int], last: int) -> None:
    """CNI_ARGS, then args.cni, then runtimeConfig (contract 2.1)."""
    given_args, args, runtime = (f"0a:00:00:00:00:0{number}" if number else "" for number in sources)
    found = keys(
        f"MAC={given_args}" if given_args else "",
        args={"cni": {"mac": args}},
        RuntimeConfig={"mac": runtime},
    )
    assert found.mac == bytes.fromhex(f"0a000000000{last}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hairpinMode": True, "promiscMode": True}, "cannot set hairpin mode and promiscuous mode at the same time"),
        ({"vlan": -1}, "invalid VLAN ID -1 (must be between 0 and 4094)"),
        ({"vlan": 4095}, "invalid VLAN ID 4095 (must be between 0 and 4094)"),
        (
            {"vlanTrunk": [{"minID": 1}]},
            "minID and maxID should be configured simultaneously, maxID is missing",
        ),
        (
            {"vlanTrunk": [{"maxID": 1}]},
            "minID and maxID should be configured simultaneously, minID is missing",
        ),
        ({"vlanTrunk": [{"minID": 0, "maxID": 9}]}, "incorrect trunk minID parameter"),
        ({"vlanTrunk": [{"minID": 1, "maxID": 4095}]}, "incorrect trunk maxID parameter"),
        ({"vlanTrunk": [{"id": 4095}]}, "incorrect trunk id parameter"),
        ({"vlanTrunk": [{"id": 0}]}, "incorrect trunk id parameter"),
        ({"vlanTrunk": [{"minID": 9, "maxID": 8, "id": 0}]}, "minID is greater than maxID in trunk parameter"),
        (
            {"disableContainerInterface": True, "ipam": {"type": "host-local"}},
            "cannot use IPAM when DisableContainerInterface flag is set",
        ),
        ({"ipMasq": True, "ipMasqBackend": "pf"}, 'unknown ipmasq backend "pf"'),
        ({"runtimeConfig": {"mac": "xx"}}, "failed to make veth pair: address xx: invalid MAC address"),
    ],
)
def test_refused_keys(values: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(**values)
    assert caught.value.msg == message


@pytest.mark.parametrize("name", ["a/b", "..", ".", "a b", "x" * 16, "a:b", "é" * 8])
def test_a_bridges_name_must_be_an_interface_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^invalid configuration: key 'bridge': .* is not an interface name$"):
        keys(bridge=name)


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_keys_are_checked_for_every_command(machine: Machine, command: str) -> None:
    config = {"name": "n", "cniVersion": "1.1.0", "vlan": 4095, "cni.dev/valid-attachments": []}
    body = machine.error("bridge", command, config)
    assert body["msg"] == "invalid VLAN ID 4095 (must be between 0 and 4094)"


# --- plans -----------------------------------------------------------------------------------------------------------


def ip(address: str, gateway: str = "") -> IpConfig:
    return IpConfig(Prefix.parse(address), Address.parse(gateway) if gateway else None)


def route(destination: str, gateway: str = "") -> Route:
    return Route(Prefix.parse(destination), Address.parse(gateway) if gateway else None)


def test_links() -> None:
    bridge = keys(
        bridge="br0", mtu=1400, hairpinMode=True, portIsolation=True, runtimeConfig={"mac": "0a:00:00:00:00:01"}
    )
    device, pair = layers.links(bridge, OWNER)
    assert device == ops.EnsureBridge("br0", 1400)
    assert pair == ops.CreateVeth(
        "eth0",
        host_end(OWNER),
        f"{attachment_hash(OWNER)}, net: net, if: eth0, id: c1",
        "br0",
        1400,
        bytes.fromhex("0a0000000001"),
        True,
        True,
    )


@given(st.text("abc", min_size=1), st.text("abc", min_size=1), st.text("abc", min_size=1))
def test_the_host_ends_name_depends_on_the_whole_attachment(network: str, container_id: str, ifname: str) -> None:
    name = host_end(Owner(network, container_id, ifname))
    assert name.startswith("veth")
    assert len(name) == 12
    assert int(name[4:], 16) >= 0
    assert name == host_end(Owner(network, container_id, ifname))
    assert name != host_end(Owner(network, container_id + "x", ifname))
    assert name != host_end(Owner(network, container_id, ifname + "x"))


@pytest.mark.parametrize(
    ("values", "given_gateway", "expected"),
    [
        ({}, "", None),
        ({}, "10.1.2.9", "10.1.2.9"),
        ({"isGateway": True}, "", "10.1.2.1"),
        ({"isGateway": True}, "10.1.2.9", "10.1.2.9"),
        ({"isDefaultGateway": True}, "", "10.1.2.1"),
    ],
)
def test_the_gateway(values: dict[str, Any], given_gateway: str, expected: str | None) -> None:
    result = layers.address(keys(**values), Result(ips=(ip("10.1.2.7/24", given_gateway),)))
    (found,) = result.ips
    assert found.interface == layers.CONTAINER_INTERFACE
    assert (str(found.gateway) if found.gateway else None) == expected


@pytest.mark.parametrize(
    ("present", "added"),
    [
        ((), ["0.0.0.0/0 10.0.0.1", "::/0 fd00::1"]),
        ((route("0.0.0.0/0", "10.0.0.254"),), ["::/0 fd00::1"]),
        ((route("0.0.0.0/0"),), ["::/0 fd00::1"]),
        ((route("::/0", "fd00::9"), route("9.0.0.0/8")), ["0.0.0.0/0 10.0.0.1"]),
    ],
)
def test_one_default_route_a_family(present: tuple[Route, ...], added: list[str]) -> None:
    allocated = Result(ips=(ip("10.0.0.2/24"), ip("10.0.1.2/24"), ip("fd00::2/64")), routes=present)
    result = layers.address(keys(isDefaultGateway=True), allocated)
    assert result.routes[: len(present)] == present
    assert [f"{each.destination} {each.gateway}" for each in result.routes[len(present) :]] == added
    assert layers.address(keys(isGateway=True), allocated).routes == present


def test_the_containers_plan() -> None:
    result = Result(
        ips=(ip("10.0.0.2/24", "10.0.0.1"), ip("10.0.1.2/24", "10.0.1.1"), ip("fd00::2/64")),
        routes=(route("9.0.0.0/8"), route("8.0.0.0/8", "10.0.0.3"), route("fd01::/64")),
    )
    assert layers.container(keys(), "eth0", result) == [
        ops.Sysctl(ops.CONTAINER, "net/ipv4/conf/eth0/arp_notify", "1"),
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/accept_dad", "0"),
        ops.ConfigureInterface(
            "eth0",
            tuple(each.address for each in result.ips),
            (route("9.0.0.0/8", "10.0.0.1"), route("8.0.0.0/8", "10.0.0.3"), route("fd01::/64")),
        ),
    ]


def test_duplicate_address_detection() -> None:
    plan = layers.container(keys(enabledad=True), "eth0", Result(ips=(ip("fd00::2/64", "fd00::1"),)))
    assert plan[1:3] == [
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/enhanced_dad", "1"),
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/accept_dad", "1"),
    ]
    configure = plan[-1]
    assert isinstance(configure, ops.ConfigureInterface)
    assert configure.await_dad


def test_gateways_ipv4_first() -> None:
    result = Result(ips=(ip("fd00::2/64", "fd00::1"), ip("10.0.0.2/24", "10.0.0.1"), ip("10.0.1.2/16", "10.0.0.9")))
    assert layers.gateways(keys(bridge="br0", forceAddress=True), result) == [
        ops.EnsureAddress("br0", Prefix.parse("10.0.0.1/24"), True),
        ops.EnsureAddress("br0", Prefix.parse("10.0.0.9/16"), True),
        ops.EnableForwarding(4),
        ops.EnsureAddress("br0", Prefix.parse("fd00::1/64"), True),
        ops.EnableForwarding(6),
    ]
    assert layers.gateways(keys(), Result(ips=(ip("10.0.0.2/24"),))) == []


def test_the_gateway_of_a_vlan() -> None:
    found = Result(ips=(ip("10.0.0.2/24", "10.0.0.1"), ip("fd00::2/64", "fd00::1")))
    assert layers.gateways(keys(vlan=7, preserveDefaultVlan=True), found) == [
        ops.EnsureVlanGateway("cni0.7", "cni0", 7, True),
        ops.EnsureAddress("cni0.7", Prefix.parse("10.0.0.1/24"), False),
        ops.EnableForwarding(4),
        ops.EnsureAddress("cni0.7", Prefix.parse("fd00::1/64"), False),
        ops.EnableForwarding(6),
    ]
    assert layers.gateways(keys(vlan=7), Result(ips=(ip("10.0.0.2/24"),))) == []


@pytest.mark.parametrize(
    ("ips", "plan"),
    [((), []), ((ip("10.0.0.2/24"),), [("eth0", False)]), ((ip("10.0.0.2/24"), ip("fd00::2/64")), [("eth0", True)])],
)
def test_addresses_are_announced(ips: tuple[IpConfig, ...], plan: list[tuple[str, bool]]) -> None:
    assert layers.announcement("eth0", Result(ips=ips)) == [Announce(*each) for each in plan]


def test_masquerade() -> None:
    result = Result(ips=(ip("10.0.0.2/24"), ip("fd00::2/64")))
    fact = Masquerade((Prefix.parse("10.0.0.2/24"), Prefix.parse("fd00::2/64")))
    assert layers.masquerade(OWNER, "nftables", result) == [ops.InstallRules(OWNER, MASQUERADE, "nftables", (fact,))]


# --- the plugin on the in-memory machine -----------------------------------------------------------------------------


def config(machine: Machine, **values: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24", "dataDir": str(machine.directory / "leases")}
    return {"name": "net", "cniVersion": "1.1.0", "bridge": "br0", "isGateway": True, "ipam": ipam, **values}


@pytest.mark.parametrize(
    ("dns", "expected"),
    [
        (None, {"nameservers": ["9.9.9.9"]}),
        ({}, {"nameservers": ["9.9.9.9"]}),
        ({"domain": "d"}, {"domain": "d"}),
        ({"search": []}, None),
        ({"nameservers": ["1.1.1.1"]}, {"nameservers": ["1.1.1.1"]}),
    ],
)
def test_dns_of_the_configuration_replaces_that_of_ipam(
    machine: Machine, dns: dict[str, Any] | None, expected: dict[str, Any] | None
) -> None:
    resolv = machine.directory / "resolv.conf"
    resolv.write_text("nameserver 9.9.9.9\n")
    whole = config(machine, dns=dns)
    whole["ipam"]["resolvConf"] = str(resolv)
    assert machine.add("bridge", whole).get("dns") == expected


def test_an_add_succeeds_though_its_addresses_cannot_be_announced(machine: Machine, monkeypatch: Any) -> None:
    def refuse(_namespace: MemoryNamespace, path: str, value: str) -> str | None:
        if path.endswith("/ndisc_notify"):
            raise OSError(30, "Read-only file system")
        return value

    monkeypatch.setattr(MemoryNamespace, "replace_sysctl", refuse)
    whole = config(machine)
    whole["ipam"] = {"type": "static", "addresses": [{"address": "fd00::2/64"}]}
    answer = machine.call("bridge", "ADD", whole)
    assert answer.status == 0
    assert b"announcing the addresses of eth0: [Errno 30] Read-only file system" in answer.stderr


def test_the_default_backend_is_the_hosts(machine: Machine) -> None:
    machine.firewall.default = "nftables"
    machine.add("bridge", config(machine, ipMasq=True))
    assert machine.firewall.rules[OWNER, MASQUERADE][0] == "nftables"


def test_no_masquerading_without_addresses(machine: Machine) -> None:
    machine.add("bridge", {"name": "net", "cniVersion": "1.1.0", "ipMasq": True})
    assert machine.firewall.rules == {}


def test_an_attachment_to_a_vlan(machine: Machine) -> None:
    whole = config(machine, vlan=7, macspoofchk=True)
    result = machine.add("bridge", whole)
    names = [each["name"] for each in result["interfaces"]]
    assert names == ["br0", names[1], "eth0", "br0.7"]
    mac = bytes.fromhex(result["interfaces"][2]["mac"].replace(":", ""))
    assert machine.firewall.rules == {(OWNER, SPOOFCHECK): (BRIDGE_NAT, (SpoofCheck(names[1], mac),))}
    checked = {**whole, "prevResult": result}
    machine.succeeds("bridge", "CHECK", checked)
    gateway = machine.host_namespace.link("br0.7")
    assert gateway is not None
    assert [str(each.prefix) for each in machine.host_namespace.addresses(gateway.index)] == ["10.1.2.1/24"]
    machine.firewall.rules.clear()
    assert machine.error("bridge", "CHECK", checked)["msg"] == "no macspoofchk rule"
    port = machine.host_namespace.link(names[1])
    assert port is not None
    machine.host_namespace.remove_port_vlans(port.index, [PortVlan(7)])
    message = f"bridge port {names[1]} is not in VLAN 7 as configured"
    assert machine.error("bridge", "CHECK", checked)["msg"] == message
    machine.succeeds("bridge", "DEL", checked)
    assert ("remove", OWNER, SPOOFCHECK, (SpoofCheck(),)) in machine.firewall.calls
    assert machine.host_namespace.link("br0.7") is not None, "as the bridge, the gateway stays"


def test_status_of_a_bridge_that_filters_no_vlans(machine: Machine) -> None:
    machine.host_namespace.create_bridge("br0")
    machine.succeeds("bridge", "STATUS", config(machine))
    body = machine.error("bridge", "STATUS", config(machine, vlan=7))
    assert body["code"] == 50
    assert body["msg"].startswith('bridge "br0" does not filter VLANs')
    machine.succeeds("bridge", "STATUS", config(machine, bridge="br1", vlan=7, macspoofchk=True))
    assert machine.firewall.calls[-1] == ("status", BRIDGE_NAT)


def test_an_address_plugin_that_gives_nothing(machine: Machine) -> None:
    """An executed one, since ours always gives some; it is told to take back what it gave."""
    log = machine.directory / "calls"
    program = machine.bin / "empty"
    program.write_text(f'#!/bin/sh\necho "$CNI_COMMAND" >> {log}\n[ "$CNI_COMMAND" = DEL ] || echo null\n')
    program.chmod(0o755)
    before = machine.state()
    body = machine.error("bridge", "ADD", config(machine, ipam={"type": "empty"}))
    assert body["msg"] == "IPAM plugin returned missing IP config"
    assert log.read_text() == "ADD\nDEL\n"
    log.unlink()
    assert machine.state() == before


def test_an_address_plugins_own_error_passes_through(machine: Machine) -> None:
    program = machine.bin / "angry"
    program.write_text('#!/bin/sh\necho \'{"code": 11, "msg": "later", "details": "why"}\'\nexit 1\n')
    program.chmod(0o755)
    for command in ("ADD", "DEL", "CHECK", "STATUS"):
        body = machine.error("bridge", command, config(machine, ipam={"type": "angry"}))
        assert body == {"code": 11, "msg": "later", "details": "why"}


def test_del_goes_on_after_a_failure(machine: Machine) -> None:
    whole = config(machine, ipMasq=True)
    machine.add("bridge", whole)
    machine.firewall.failing = {"remove"}
    body = machine.error("bridge", "DEL", whole)
    assert body["msg"] == "remove was told to fail"
    assert machine.container.link("eth0") is None
    assert not (machine.directory / "leases/net/10.1.2.2").exists()


def test_del_names_every_failure(machine: Machine) -> None:
    whole = config(machine, ipMasq=True, ipam={"type": "nowhere"})
    machine.firewall.failing = {"remove"}
    message = machine.error("bridge", "DEL", whole)["msg"]
    assert message == f'remove was told to fail; failed to find plugin "nowhere" in path [{machine.bin}]'


def test_a_retired_link_is_left_to_the_reaper(machine: Machine) -> None:
    whole = config(machine)
    machine.add("bridge", whole)
    machine.succeeds("bridge", "DEL", whole, defer=True)
    assert machine.container.link("eth0") is None
    assert len(machine.host_namespace.links()) == 3
    unplug, empty = machine.deferred
    unplug(machine.host_namespace)
    assert [each.master for each in machine.host_namespace.links()] == [0, 0, 0]
    empty(machine.host_namespace)
    assert {each.name for each in machine.host_namespace.links()} == {"lo", "br0"}


def test_gc_goes_on_after_a_failure(machine: Machine) -> None:
    whole = config(machine, ipMasq=True)
    machine.add("bridge", whole)
    machine.firewall.failing = {"collect"}
    body = machine.error("bridge", "GC", {**whole, "cni.dev/valid-attachments": None}, netns="")
    assert body["msg"] == "collect was told to fail"
    assert machine.container.link("eth0") is None
    assert not (machine.directory / "leases/net/10.1.2.2").exists()


def test_status_says_why(machine: Machine) -> None:
    whole = config(machine, ipMasq=True)
    machine.succeeds("bridge", "STATUS", whole)
    machine.firewall.refuses = NotAvailable("no firewall program")
    assert machine.error("bridge", "STATUS", whole) == {"code": 50, "msg": "no firewall program"}
    body = machine.error("bridge", "STATUS", {**whole, "ipam": {"type": "nowhere"}})
    assert body["msg"].startswith('failed to find plugin "nowhere"')


def test_a_missing_namespace_is_named(machine: Machine) -> None:
    body = machine.error("bridge", "ADD", config(machine), netns="/run/netns/none")
    assert body["msg"] == (
        'failed to open netns "/run/netns/none": failed to Statfs "/run/netns/none": no such file or directory'
    )


def test_two_interfaces_of_one_container(machine: Machine) -> None:
    whole = config(machine, ipMasq=True)
    first = machine.add("bridge", whole)
    second = machine.add("bridge", whole, ifname="eth1")
    assert [first["ips"][0]["address"], second["ips"][0]["address"]] == ["10.1.2.2/24", "10.1.2.3/24"]
    machine.succeeds("bridge", "DEL", whole)
    assert machine.container.link("eth1") is not None
    assert list(machine.firewall.rules) == [(OWNER.replace(ifname="eth1"), MASQUERADE)]
    machine.succeeds("bridge", "CHECK", {**whole, "prevResult": second}, ifname="eth1", netns=NETNS)


@pytest.mark.parametrize(
    ("keys", "changed", "message"),
    [
        ({"portIsolation": True}, {"hairpin": False, "isolated": False}, "is not isolated as configured"),
        ({"hairpinMode": True}, {"hairpin": False, "isolated": True}, "is not in hairpin mode as configured"),
        ({"hairpinMode": True}, {"hairpin": True, "isolated": True}, ""),
        ({}, {"hairpin": True, "isolated": True}, ""),
    ],
)
def test_check_looks_at_the_ports_flags(
    machine: Machine, keys: dict[str, Any], changed: dict[str, bool], message: str
) -> None:
    whole = {"cniVersion": "1.1.0", "name": "net", "bridge": "br0", **keys}
    previous = machine.add("bridge", whole)
    machine.succeeds("bridge", "CHECK", {**whole, "prevResult": previous})
    port = machine.host_namespace.link(previous["interfaces"][1]["name"])
    assert port is not None
    machine.host_namespace.set_port(port.index, **changed)
    if message:
        found = machine.error("bridge", "CHECK", {**whole, "prevResult": previous})["msg"]
        assert found == f"bridge port {port.name} {message}"
    else:
        machine.succeeds("bridge", "CHECK", {**whole, "prevResult": previous})
