"""macvlan: its keys, where its master comes from, and the order in which it complains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.kernel.kinds import Macvlan
from pycni.kernel.model import Route
from pycni.plan.host_access import EnsureHostAccess
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError
from pycni.spec.request import parse_config
from pycni_plugins.macvlan.config import Keys, kind_of, mac_of, parse, with_arguments

MACS = [f"0a:00:00:00:00:0{number}" for number in range(4)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.host_namespace.create_veth("wan", "lan", made.kernel.create())
    made.container.create_veth("inner", "outer", made.kernel.create(), mac=bytes.fromhex("0a0000000099"))
    return made


def config(**values: Any) -> dict[str, Any]:
    return {"name": "net", "cniVersion": "1.1.0", "master": "wan", **values}


def keys(cni_args: str = "", **values: Any) -> Keys:
    parsed = parse_config(json.dumps({"name": "net", **values}).encode())
    return with_arguments(parse(parsed), parsed, cni_args)


def test_defaults() -> None:
    assert keys() == Keys(False, "", 0, "", 0)
    assert kind_of(keys()) == Macvlan("bridge", 0)
    assert mac_of("") is None


@pytest.mark.parametrize(
    ("own", "arguments", "runtime", "last"),
    [(1, 0, 0, 1), (1, 2, 0, 2), (1, 2, 3, 3), (0, 2, 3, 3), (1, 0, 3, 3), (0, 0, 3, 3)],
)
def test_the_mac_comes_from_the_last_source(own: int, arguments: int, runtime: int, last: int) -> None:
    """The key, then CNI_ARGS, then runtimeConfig (contract 2.11)."""
    sources = {"mac": MACS[own] if own else "", "RuntimeConfig": {"mac": MACS[runtime] if runtime else ""}}
    found = keys(f"MAC={MACS[arguments]}" if arguments else "", **sources)
    assert mac_of(found.mac) == bytes.fromhex(f"0a000000000{last}")


@pytest.mark.parametrize("mode", ["bridge", "private", "vepa", "passthru", ""])
def test_modes(machine: Machine, mode: str) -> None:
    whole = config(mode=mode, bcqueuelen=12)
    result = machine.add("macvlan", whole)
    link = machine.container.link("eth0")
    assert link is not None
    assert machine.container.virtual().kind(link.index) == Macvlan(mode or "bridge", 12)
    machine.succeeds("macvlan", "CHECK", {**whole, "prevResult": result})
    other = "vepa" if mode != "vepa" else "private"
    body = machine.error("macvlan", "CHECK", {**whole, "mode": other, "prevResult": result})
    assert body["msg"] == f"container macvlan mode {mode or 'bridge'} does not match expected value: {other}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"master": "", "mtu": -1, "mode": "x", "mac": "zz"}, "no default route interface found"),
        ({"master": "nowhere", "mtu": -1, "mode": "x", "mac": "zz"}, "Link not found"),
        ({"mtu": -1, "mode": "x", "mac": "zz"}, "invalid MTU -1, must be [0, master MTU(1500)]"),
        ({"mtu": 1501, "mode": "x"}, "invalid MTU 1501, must be [0, master MTU(1500)]"),
        ({"mode": "x", "mac": "zz"}, 'unknown macvlan mode: "x"'),
        ({"mac": "zz"}, "invalid args zz for MAC addr: address zz: invalid MAC address"),
        ({"bcqueuelen": -1}, "invalid configuration: key 'bcqueuelen': -1 is negative"),
        ({"linkInContainer": "yes"}, "invalid configuration: key 'linkInContainer': expected a boolean, got a string"),
    ],
)
def test_the_first_mistake_is_the_references(machine: Machine, values: dict[str, Any], message: str) -> None:
    before = machine.state()
    assert machine.error("macvlan", "ADD", config(**values))["msg"] == message
    assert machine.state() == before


def test_the_master_that_is_missing_is_named(machine: Machine) -> None:
    body = machine.error("macvlan", "ADD", config(master="nowhere"))
    assert body == {"code": 999, "msg": "Link not found", "details": 'master "nowhere"'}


def test_arguments_come_after_the_mtu_and_before_the_mode(machine: Machine) -> None:
    body = machine.error("macvlan", "ADD", config(mode="x"), CNI_ARGS="BAD")
    assert body["msg"] == 'ARGS: invalid pair "BAD"'
    assert machine.error("macvlan", "ADD", config(mtu=-1), CNI_ARGS="BAD")["msg"].startswith("invalid MTU")
    machine.succeeds("macvlan", "DEL", config(mode="x"), CNI_ARGS="BAD")


@pytest.mark.parametrize("family", [4, 6])
def test_the_device_of_the_default_route(machine: Machine, family: int) -> None:
    """IPv4's before IPv6's."""
    for namespace, name in ((machine.host_namespace, "wan"), (machine.container, "inner")):
        link = namespace.link(name)
        assert link is not None
        prefix, gateway = ("10.0.0.2/24", "10.0.0.1") if family == 4 else ("fd00::2/64", "fd00::1")
        default = Prefix(Address(bytes(4 if family == 4 else 16)), 0)
        namespace.configure(link.index, [Prefix.parse(prefix)], [Route(default, Address.parse(gateway))])
    machine.add("macvlan", config(master=""))
    assert machine.container.link("eth0").link == machine.host_namespace.link("wan").index  # type: ignore[union-attr]
    machine.add("macvlan", config(master="", linkInContainer=True), ifname="eth1")
    assert machine.container.link("eth1").link == machine.container.link("inner").index  # type: ignore[union-attr]
    machine.succeeds("macvlan", "STATUS", config(master=""))


def test_check_without_a_result(machine: Machine) -> None:
    assert machine.error("macvlan", "CHECK", config())["msg"] == "required prevResult missing"
    elsewhere = {"interfaces": [{"name": "eth0", "sandbox": "/run/other"}]}
    body = machine.error("macvlan", "CHECK", config(prevResult=elsewhere))
    assert body["msg"] == f"sandbox in prevResult /run/other doesn't match configured netns: {NETNS}"


def test_check_of_what_is_no_macvlan(machine: Machine) -> None:
    entry = {"interfaces": [{"name": "inner", "sandbox": NETNS}]}
    body = machine.error("macvlan", "CHECK", config(prevResult=entry), ifname="inner")
    assert body["msg"] == "error: Container interface inner not of type macvlan"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"master": "nowhere"}, 'master "nowhere": Link not found'),
        ({"master": ""}, "no default route interface found"),
    ],
)
def test_status_says_why(machine: Machine, values: dict[str, Any], message: str) -> None:
    assert machine.error("macvlan", "STATUS", config(**values)) == {"code": 50, "msg": message}
    for mtu in (1501, 1 << 33):
        assert machine.error("macvlan", "STATUS", config(mtu=mtu))["msg"].startswith(f"invalid MTU {mtu}")
    machine.succeeds("macvlan", "STATUS", config(**values, linkInContainer=True))


ACCESS = {"device": "shim", "addresses": ["10.9.0.254/32"], "routes": ["10.9.0.0/25"]}


def test_check_looks_at_host_access(machine: Machine) -> None:
    whole = config(hostAccess=ACCESS)
    host, previous = machine.host_namespace, machine.add("macvlan", whole)

    def said(**others: Any) -> str:
        body = machine.error("macvlan", "CHECK", {**whole, "prevResult": previous, "hostAccess": {**ACCESS, **others}})
        return str(body["msg"])

    shim = host.link("shim")
    assert shim is not None
    machine.succeeds("macvlan", "CHECK", {**whole, "prevResult": previous})
    assert said(routes=["10.9.0.0/25", "10.9.0.128/26"]) == "host access shim lacks route 10.9.0.128/26"
    assert said(addresses=["10.9.0.253/32"]) == "host access shim lacks address 10.9.0.253/32"
    host.set_link(shim.index, up=False)
    assert said() == "host access shim is down"
    host.delete_link(shim.index)
    assert said() == "host access shim not found"
    machine.add("macvlan", whole, ifname="eth1")
    machine.succeeds("macvlan", "CHECK", {**whole, "prevResult": previous})


def test_host_access_stays_when_the_add_that_made_it_fails(machine: Machine) -> None:
    """Another container may have been attached meanwhile, and count on it."""
    host = machine.host_namespace
    refused = config(hostAccess=ACCESS, ipam={"type": "host-local", "subnet": "10.9.0.7/24"})
    assert "host bits" in machine.error("macvlan", "ADD", refused)["msg"]
    shim = host.link("shim")
    assert shim is not None and [str(each.prefix) for each in host.addresses(shim.index)] == ["10.9.0.254/32"]
    assert machine.container.link("eth0") is None


def test_two_adds_make_host_access_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finds no address there, and one of them is slower."""
    host, whole = machine.host_namespace, config(hostAccess=ACCESS)
    looks = [lambda *_: tuple(map(Prefix.parse, ACCESS["addresses"]))]
    missing = EnsureHostAccess._missing
    machine.add("macvlan", whole)
    monkeypatch.setattr(EnsureHostAccess, "_missing", lambda *args: (looks.pop() if looks else missing)(*args))
    machine.add("macvlan", whole, ifname="eth1")
    assert looks == []
    shim = host.link("shim")
    assert shim is not None and len(host.addresses(shim.index)) == 1


