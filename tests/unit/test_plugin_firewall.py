"""firewall: its keys, its facts, and the plugin on the in-memory machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import FIREWALLD, Admit, Isolate, Owner, Trust
from pycni.firewall.naming import FIREWALL
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError, NotAvailable
from pycni.spec.request import parse_config
from pycni.spec.result import Interface, IpConfig, Result
from pycni_plugins.firewall.plugin import Firewall, facts, parse

OWNER = Owner("net", "c1", "eth0")


def keys(**values: Any) -> Firewall:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Firewall("", "CNI-ADMIN", "open")),
        ({"backend": "", "ingressPolicy": "", "iptablesAdminChainName": ""}, Firewall("", "CNI-ADMIN", "open")),
        ({"backend": "whatever"}, Firewall("", "CNI-ADMIN", "open")),
        ({"backend": "nftables", "ingressPolicy": "isolated"}, Firewall("nftables", "CNI-ADMIN", "isolated")),
        ({"backend": "firewalld", "firewalldZone": "work"}, Firewall("firewalld", "CNI-ADMIN", "open", "work")),
        ({"firewalldZone": ""}, Firewall("", "CNI-ADMIN", "open", "trusted")),
        ({"backend": "iptables", "iptablesAdminChainName": "MINE"}, Firewall("iptables", "MINE", "open")),
    ],
)
def test_keys(values: dict[str, Any], expected: Firewall) -> None:
    assert keys(**values) == expected


@pytest.mark.parametrize("name", ["A B", "a\nCOMMIT", "x" * 29, '"'])
def test_a_chains_name_is_one_word(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^invalid configuration: key 'iptablesAdminChainName'"):
        keys(iptablesAdminChainName=name)


def test_refused_keys() -> None:
    with pytest.raises(CniError, match=r'^unknown ingress policy: "closed"$'):
        keys(ingressPolicy="closed")


IPS = (
    IpConfig(Prefix.parse("10.0.0.2/24")),
    IpConfig(Prefix.parse("fd00::2/64")),
    IpConfig(Prefix.parse("10.0.0.3/24"), None, 0),
)
ADMIT = Admit((Address.parse("10.0.0.2"), Address.parse("fd00::2"), Address.parse("10.0.0.3")), "CNI-ADMIN")


def test_every_address_counts_whatever_its_interface() -> None:
    assert facts(keys(), Result((), IPS)) == (ADMIT,)
    assert facts(keys(), Result()) == ()


@pytest.mark.parametrize("policy", ["same-bridge", "isolated"])
def test_a_policy_adds_one_fact_a_family(policy: str) -> None:
    previous = Result((Interface("br0"), Interface("eth0", "", NETNS)), IPS)
    assert facts(keys(ingressPolicy=policy), previous) == (ADMIT, Isolate("br0", policy, 4), Isolate("br0", policy, 6))


def test_firewalld_is_told_addresses_and_iptables_isolates() -> None:
    previous = Result((Interface("br0"),), IPS[:1])
    bus = "unix:path=/bus"
    found = facts(keys(ingressPolicy="isolated", firewalldZone="work"), previous, FIREWALLD, bus)
    assert found == (Trust((Address.parse("10.0.0.2"),), "work", bus), Isolate("br0", "isolated", 4))


@pytest.mark.parametrize(
    ("interfaces", "message"),
    [
        (
            (),
            'interface needs to be set for ingress policy "isolated", '
            'make sure to chain "firewall" plugin with "bridge"',
        ),
        ((Interface(""),), "got empty bridge name"),
        ((Interface("br0 -j ACCEPT"),), "got invalid bridge name 'br0 -j ACCEPT'"),
        ((Interface("br0\nCOMMIT"),), "got invalid bridge name 'br0\\nCOMMIT'"),
    ],
)
def test_a_policy_needs_a_bridge(interfaces: tuple[Interface, ...], message: str) -> None:
    with pytest.raises(CniError) as caught:
        facts(keys(ingressPolicy="isolated"), Result(interfaces, IPS))
    assert caught.value.msg == message


PREVIOUS = {
    "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": NETNS, "mtu": 1400}],
    "ips": [{"address": "10.0.0.2/24", "interface": 1}],
    "dns": {"nameservers": ["1.1.1.1"]},
}


def config(**values: Any) -> dict[str, Any]:
    return {"name": "net", "cniVersion": "1.1.0", "prevResult": PREVIOUS, **values}


def test_add_check_del(machine: Machine) -> None:
    assert machine.add("firewall", config()) == {**PREVIOUS, "cniVersion": "1.1.0"}
    machine.succeeds("firewall", "CHECK", config())
    machine.succeeds("firewall", "DEL", config(prevResult=None), netns="")
    assert machine.firewall.rules == {}
    assert machine.error("firewall", "CHECK", config())["msg"] == "no firewall rule"
    machine.succeeds("firewall", "DEL", config())


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_without_a_previous_result(machine: Machine, command: str) -> None:
    body = machine.error("firewall", command, config(prevResult=None))
    assert body == {"code": 999, "msg": "missing prevResult from earlier plugin"}


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK"])
@pytest.mark.parametrize("label", ["0.3.0", "0.3.1", "0.2.0"])
def test_old_versions_are_refused(machine: Machine, command: str, label: str) -> None:
    assert machine.error("firewall", command, config(cniVersion=label))["code"] == 1
    assert machine.firewall.calls == []


@pytest.mark.parametrize(
    "previous",
    [{"ips": PREVIOUS["ips"]}, {"interfaces": PREVIOUS["interfaces"]}, {}],
)
def test_del_with_half_a_result(machine: Machine, previous: dict[str, Any]) -> None:
    machine.succeeds("firewall", "DEL", config(prevResult=previous, ingressPolicy="same-bridge"))


def test_what_del_assumes_where_nothing_is_known(machine: Machine) -> None:
    machine.succeeds("firewall", "DEL", config(ingressPolicy="same-bridge"))
    admit = Admit((Address.parse("10.0.0.2"),), "CNI-ADMIN")
    assert machine.firewall.calls == [("remove", OWNER, FIREWALL, (admit, Isolate("br0", "same-bridge", 4)))]


def test_what_del_assumes_where_firewalld_may_have_been_told(machine: Machine) -> None:
    """By name, or where there is a bus and no backend is named."""
    trust = Trust((Address.parse("10.0.0.2"),), "trusted", f"unix:path={machine.directory}/bus")
    for values, expected in (
        ({"backend": "firewalld"}, True),
        ({}, False),
        ({"backend": "iptables"}, False),
    ):
        machine.succeeds("firewall", "DEL", config(**values))
        assert (trust in machine.firewall.calls[-1][3]) is expected
    (machine.directory / "bus").touch()
    machine.succeeds("firewall", "DEL", config())
    assert trust in machine.firewall.calls[-1][3]
    other = "unix:abstract=elsewhere"
    machine.succeeds("firewall", "DEL", config(backend="firewalld"), DBUS_SYSTEM_BUS_ADDRESS=other)
    assert trust.replace(bus=other) in machine.firewall.calls[-1][3]


@pytest.mark.parametrize("there", [False, True])
def test_a_bus_without_firewalld_changes_nothing(machine: Machine, there: bool) -> None:
    if there:
        (machine.directory / "bus").touch()  # and nobody listens
    machine.add("firewall", config())
    assert machine.firewall.rules[OWNER, FIREWALL][0] == "iptables"


def test_gc_and_status(machine: Machine) -> None:
    machine.add("firewall", config())
    machine.succeeds("firewall", "GC", config(**{"cni.dev/valid-attachments": []}), netns="")
    assert machine.firewall.rules == {}
    machine.firewall.refuses = NotAvailable("neither iptables nor nft")
    assert machine.error("firewall", "STATUS", config()) == {"code": 50, "msg": "neither iptables nor nft"}
