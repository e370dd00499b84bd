"""bridge: the whole plugin on the in-memory machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import BRIDGE_NAT, Owner, SpoofCheck
from pycni.firewall.naming import MASQUERADE, SPOOFCHECK
from pycni.kernel.memory import MemoryNamespace
from pycni.kernel.model import PortVlan
from pycni.plan.transaction import FORWARDING
from pycni.spec.errors import NotAvailable

OWNER = Owner("net", "c1", "eth0")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC", "STATUS"])
def test_keys_are_checked_for_every_command(machine: Machine, command: str) -> None:
    config = {"name": "n", "cniVersion": "1.1.0", "vlan": 4095, "cni.dev/valid-attachments": []}
    body = machine.error("bridge", command, config)
    assert body["msg"] == "invalid VLAN ID 4095 (must be between 0 and 4094)"


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


@pytest.mark.parametrize("plugin", ["bridge", "ptp"])
@pytest.mark.parametrize(
    ("ipam", "families"),
    [
        ({"type": "host-local", "subnet": "10.1.2.0/24"}, {4}),
        ({"type": "host-local", "Ranges": [[{"Subnet": "fd00:1::/64"}]]}, {6}),
        ({"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]}, {4, 6}),
        ({"type": "static", "addresses": [{"address": "fd00:1::2/64", "gateway": "fd00:1::1"}]}, {6}),
        ({"type": "static"}, {4}),
    ],
)
@pytest.mark.parametrize("off", [4, 6])
def test_status_names_the_forwarding_that_an_add_would_miss(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, plugin: str, ipam: dict[str, Any], families: set[int], off: int
) -> None:
    def refuse(_self: object, path: str, _value: str) -> None:
        raise OSError(30, "Read-only file system", path)

    for family, path in FORWARDING.items():
        machine.host_namespace.write_sysctl(path, "0" if family == off else "1")
    monkeypatch.setattr(MemoryNamespace, "write_sysctl", refuse)
    whole = config(machine, ipam={"dataDir": str(machine.directory / "leases"), **ipam})
    if off in families:
        body = machine.error(plugin, "STATUS", whole, netns="")
        assert (body["code"], body["msg"]) == (50, f"no forwarding: {FORWARDING[off]} is off and cannot be switched on")
    else:
        machine.succeeds(plugin, "STATUS", whole, netns="")


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
