"""vrf: its keys, plan, and the plugin on the in-memory machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine
from hypothesis import given
from hypothesis import strategies as st

from pycni.kernel import pseudo
from pycni.kernel.model import Route
from pycni.kernel.pseudo import new_vrf, vrf_tables
from pycni.plan.vrfs import EnsureVrf, JoinVrf, lowest_free
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError
from pycni.spec.request import parse_config
from pycni_plugins import load
from pycni_plugins.vrf.plugin import Vrf, parse, plan

DEFAULT4, DEFAULT6 = Prefix.parse("0.0.0.0/0"), Prefix.parse("::/0")


def keys(**values: Any) -> Vrf:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()))


def config(**values: Any) -> dict[str, Any]:
    previous = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": NETNS}]}
    return {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "vrf",
        "vrfname": "blue",
        "prevResult": previous,
        **values,
    }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for number, name in enumerate(("eth0", "eth1"), 1):
        _, link = made.host_namespace.create_veth(f"veth{number}", name, made.container)
        made.container.configure(
            link.index,
            (Prefix.parse(f"10.{number}.0.2/24"), Prefix.parse(f"fd00:{number}::2/64")),
            (
                Route(DEFAULT4, Address.parse(f"10.{number}.0.1"), priority=number),
                Route(DEFAULT6, Address.parse(f"fd00:{number}::1"), priority=number),
            ),
        )
    return made


def routes(machine: Machine, device: str) -> set[tuple[str, str, int]]:
    """(destination, gateway, table)."""
    link = machine.container.link(device)
    assert link is not None
    return {
        (str(each.destination), str(each.gateway or "-"), each.table or 0)
        for family in (4, 6)
        for each in machine.container.routes(family, None)
        if each.device == link.index
    }


def vrfs(machine: Machine) -> dict[str, tuple[int, set[str]]]:
    """Table and ports by name."""
    links = machine.container.links()
    names = {each.index: each.name for each in links}
    return {
        names[index]: (table, {each.name for each in links if each.master == index})
        for index, table in vrf_tables(machine.container).items()
    }


def test_keys() -> None:
    assert keys(vrfname="blue") == Vrf("blue", 0)
    assert keys(VRFName="blue", table=2**32 - 1) == Vrf("blue", 2**32 - 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "configuration is expected to have a valid vrf name"),
        ({"vrfname": ""}, "configuration is expected to have a valid vrf name"),
        ({"vrfname": 7}, "invalid configuration: key 'vrfname': expected a string, got an integer"),
        ({"vrfname": "a", "table": -1}, "invalid configuration: key 'table': -1 is negative"),
        ({"vrfname": "a", "table": 2**32}, "invalid configuration: key 'table': 4294967296 does not fit 32 bits"),
    ],
)
@pytest.mark.parametrize("command", ["ADD", "CHECK", "STATUS"])
def test_keys_that_are_refused(machine: Machine, command: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(**values)
    assert caught.value.msg == message
    whole = {key: value for key, value in config().items() if key != "vrfname"}
    assert machine.error("vrf", command, {**whole, **values})["msg"] == message
    machine.succeeds("vrf", "DEL", {**whole, **values})


@given(st.sets(st.integers(0, 20)))
def test_the_lowest_free_table(used: set[int]) -> None:
    found = lowest_free(used)
    assert found not in used and found >= 1 and used >= set(range(1, found))


def test_the_plan() -> None:
    assert plan(Vrf("blue", 7), "eth0") == [EnsureVrf("blue", 7), JoinVrf("eth0", "blue")]


def test_add_makes_a_vrf_and_moves_the_interface_with_what_it_has(machine: Machine) -> None:
    others = routes(machine, "eth1")
    assert machine.add("vrf", config()) == config()["prevResult"]
    assert vrfs(machine) == {"blue": (1, {"eth0"})}
    assert routes(machine, "eth0") == {
        ("0.0.0.0/0", "10.1.0.1", 1),
        ("::/0", "fd00:1::1", 1),
        ("10.1.0.0/24", "-", 1),
        ("fd00:1::/64", "-", 1),
    }
    assert routes(machine, "eth1") == others
    link, vrf = machine.container.link("eth0"), machine.container.link("blue")
    assert link is not None and vrf is not None and vrf.is_up
    present = [str(each.prefix) for each in machine.container.addresses(link.index)]
    assert present == ["10.1.0.2/24", "fd00:1::2/64"]
    machine.succeeds("vrf", "CHECK", config())
    machine.succeeds("vrf", "CHECK", config(table=1))


def test_several_vrfs_and_ports(machine: Machine) -> None:
    machine.add("vrf", config(table=2))
    machine.container.rtnetlink().request(new_vrf("red", 1))
    machine.add("vrf", config(), ifname="eth1")
    assert vrfs(machine) == {"blue": (2, {"eth0", "eth1"}), "red": (1, set())}
    machine.succeeds("vrf", "DEL", config())
    assert vrfs(machine) == {"blue": (2, {"eth1"}), "red": (1, set())}
    machine.add("vrf", config(vrfname="green"))
    assert vrfs(machine)["green"] == (3, {"eth0"})
    machine.succeeds("vrf", "DEL", config(), ifname="eth1")
    assert vrfs(machine).keys() == {"red", "green"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vrfname": "eth1"}, "Netlink eth1 is not a VRF"),
        ({"vrfname": "old", "table": 6}, "VRF old already exist with different routing table 5"),
        ({"vrfname": "a/b"}, "could not add VRF a/b: invalid argument"),
        ({"vrfname": "x" * 16}, f"could not add VRF {'x' * 16}: numerical result out of range"),
    ],
)
def test_vrfs_that_are_refused(machine: Machine, values: dict[str, Any], message: str) -> None:
    machine.container.rtnetlink().request(new_vrf("old", 5))
    before = machine.state(), vrfs(machine)
    assert machine.error("vrf", "ADD", config(**values))["msg"] == f"cmdAdd failed: {message}"
    assert (machine.state(), vrfs(machine)) == before


def test_interfaces_that_are_refused(machine: Machine) -> None:
    container = machine.container
    bridge, link = container.create_bridge("br0"), container.link("eth1")
    assert link is not None
    container.set_link(link.index, master=bridge.index)
    before = machine.state()
    for ifname, reason in (
        ("eth1", "interface eth1 has already a master set: br0"),
        ("eth7", "could not get link by name eth7"),
    ):
        assert machine.error("vrf", "ADD", config(), ifname=ifname)["msg"] == f"cmdAdd failed: {reason}"
        assert machine.state() == before and vrfs(machine) == {}
    machine.add("vrf", config())
    assert machine.error("vrf", "ADD", config())["msg"].endswith("interface eth0 has already a master set: blue")
    assert vrfs(machine) == {"blue": (1, {"eth0"})}


@pytest.mark.parametrize("keep", ["0", "1"])
def test_an_add_that_fails_last_is_undone(machine: Machine, keep: str) -> None:
    """A route that nothing leads to any more cannot be put into the vrf's table."""
    machine.container.write_sysctl("net/ipv6/conf/eth0/keep_addr_on_down", keep)
    link = machine.container.link("eth0")
    assert link is not None
    before = machine.state()
    lost = Route(Prefix.parse("172.16.0.0/12"), Address.parse("10.1.0.1"))
    machine.container.configure(link.index, (), (lost,))
    machine.container.remove_address(link.index, Prefix.parse("10.1.0.2/24"))
    halfway = machine.state()
    error = machine.error("vrf", "ADD", config())["msg"]
    assert error.startswith("cmdAdd failed: could not add route '") and error.endswith("': network is unreachable")
    after = machine.state()
    assert after["container"]["links"] == halfway["container"]["links"] != before["container"]["links"]
    assert vrfs(machine) == {}
    assert all(table == 254 for _, _, table in routes(machine, "eth0"))


