"""bridge's `disableContainerInterface` and `portIsolation`, executed as a runtime does: through an engine, without one,
and the reference's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, WAYS, Caller
from real_machine import SILENCE, ping
from soon import eventually


class Yard:
    """A caller's host with containers on its bridge `br0`, with addresses of their own where bridge gives them none."""

    def __init__(self, way: str, netns: Callable[[], Any], directory: Path) -> None:
        self.caller = Caller(way, netns, directory)
        self.way = way
        self.host = self.caller.host
        self.spaces: dict[str, Any] = {}

    def config(self, **keys: Any) -> dict[str, Any]:
        return {"cniVersion": "1.0.0", "name": "net", "type": "bridge", "bridge": "br0", **keys}

    def add(self, container_id: str, **keys: Any) -> Any:
        self.spaces[container_id] = self.caller.make()
        return self.call("ADD", container_id, **keys)

    def call(self, command: str, container_id: str, **keys: Any) -> Any:
        path = self.spaces[container_id].path
        return self.caller.ok("bridge", command, self.config(**keys), path, container_id=container_id)

    def error(self, command: str, container_id: str, **keys: Any) -> str:
        path = self.spaces[container_id].path
        return str(self.caller.error("bridge", command, self.config(**keys), path, container_id=container_id)["msg"])

    def address(self, container_id: str, last: int) -> Any:
        """The container's namespace, with this address on the interface."""
        space = self.spaces[container_id]
        space.run(["ip", "addr", "add", f"10.1.2.{last}/24", "dev", "eth0"])
        return space

    def inside(self, container_id: str) -> Any:
        return json.loads(self.spaces[container_id].run(["ip", "-j", "addr", "show", "eth0"]).stdout)[0]

    def ports(self) -> dict[str, dict[str, Any]]:
        links = json.loads(self.host.run(["ip", "-j", "-d", "link"]).stdout)
        return {each["ifname"]: each["linkinfo"]["info_slave_data"] for each in links if each.get("master") == "br0"}


@pytest.fixture(params=WAYS)
def yard(request: pytest.FixtureRequest, netns: Callable[[], Any], tmp_path: Path) -> Iterator[Yard]:
    made = Yard(request.param, netns, tmp_path)
    yield made
    made.caller.close()


def test_a_disabled_interface_stays_down(yard: Yard) -> None:
    down = {"disableContainerInterface": True}
    result = yard.add("c1", **down)
    assert [each["name"] for each in result["interfaces"]][::2] == ["br0", "eth0"]
    assert "ips" not in result
    inside = yard.inside("c1")
    assert "UP" not in inside["flags"]
    assert inside["addr_info"] == []
    (port,) = yard.ports()
    assert port == result["interfaces"][1]["name"]
    if yard.way in OURS:  # the reference's asks for an IPAM plugin (appendix A.6)
        yard.call("CHECK", "c1", **down, prevResult=result)
    # the container may bring it up by itself, and is on the bridge then
    yard.add("c2")
    first, second = yard.address("c1", 2), yard.address("c2", 3)
    assert not ping(second, "10.1.2.2", seconds=SILENCE)
    first.run(["ip", "link", "set", "eth0", "up"])
    assert ping(second, "10.1.2.2")
    for _ in range(2):
        yard.call("DEL", "c1", **down)
    assert "eth0" not in first.run(["ip", "-br", "link"]).stdout
    assert len(yard.ports()) == 1


@pytest.mark.parametrize("kind", ["host-local", "nobody"])
def test_a_disabled_interface_takes_no_addresses(yard: Yard, kind: str) -> None:
    yard.spaces["c1"] = yard.caller.make()
    keys = {"disableContainerInterface": True, "ipam": {"type": kind, "subnet": "10.1.2.0/24"}}
    refusal = "cannot use IPAM when DisableContainerInterface flag is set"
    # the reference's CHECK asks the IPAM plugin first
    for command in ("ADD", "CHECK") if yard.way in OURS else ("ADD",):
        assert yard.error(command, "c1", **keys) == refusal
    assert "br0" not in yard.host.run(["ip", "-br", "link"]).stdout
    # an empty object is none
    yard.add("c2", disableContainerInterface=True, ipam={})


