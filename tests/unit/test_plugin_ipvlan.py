"""ipvlan: its keys, and the master and addresses that a plugin before it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.kernel.kinds import Ipvlan
from pycni.spec.errors import CniError
from pycni.spec.result import Interface, Result
from pycni_plugins.ipvlan.config import chained_master

ONE = {"interfaces": [{"name": "wan"}], "ips": [{"address": "10.7.7.7/24", "interface": 0}], "dns": {"domain": "x"}}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.host_namespace.create_veth("wan", "lan", made.kernel.create())
    return made


def config(machine: Machine, **values: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24", "dataDir": str(machine.directory / "leases")}
    return {"name": "net", "cniVersion": "1.1.0", "ipam": ipam, **values}


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s", ""])
def test_modes(machine: Machine, mode: str) -> None:
    whole = config(machine, master="wan", mode=mode)
    result = machine.add("ipvlan", whole)
    link = machine.container.link("eth0")
    assert link is not None and machine.container.virtual().kind(link.index) == Ipvlan(mode or "l2")
    machine.succeeds("ipvlan", "CHECK", {**whole, "prevResult": result})
    other = "l3" if mode != "l3" else "l2"
    body = machine.error("ipvlan", "CHECK", {**whole, "mode": other, "prevResult": result})
    assert body["msg"] == f"Container IPVlan mode {mode or 'l2'} does not match expected value: {other}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "x"}, "no default route interface found"),
        ({"mode": "x", "master": "nowhere"}, 'unknown ipvlan mode: "x"'),
        ({"master": "nowhere"}, 'failed to lookup master "nowhere": Link not found'),
        ({"master": "wan", "mtu": -1}, "invalid configuration: key 'mtu': -1 is negative"),
        ({"master": "wan", "ipam": {}}, "no plugin name provided"),
        (
            {"prevResult": {"interfaces": []}, "mode": "x"},
            "chained master failure. PrevResult lacks a single named interface",
        ),
    ],
)
def test_the_first_mistake_is_the_references(machine: Machine, values: dict[str, Any], message: str) -> None:
    before = machine.state()
    assert machine.error("ipvlan", "ADD", config(machine, **values))["msg"] == message
    assert machine.state() == before
    machine.succeeds("ipvlan", "DEL", config(machine, **values))


@pytest.mark.parametrize("interfaces", [(), (Interface(""),), (Interface("a"), Interface("b"))])
def test_a_result_without_a_single_named_interface(interfaces: tuple[Interface, ...]) -> None:
    with pytest.raises(CniError, match="lacks a single named interface"):
        chained_master(Result(interfaces))


def test_a_chain_gives_master_and_addresses(machine: Machine) -> None:
    chained = config(machine, ipam={}, prevResult=ONE)
    result = machine.add("ipvlan", chained)
    assert result["ips"] == [{"address": "10.7.7.7/24", "interface": 0}]
    assert [(each["name"], each["sandbox"]) for each in result["interfaces"]] == [("eth0", NETNS)]
    assert "dns" not in result, "the configuration's, which has none"
    machine.succeeds("ipvlan", "CHECK", {**chained, "prevResult": result})
    machine.succeeds("ipvlan", "DEL", {**chained, "prevResult": result})


def test_addresses_of_its_own_in_a_chain(machine: Machine) -> None:
    for number, values in enumerate(({"prevResult": ONE}, {"prevResult": {**ONE, "ips": []}, "master": "wan"})):
        result = machine.add("ipvlan", config(machine, **values), ifname=f"eth{number}")
        assert [each["address"] for each in result["ips"]] == [f"10.1.2.{2 + number}/24"]
    body = machine.error("ipvlan", "ADD", config(machine, ipam={}, prevResult={**ONE, "ips": []}), ifname="eth2")
    assert body["msg"] == "no plugin name provided"


def test_check_looks_for_a_master_that_is_named(machine: Machine) -> None:
    result = machine.add("ipvlan", config(machine, master="wan"))
    body = machine.error("ipvlan", "CHECK", config(machine, master="nowhere", prevResult=result))
    assert body["msg"] == 'failed to lookup master "nowhere": Link not found'
    machine.succeeds("ipvlan", "CHECK", config(machine, prevResult=result))


def test_status(machine: Machine) -> None:
    before = machine.state()
    machine.succeeds("ipvlan", "STATUS", config(machine))
    assert machine.state() == before
    body = machine.error("ipvlan", "STATUS", config(machine, master="nowhere"))
    assert body == {"code": 50, "msg": 'master "nowhere": Link not found'}
    assert machine.error("ipvlan", "STATUS", config(machine, mode="x"))["msg"] == 'unknown ipvlan mode: "x"'