@pytest.mark.parametrize("there", [True, False])
def test_host_access_that_cannot_be_completed_goes_with_its_maker(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def refuse(*_: object) -> None:
        raise CniError("host access shim: file exists")

    host = machine.host_namespace
    if there:
        machine.add("macvlan", config(hostAccess=ACCESS), ifname="eth1")
    monkeypatch.setattr(EnsureHostAccess, "_ensure_route", refuse)
    assert machine.error("macvlan", "ADD", config(hostAccess=ACCESS))["msg"] == "host access shim: file exists"
    assert (host.link("shim") is not None) == there


def test_a_name_of_host_access_that_is_taken(machine: Machine) -> None:
    host = machine.host_namespace
    host.create_veth("wan2", "lan2", machine.kernel.create())
    wan2 = host.link("wan2")
    assert wan2 is not None
    host.virtual().create(Macvlan("bridge"), "shim", host, wan2.index)
    for device, reason in (("shim", 'exists and is not on "wan"'), ("wan2", "exists and is no macvlan device")):
        whole = config(hostAccess={**ACCESS, "device": device})
        message = f'host access: "{device}" {reason}'
        assert machine.error("macvlan", "STATUS", whole) == {"code": 50, "msg": message}
        assert machine.error("macvlan", "ADD", whole)["msg"] == message
    machine.succeeds("macvlan", "STATUS", config(hostAccess={**ACCESS, "device": "other"}))
    body = machine.error("macvlan", "STATUS", config(hostAccess=ACCESS, linkInContainer=True))
    assert body["msg"].startswith("invalid configuration: key 'hostAccess'")