def test_what_add_and_check_need(machine: Machine) -> None:
    nothing = config()
    del nothing["prevResult"]
    for command in ("ADD", "CHECK"):
        assert machine.error("vrf", command, nothing)["msg"] == "missing prevResult from earlier plugin"
        gone = machine.error("vrf", command, config(), netns="/run/netns/gone")
        assert gone["msg"].endswith('failed to Statfs "/run/netns/gone": no such file or directory')


def test_check(machine: Machine) -> None:
    def error(**values: Any) -> str:
        return str(machine.error("vrf", "CHECK", config(**values))["msg"])

    assert error() == "failed to find vrf blue: Link not found"
    assert error(vrfname="eth1") == "Netlink eth1 is not a VRF"
    machine.add("vrf", config(table=7))
    machine.succeeds("vrf", "CHECK", config(table=7))
    assert error(table=8) == "VRF blue has routing table 7, not 8"
    link = machine.container.link("eth0")
    assert link is not None
    machine.container.set_link(link.index, master=0)
    assert error() == "failed to find eth0 associated to vrf blue"


def test_del_forgives(machine: Machine) -> None:
    alone = config()
    del alone["prevResult"]
    machine.add("vrf", config())
    for netns in ("", "/run/netns/gone"):
        machine.succeeds("vrf", "DEL", alone, netns=netns)
    machine.succeeds("vrf", "DEL", {**alone, "vrfname": "eth1"})
    assert vrfs(machine) == {"blue": (1, {"eth0"})}
    for _ in range(2):
        machine.succeeds("vrf", "DEL", alone)
        assert vrfs(machine) == {} and machine.container.link("eth0") is not None


def test_del_after_the_interface_is_gone(machine: Machine) -> None:
    machine.add("vrf", config())
    link = machine.container.link("eth0")
    assert link is not None
    machine.container.delete_link(link.index)
    machine.succeeds("vrf", "DEL", config())
    assert vrfs(machine) == {}


def test_del_leaves_the_port_of_another(machine: Machine) -> None:
    bridge, link = machine.container.create_bridge("br0"), machine.container.link("eth0")
    assert link is not None
    machine.add("vrf", config(), ifname="eth1")
    machine.container.set_link(link.index, master=bridge.index)
    machine.succeeds("vrf", "DEL", config())
    link = machine.container.link("eth0")
    assert link is not None and link.master == bridge.index
    assert vrfs(machine) == {"blue": (1, {"eth1"})}


def test_status_tells_what_the_kernel_lacks(machine: Machine) -> None:
    before = machine.state()
    machine.succeeds("vrf", "STATUS", config(), netns="")
    machine.succeeds("vrf", "GC", config(**{"cni.dev/valid-attachments": []}), netns="", container_id="", ifname="")
    machine.kernel.lacking.add(pseudo.VRF)
    error = machine.error("vrf", "STATUS", config(), netns="")
    assert (error["code"], error["msg"]) == (50, "the kernel has no driver for vrf devices")
    assert machine.error("vrf", "ADD", config())["msg"] == (
        "cmdAdd failed: could not add VRF blue: operation not supported"
    )
    assert machine.state() == before


def test_versions() -> None:
    assert load("vrf").versions == ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
