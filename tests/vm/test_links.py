"""ipvlan, vlan and dummy: traffic between containers and with the world outside, and what stays afterwards.

Their READMEs' examples are executed here, by launchers; tests/netns/test_links_executed.py has an engine too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("link_twins")

from link_twins import WiredMachine  # noqa: E402
from real_machine import ping  # noqa: E402

from pycni.firewall.facts import Owner  # noqa: E402
from pycni.kernel.kinds import Dummy, Ipvlan, Vlan  # noqa: E402
from pycni.kernel.model import Route  # noqa: E402
from pycni.plan.layer import temporary_name  # noqa: E402
from pycni.spec.address import Address, Prefix  # noqa: E402

SILENCE = 0.5
"""Seconds to listen for what must not come: the guest is slow."""


class Shore:
    """A host whose `wan` is a wire to `outside`, which is 192.0.2.2; containers share the wire."""

    def __init__(self, machine: WiredMachine) -> None:
        self.machine = machine
        self.outside = machine.outside
        self.leases = machine.directory / "leases"

    def config(self, plugin: str, subnet: str = "192.0.2.0/24", **keys: Any) -> dict[str, Any]:
        base = subnet.rpartition(".")[0]
        ranges = [[{"subnet": subnet, "rangeStart": f"{base}.10", "gateway": f"{base}.2"}]]
        ipam = {"type": "host-local", "dataDir": str(self.leases), "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
        return {"cniVersion": "1.1.0", "name": "net", "type": plugin, "master": "wan", "ipam": ipam, **keys}

    def add(self, config: dict[str, Any], container_id: str) -> Any:
        space = self.machine.make()
        self.machine.ok(config["type"], "ADD", config, space.path, container_id=container_id)
        return space

    def files(self) -> list[str]:
        return sorted(each.name for each in self.leases.rglob("1*"))


@pytest.fixture
def shore(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Shore]:
    machine = WiredMachine(netns, tmp_path)
    yield Shore(machine)
    machine.close()


def names(space: Any) -> list[str]:
    return [each.name for each in space.namespace().links()]


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
def test_containers_of_an_ipvlan_reach_each_other_and_the_world_outside(shore: Shore, mode: str) -> None:
    """Above layer 2 the host routes: nobody answers for the containers' addresses, so the world needs a way to them."""
    base = "192.0.2" if mode == "l2" else "10.7.0"
    config = shore.config("ipvlan", f"{base}.0/24", mode=mode)
    if mode != "l2":
        outside = shore.outside.namespace()
        lan = outside.link("lan")
        assert lan is not None
        outside.configure(lan.index, (), [Route(Prefix.parse("10.7.0.0/24"), Address.parse("192.0.2.1"))])
    one, two = shore.add(config, "c1"), shore.add(config, "c2")
    assert ping(two, f"{base}.10")
    assert ping(one, "192.0.2.2")
    assert ping(shore.outside, f"{base}.11")
    wan = shore.machine.namespace.link("wan")
    link = one.namespace().link("eth0")
    assert wan is not None and link is not None and link.mac == wan.mac


def test_an_ipvlan_chained_to_another_plugin(shore: Shore) -> None:
    """The plugin before gives the master, by its one interface, and the addresses."""
    previous = {"cniVersion": "1.1.0", "interfaces": [{"name": "wan"}], "ips": [{"address": "192.0.2.30/24"}]}
    config = {**shore.config("ipvlan"), "prevResult": previous, "dns": {"domain": "d"}}
    del config["ipam"], config["master"]
    space = shore.machine.make()
    result = shore.machine.ok("ipvlan", "ADD", config, space.path)
    assert result["ips"] == [{"address": "192.0.2.30/24", "interface": 0}]
    assert [each["name"] for each in result["interfaces"]] == ["eth0"] and result["dns"] == {"domain": "d"}
    assert ping(shore.outside, "192.0.2.30")
    shore.machine.ok("ipvlan", "CHECK", {**config, "prevResult": result}, space.path)
    shore.machine.ok("ipvlan", "DEL", {**config, "prevResult": result}, space.path)
    assert names(space) == ["lo"]


