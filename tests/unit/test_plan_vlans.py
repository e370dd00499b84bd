"""VLANs of an attachment: every operation on the in-memory kernel, and roll back from a failure in each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine
from trapped_machine import Trap, link, transaction, trap_machine

from pycni.kernel.model import PortVlan
from pycni.kernel.namespace import NEWBORN_GROUP
from pycni.plan import ops, vlans
from pycni.spec.errors import CniError

ACCESS = PortVlan(100, pvid=True, untagged=True)
DEFAULT = PortVlan(1, pvid=True, untagged=True)
BRIDGE = ops.EnsureBridge("br0", 1400, vlan_filtering=True)
PORT = ops.CreateVeth("eth0", "veth1", bridge="br0")
GATEWAY = ops.EnsureVlanGateway("br0.100", "br0", 100)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def port_vlans(machine: Machine, name: str) -> list[PortVlan]:
    return machine.host_namespace.port_vlans(link(machine.host_namespace, name).index)


def test_a_port_leaves_the_vlan_it_was_born_in(machine: Machine) -> None:
    tagged = (PortVlan(5), PortVlan(6))
    transaction(machine).apply([BRIDGE, PORT, ops.JoinVlans((ACCESS, *tagged))])
    assert port_vlans(machine, "veth1") == [*tagged, ACCESS]
    bridge = link(machine.host_namespace, "br0")
    assert machine.host_namespace.filters_vlans(bridge.index)


def test_the_vlan_it_was_born_in_may_be_kept(machine: Machine) -> None:
    transaction(machine).apply([BRIDGE, PORT, ops.JoinVlans((ACCESS,), keep_default=True)])
    assert port_vlans(machine, "veth1") == [DEFAULT.replace(pvid=False), ACCESS]


def test_vlans_need_a_port_and_a_gateway_its_bridge(machine: Machine) -> None:
    with pytest.raises(CniError, match=r"^no bridge port was made"):
        transaction(machine).apply([ops.JoinVlans((ACCESS,))])
    with pytest.raises(CniError, match=r'^no bridge "br0" was made for vlan gateway "br0.100"'):
        transaction(machine).apply([GATEWAY])


def test_a_gateway_is_made_once(machine: Machine) -> None:
    host = machine.host_namespace
    first = transaction(machine).apply([BRIDGE, GATEWAY])
    assert first.gateway is not None and first.gateway.name == "br0.100"
    device = link(host, "br0.100")
    port = host.link_by_index(device.link)
    assert port is not None
    assert (device.is_up, device.mtu, device.master) == (True, 1400, 0)
    assert (port.is_up, port.mtu, port.master, port.group) == (True, 1400, link(host, "br0").index, 0)
    assert host.port_vlans(port.index) == [ACCESS]
    assert host.read_sysctl("net/ipv6/conf/br0.100/accept_ra") == "0"
    before = machine.state()
    transaction(machine, random=b"\7\7\7\7").apply([BRIDGE, GATEWAY])
    assert machine.state() == before


def test_a_half_made_gateway_is_finished(machine: Machine) -> None:
    host = machine.host_namespace
    bridge = host.create_bridge("br0", vlan_filtering=True)
    port, _ = host.create_veth("veth9", "br0.100", host, master=bridge.index, group=NEWBORN_GROUP)
    transaction(machine).apply([BRIDGE, GATEWAY])
    assert host.port_vlans(port.index) == [ACCESS]
    assert link(host, "veth9").group == 0
    assert link(host, "br0.100").is_up


def test_a_gateway_of_the_operators_stays_as_it_is(machine: Machine) -> None:
    host = machine.host_namespace
    host.create_bridge("br0.100")
    running = transaction(machine)
    with pytest.raises(RuntimeError), running:
        running.apply([BRIDGE, GATEWAY])
        raise RuntimeError
    assert link(host, "br0.100").kind == "bridge"


def test_a_gateways_port_gets_another_name_when_the_first_is_taken(machine: Machine) -> None:
    host = machine.host_namespace
    host.create_bridge("veth01020304")
    names = iter([b"\1\2\3\4", b"\5\6\7\x08"])
    running = transaction(machine)
    running.random_bytes = lambda _: next(names)
    running.apply([BRIDGE, GATEWAY])
    assert host.link("veth05060708") is not None
    running.random_bytes = lambda _: b"\1\2\3\4"
    with pytest.raises(CniError, match=r"faild to create vlan gateway .* already exists$"):
        running.apply([ops.EnsureVlanGateway("br0.101", "br0", 101)])


def test_a_gateways_name_that_is_too_long(machine: Machine) -> None:
    with pytest.raises(CniError) as caught:
        transaction(machine).apply([BRIDGE, ops.EnsureVlanGateway("br0" * 6, "br0", 100)])
    assert caught.value.msg == (
        'failed to create vlan interface: faild to create vlan gateway "br0br0br0br0br0br0": '
        "failed to make veth pair: numerical result out of range"
    )


def test_a_gateway_that_another_container_came_to_need_stays(machine: Machine) -> None:
    host = machine.host_namespace
    running = transaction(machine)
    with pytest.raises(RuntimeError), running:
        running.apply([BRIDGE, PORT, ops.JoinVlans((ACCESS,)), GATEWAY])
        other, _ = host.create_veth("veth2", "eth1", machine.container, master=link(host, "br0").index)
        host.add_port_vlans(other.index, [ACCESS])
        raise RuntimeError
    assert host.link("br0.100") is not None
    assert host.link("veth1") is None


def test_what_is_missing(machine: Machine) -> None:
    transaction(machine).apply([BRIDGE, PORT, ops.JoinVlans((ACCESS, PortVlan(5)))])
    host = machine.host_namespace
    port = link(host, "veth1")
    assert vlans.missing(host, port, [ACCESS, PortVlan(5)]) == []
    assert vlans.missing(host, port, [PortVlan(100), ACCESS]) == []
    assert vlans.missing(host, port, [ACCESS, PortVlan(100), PortVlan(6)]) == [PortVlan(100), PortVlan(6)]


KEYS: dict[str, Any] = {
    "vlan": 100,
    "vlanTrunk": [{"minID": 5, "maxID": 7}],
    "macspoofchk": True,
    "isDefaultGateway": True,
    "ipMasq": True,
}


@pytest.mark.parametrize("late", [False, True], ids=["refused", "half done"])
def test_a_failure_in_any_step_leaves_the_machine_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, late: bool
) -> None:
    failures = 0
    for step in range(1, 100):
        machine = Machine(tmp_path_factory.mktemp("machine"))
        ranges = [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]
        ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(machine.directory / "leases")}
        before = machine.state()
        trap = Trap(step, late)
        trap_machine(machine, trap)
        config = {"name": "net", "cniVersion": "1.1.0", "bridge": "br0", "ipam": ipam, **KEYS}
        answer = machine.call("bridge", "ADD", config)
        if not trap.sprung:
            assert answer.status == 0, answer.stdout
            break
        if answer.status:
            failures += 1
            assert machine.state() == before, f"step {step}, {trap.sprung}: {answer.stderr.decode()}"
    assert failures >= 10


def test_a_failing_firewall_leaves_the_machine_as_it_was(machine: Machine) -> None:
    before = machine.state()
    machine.firewall.failing = {"install"}
    config = {"name": "net", "cniVersion": "1.1.0", "bridge": "br0", "vlan": 100, "macspoofchk": True}
    assert machine.error("bridge", "ADD", config)["msg"] == "install was told to fail"
    assert machine.state() == before
