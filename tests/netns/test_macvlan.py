"""macvlan on the real kernel, executed as a runtime does, through an engine and without: traffic between containers and
with the world outside, and what stays after failures, DEL and GC."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, Caller
from real_machine import SILENCE, Greeter, greeting, ping

from pycni.kernel.kinds import Macvlan
from pycni.plan.layer import temporary_name

PORT = 7000


class Shore:
    """A caller's host whose `wan` is a wire to `outside`, which is 192.0.2.2 and fd99::2; containers share the wire."""

    def __init__(self, caller: Caller, data: Path) -> None:
        self.caller = caller
        self.host, self.outside = caller.host, caller.make()
        self.host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "lan", "netns", self.outside.path])
        for space, device, last in ((self.host, "wan", 1), (self.outside, "lan", 2)):
            space.run(["ip", "addr", "add", f"192.0.2.{last}/24", "dev", device])
            space.run(["ip", "addr", "add", f"fd99::{last}/64", "dev", device, "nodad"])
            space.run(["ip", "link", "set", device, "up"])
        self.data = data / "leases"
        ranges = [
            [{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.10", "gateway": "192.0.2.2"}],
            [{"subnet": "fd99::/64", "rangeStart": "fd99::10", "gateway": "fd99::2"}],
        ]
        routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
        self.ipam = {"type": "host-local", "dataDir": str(self.data), "ranges": ranges, "routes": routes}

    def config(self, **keys: Any) -> dict[str, Any]:
        return {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "wan", "ipam": self.ipam, **keys}

    def add(self, container_id: str, **keys: Any) -> Any:
        """A new container; its namespace."""
        space = self.caller.make()
        # detection takes a second on each wire, and is tested with bridge
        space.namespace().write_sysctl("net/ipv6/conf/default/accept_dad", "0")
        self.caller.ok("macvlan", "ADD", self.config(**keys), space.path, container_id=container_id)
        return space

    def leases(self) -> list[str]:
        return sorted(each.name for each in self.data.rglob("[1f]*"))


@pytest.fixture(params=OURS)
def shore(request: pytest.FixtureRequest, netns: Callable[[], Any], tmp_path: Path) -> Iterator[Shore]:
    caller = Caller(str(request.param), netns, tmp_path)
    yield Shore(caller, tmp_path)
    caller.close()


def names(space: Any) -> list[str]:
    return [each["ifname"] for each in json.loads(space.run(["ip", "-j", "link"]).stdout)]


def test_containers_reach_each_other_and_the_world_outside(shore: Shore) -> None:
    one, two = shore.add("c1"), shore.add("c2")
    for own, far in (("192.0.2.10", "192.0.2.2"), ("fd99::10", "fd99::2")):
        assert ping(two, own)
        assert ping(one, far)
        assert ping(shore.outside, own)
        family = socket.AF_INET6 if ":" in own else socket.AF_INET
        with Greeter(shore.outside, family, socket.SOCK_STREAM, PORT):
            assert greeting(one, far, PORT, socket.SOCK_STREAM) == own, "nobody translates addresses"
    assert not ping(shore.host, "192.0.2.10", SILENCE), "what the host sends to its master leaves by the wire"


def test_private_containers_reach_only_the_world_outside(shore: Shore) -> None:
    one, two = shore.add("c1", mode="private"), shore.add("c2", mode="private")
    assert ping(one, "192.0.2.2") and ping(two, "192.0.2.2")
    assert not ping(two, "192.0.2.10", SILENCE)


def test_passthru_has_the_masters_address_and_the_master_to_itself(shore: Shore) -> None:
    one = shore.add("c1", mode="passthru")
    assert ping(one, "192.0.2.2")
    answer = shore.caller.error(
        "macvlan", "ADD", shore.config(mode="passthru"), shore.caller.make().path, container_id="c2"
    )
    assert answer["msg"] == "failed to create macvlan: invalid argument"
    assert len(shore.leases()) == 2


def test_a_device_on_one_of_the_container_itself(shore: Shore) -> None:
    space = shore.add("c1")
    config = shore.config(master="eth0", linkInContainer=True)
    result = shore.caller.ok("macvlan", "ADD", config, space.path, ifname="eth1")
    assert result["ips"][0]["address"] == "192.0.2.11/24"
    assert names(space) == ["lo", "eth0", "eth1"]
    # the kernel puts a macvlan of a macvlan on the lowest device
    assert ping(shore.outside, "192.0.2.11")
    shore.caller.ok("macvlan", "CHECK", {**config, "prevResult": result}, space.path, ifname="eth1")
    shore.caller.ok("macvlan", "DEL", config, space.path, ifname="eth1")
    assert names(space) == ["lo", "eth0"]


@pytest.mark.parametrize("way", ["as always", "twice", "empty netns", "netns gone", "master gone", "half an ADD"])
def test_del_leaves_nothing(shore: Shore, way: str) -> None:
    space = shore.add("c1")
    path = space.path
    config = shore.config()
    if way == "netns gone":
        space.close()
    if way == "master gone":
        shore.host.run(["ip", "link", "del", "wan"])
    if way == "half an ADD":
        owner = shore_owner()
        space.run(["ip", "link", "set", "eth0", "down"])
        space.run(["ip", "link", "set", "eth0", "name", temporary_name(owner)])
    for _ in range(2 if way == "twice" else 1):
        shore.caller.ok("macvlan", "DEL", config, "" if way == "empty netns" else path)
    assert shore.leases() == []
    if way not in ("netns gone", "empty netns"):
        assert names(space) == ["lo"]


def shore_owner() -> Any:
    from pycni.firewall.facts import Owner

    return Owner("net", "c1", "eth0")


def test_an_add_after_one_that_was_killed_before_it_renamed(shore: Shore) -> None:
    space = shore.caller.make()
    host = shore.host.namespace()
    wan = host.link("wan")
    assert wan is not None
    host.virtual().create(Macvlan(), temporary_name(shore_owner()), space.namespace(), wan.index)
    shore.caller.ok("macvlan", "ADD", shore.config(ipam={}), space.path)
    assert names(space) == ["lo", "eth0"]


def test_a_failed_add_leaves_nothing(shore: Shore) -> None:
    space = shore.caller.make()
    route = {"dst": "10.9.0.0/16", "gw": "198.51.100.7"}
    answer = shore.caller.error("macvlan", "ADD", shore.config(ipam={**shore.ipam, "routes": [route]}), space.path)
    assert answer["msg"].startswith("failed to add route '10.9.0.0/16 via 198.51.100.7 dev eth0")
    assert names(space) == ["lo"]
    assert shore.leases() == []


def test_a_master_that_is_busy_says_with_what(shore: Shore) -> None:
    shore.host.run(["ip", "link", "add", "br0", "type", "bridge"])
    shore.host.run(["ip", "link", "set", "wan", "master", "br0"])
    space = shore.caller.make()
    answer = shore.caller.error("macvlan", "ADD", shore.config(), space.path)
    assert answer["msg"] == "failed to create macvlan: device or resource busy"
    assert answer["details"] == '"wan" is a port of "br0"'
    assert names(space) == ["lo"] and shore.leases() == []


def test_gc_frees_leases_and_status_looks_for_the_master(shore: Shore) -> None:
    shore.add("valid")
    shore.add("stale")
    assert len(shore.leases()) == 4
    listed = [{"containerID": "valid", "ifname": "eth0"}]
    shore.caller.ok("macvlan", "GC", shore.config(**{"cni.dev/valid-attachments": listed}), "")
    assert shore.leases() == ["192.0.2.10", "fd99::10"]
    shore.caller.ok("macvlan", "STATUS", shore.config(), "")
    for keys, text in (
        ({"master": "nowhere"}, 'master "nowhere": Link not found'),
        ({"master": ""}, "no default route interface found"),
    ):
        assert shore.caller.error("macvlan", "STATUS", shore.config(**keys), "") == {"code": 50, "msg": text}
    shore.caller.ok("macvlan", "STATUS", shore.config(master="", linkInContainer=True), "")


def test_an_address_that_somebody_outside_has(shore: Shore) -> None:
    """Duplicate address detection on the real wire; then nothing is left."""
    shore.outside.run(["ip", "addr", "add", "fd99::10/64", "dev", "lan", "nodad"])
    space = shore.caller.make()
    answer = shore.caller.error("macvlan", "ADD", shore.config(), space.path)
    assert answer["msg"] == "link eth0 has address fd99::10 in DADFAILED state"
    assert names(space) == ["lo"]
    assert shore.leases() == []