def test_containers_of_vlans_meet_who_is_in_theirs(shore: Shore) -> None:
    outside = shore.outside.namespace()
    lan = outside.link("lan")
    assert lan is not None
    red = outside.virtual().create(Vlan(100), "lan.100", outside, lan.index)
    outside.configure(red.index, [Prefix.parse("10.7.0.2/24")], ())
    one = shore.add(shore.config("vlan", "10.7.0.0/24", vlanId=100), "c1")
    assert ping(one, "10.7.0.2")
    assert ping(shore.outside, "10.7.0.10")
    two = shore.add(shore.config("vlan", "10.8.0.0/24", vlanId=200, name="blue"), "c2")
    two.namespace().configure(two.namespace().link("eth0").index, [Prefix.parse("10.7.0.77/24")], (), up=False)
    assert not ping(two, "10.7.0.2", SILENCE), "another VLAN"


def test_a_dummys_address_is_the_containers(shore: Shore) -> None:
    config = shore.config("dummy", "10.9.0.0/24", dns={"domain": "not looked at"})
    space = shore.machine.make()
    result = shore.machine.ok("dummy", "ADD", config, space.path)
    assert "dns" not in result
    assert ping(space, "10.9.0.10") and not ping(space, "10.9.0.11", SILENCE)


KINDS = {"ipvlan": Ipvlan(), "vlan": Vlan(7), "dummy": Dummy()}


@pytest.mark.parametrize("plugin", KINDS)
def test_del_leaves_nothing(shore: Shore, plugin: str) -> None:
    machine, config = shore.machine, shore.config(plugin)
    for way in ("twice", "empty netns", "half an ADD", "master gone", "netns gone"):
        space = machine.make()
        path = space.path
        machine.ok(plugin, "ADD", config, path)
        assert shore.files()
        link = space.namespace().link("eth0")
        assert link is not None
        if way == "half an ADD":
            space.namespace().set_link(link.index, up=False)
            space.namespace().set_link(link.index, name=temporary_name(Owner("net", "c1", "eth0")))
        if way == "netns gone":
            space.close()
        if way == "master gone":
            wan = machine.namespace.link("wan")
            assert wan is not None
            machine.namespace.delete_link(wan.index)
            machine.namespace.create_veth("wan", "lan2", shore.outside.namespace())
        for _ in range(2 if way == "twice" else 1):
            machine.ok(plugin, "DEL", config, "" if way == "empty netns" else path)
        assert shore.files() == [], way
        if way == "empty netns":  # then it goes with the namespace
            space.namespace().delete_link(link.index)
        elif way != "netns gone":
            assert names(space) == ["lo"], way


@pytest.mark.parametrize("plugin", KINDS)
def test_a_failed_add_leaves_nothing(shore: Shore, plugin: str) -> None:
    config = shore.config(plugin)
    config["ipam"]["routes"] = [{"dst": "10.9.0.0/16", "gw": "198.51.100.7"}]
    space = shore.machine.make()
    answer = shore.machine.error(plugin, "ADD", config, space.path)
    assert answer["msg"].startswith("failed to add route '10.9.0.0/16 via 198.51.100.7 dev eth0")
    assert names(space) == ["lo"] and shore.files() == []


@pytest.mark.parametrize("plugin", KINDS)
def test_gc_and_status(shore: Shore, plugin: str) -> None:
    machine, config = shore.machine, shore.config(plugin)
    shore.add(config, "valid")
    kept = shore.files()
    shore.add({**config, "vlanId": 9}, "stale")
    listed = [{"containerID": "valid", "ifname": "eth0"}]
    machine.ok(plugin, "GC", {**config, "cni.dev/valid-attachments": listed}, "")
    assert shore.files() == kept
    machine.ok(plugin, "STATUS", config, "")
    if plugin != "dummy":
        refused = machine.error(plugin, "STATUS", {**config, "master": "nowhere"}, "")
        assert refused == {"code": 50, "msg": 'master "nowhere": Link not found'}
