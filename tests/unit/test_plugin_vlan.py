"""vlan and dummy: their keys, and what CHECK and STATUS say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine

from pycni.kernel.kinds import Vlan


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.host_namespace.create_veth("wan", "lan", made.kernel.create())
    made.container.create_veth("inner", "outer", made.kernel.create(), mtu=1300)
    return made


def config(machine: Machine, **values: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24", "dataDir": str(machine.directory / "leases")}
    return {"name": "net", "cniVersion": "1.1.0", "master": "wan", "ipam": ipam, **values}


@pytest.mark.parametrize("vid", [0, 1, 4094])
def test_vlans(machine: Machine, vid: int) -> None:
    whole = config(machine, vlanId=vid, mtu=1400)
    result = machine.add("vlan", whole)
    link = machine.container.link("eth0")
    assert link is not None and link.mtu == 1400
    assert machine.container.virtual().kind(link.index) == Vlan(vid)
    machine.succeeds("vlan", "CHECK", {**whole, "prevResult": result})
    for change, message in (
        ({"vlanId": 9}, f"Error: VLAN ID of eth0 is {vid}, configured is 9"),
        ({"mtu": 1300}, "Error: Tuning configured MTU of eth0 is 1300, current value is 1400"),
        ({"master": "nowhere"}, 'failed to lookup master "nowhere": Link not found'),
        ({"ipam": {}}, "no plugin name provided"),
    ):
        assert machine.error("vlan", "CHECK", {**whole, **change, "prevResult": result})["msg"] == message
    assert machine.error("vlan", "CHECK", whole)["msg"] == "vlan: Required prevResult missing"


def test_a_master_in_the_container(machine: Machine) -> None:
    machine.add("vlan", config(machine, master="inner", linkInContainer=True, mtu=1300))
    link, inner = machine.container.link("eth0"), machine.container.link("inner")
    assert link is not None and inner is not None and link.link == inner.index


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"master": "", "vlanId": -1},
            '"master" field is required. It specifies the host interface name to create the VLAN for',
        ),
        ({"master": "nowhere", "vlanId": -1}, "invalid VLAN ID -1 (must be between 0 and 4095 inclusive)"),
        ({"master": "nowhere", "vlanId": 4095}, "invalid VLAN ID 4095 (must be between 0 and 4095 inclusive)"),
        ({"master": "nowhere", "mtu": -1}, "Link not found"),
        ({"mtu": -1}, "invalid MTU -1, must be [0, master MTU(1500)]"),
        ({"mtu": 1501}, "invalid MTU 1501, must be [0, master MTU(1500)]"),
        ({"mtu": 1 << 33}, "invalid MTU 8589934592, must be [0, master MTU(1500)]"),
        ({"mtu": 1500, "master": "inner", "linkInContainer": True}, "invalid MTU 1500, must be [0, master MTU(1300)]"),
        ({"linkInContainer": True}, "Link not found"),
    ],
)
def test_the_first_mistake_is_the_references(machine: Machine, values: dict[str, Any], message: str) -> None:
    before = machine.state()
    assert machine.error("vlan", "ADD", config(machine, **values))["msg"] == message
    assert machine.state() == before
    machine.succeeds("vlan", "DEL", config(machine, **values))
    machine.succeeds("vlan", "GC", config(machine, **values, **{"cni.dev/valid-attachments": []}), netns="")


def test_status(machine: Machine) -> None:
    before = machine.state()
    machine.succeeds("vlan", "STATUS", config(machine))
    assert machine.state() == before
    body = machine.error("vlan", "STATUS", config(machine, master="nowhere"))
    assert body == {"code": 50, "msg": 'master "nowhere": Link not found'}
    assert machine.error("vlan", "STATUS", config(machine, ipam={}))["msg"] == "no plugin name provided"
    assert machine.error("vlan", "STATUS", config(machine, mtu=1501))["msg"].startswith("invalid MTU")


@pytest.mark.parametrize("plugin", ["vlan", "ipvlan", "macvlan", "dummy"])
def test_status_tells_of_a_kernel_without_the_driver(machine: Machine, plugin: str) -> None:
    machine.succeeds(plugin, "STATUS", config(machine))
    machine.kernel.lacking.add(plugin)
    body = machine.error(plugin, "STATUS", config(machine))
    assert body == {"code": 50, "msg": f"the kernel has no driver for {plugin} devices"}


# --- dummy -----------------------------------------------------------------------------------------------------------


def test_a_dummy_of_a_name_that_the_host_has(machine: Machine) -> None:
    machine.host_namespace.create_bridge("eth0")
    machine.add("dummy", config(machine))
    link = machine.container.link("eth0")
    assert link is not None and link.kind == "dummy"


def test_a_dummy_that_is_down(machine: Machine) -> None:
    result = machine.add("dummy", config(machine))
    link = machine.container.link("eth0")
    assert link is not None
    machine.container.set_link(link.index, up=False)
    checked = config(machine, prevResult=result)
    assert machine.error("dummy", "CHECK", checked)["msg"] == "Interface eth0 is down"
    assert machine.error("dummy", "CHECK", config(machine))["msg"] == "dummy: Required prevResult missing"
    assert machine.error("dummy", "STATUS", config(machine, ipam={}))["msg"] == "no plugin name provided"


def test_a_dummys_routes_are_not_looked_at(machine: Machine) -> None:
    result = machine.add("dummy", config(machine))
    machine.succeeds("dummy", "CHECK", config(machine, prevResult={**result, "routes": [{"dst": "10.9.0.0/16"}]}))