def test_isolated_ports_reach_all_but_each_other(yard: Yard) -> None:
    for name, isolated in (("c1", True), ("c2", True), ("c3", False)):
        result = yard.add(name, portIsolation=isolated)
        assert yard.ports()[result["interfaces"][1]["name"]]["isolated"] is isolated
    first, second, third = (yard.address(name, last) for name, last in (("c1", 2), ("c2", 3), ("c3", 4)))
    yard.host.run(["ip", "addr", "add", "10.1.2.1/24", "dev", "br0"])
    assert ping(first, "10.1.2.1")
    assert ping(first, "10.1.2.4")
    assert ping(third, "10.1.2.3")
    assert not ping(first, "10.1.2.3", seconds=SILENCE)
    assert not ping(second, "10.1.2.2", seconds=SILENCE)
    for name in ("c1", "c2", "c3"):
        yard.call("DEL", name, portIsolation=True)
    assert yard.ports() == {}


@pytest.mark.parametrize("way", OURS)
def test_neighbours_hear_who_has_an_address_now(netns: Callable[[], Any], tmp_path: Path, way: str) -> None:
    """Who talked to a container before would otherwise go on sending to its hardware address."""
    yard = Yard(way, netns, tmp_path)
    addresses = ("10.1.2.2", "fd00::2")

    def keys(last: int) -> dict[str, Any]:
        ips = [{"address": f"10.1.2.{last}/24"}, {"address": f"fd00::{last}/64"}]
        return {"isGateway": True, "ipam": {"type": "static", "addresses": ips}}

    def known(space: Any, target: str) -> str:
        words = space.run(["ip", "neigh", "show", target]).stdout.split()
        return words[words.index("lladdr") + 1] if "lladdr" in words else ""

    yard.add("peer", **keys(3))
    peer = yard.spaces["peer"]
    for name in ("first", "second"):
        mac = yard.add(name, **keys(2))["interfaces"][2]["mac"]
        for space in (yard.host, peer):
            told = name == "first" or eventually(
                lambda space=space, mac=mac: [known(space, each) for each in addresses] == [mac, mac]  # type: ignore[misc]
            )
            assert told
            assert all(ping(space, each) for each in addresses)
            assert [known(space, each) for each in addresses] == [mac, mac]
        notify = yard.spaces[name].run(["cat", "/proc/sys/net/ipv6/conf/eth0/ndisc_notify"])
        assert notify.stdout == "0\n", "what the container says by itself later is its own affair"
        yard.call("DEL", name, **keys(2))
    yard.caller.close()


@pytest.mark.parametrize("way", OURS)
def test_check_misses_a_ports_flags(netns: Callable[[], Any], tmp_path: Path, way: str) -> None:
    yard = Yard(way, netns, tmp_path)
    keys = {"portIsolation": True, "hairpinMode": True}
    result = yard.add("c1", **keys)
    port = result["interfaces"][1]["name"]
    yard.call("CHECK", "c1", **keys, prevResult=result)
    for option, message in (("isolated", "is not isolated"), ("hairpin", "is not in hairpin mode")):
        yard.host.run(["bridge", "link", "set", "dev", port, option, "off"])
        assert yard.error("CHECK", "c1", **keys, prevResult=result) == f"bridge port {port} {message} as configured"
        yard.host.run(["bridge", "link", "set", "dev", port, option, "on"])
    yard.call("CHECK", "c1", **keys, prevResult=result)
    # what is not configured may be as it likes
    yard.call("CHECK", "c1", prevResult=result)
    yard.caller.close()
