"""vrf on the real kernel: who is reached, what is kept, what DEL leaves, and the reference beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, Caller
from real_machine import RealMachine, ping
from soon import eventually
from twins import OurMachine, ReferenceMachine

from pycni.skeleton import Answer

ADDRESSES = ("10.1.2.2/24", "fd00:1::2/64")
ROUTES = (
    "-4 default via 10.1.2.1 metric 7",
    "-6 default via fd00:1::1 metric 7",
    "-4 172.16.0.0/12 via 10.1.2.7 mtu 1300",
    "-4 172.20.0.0/16 via 10.9.9.9 onlink",
)
NEIGHBOUR_ROUTES = ("-4 10.8.8.8 scope link", "-4 172.21.0.0/16 via 10.8.8.8")
"""The reference loses these."""


class Place:
    """A machine's container, to which `connect` gives interfaces, each from a neighbour of its own."""

    def __init__(self, machine: RealMachine | ReferenceMachine | Caller) -> None:
        self.machine = machine
        self.container = machine.make()

    def connect(self, name: str, keep: str = "0") -> Any:
        """The neighbour at 10.1.2.1 and fd00:1::1 of the container's interface `name`, which has the same with 2."""
        neighbour = self.machine.make()
        mac = ["address", f"0a:00:00:00:00:0{name[-1]}"]
        peer = ["peer", "name", name, *mac, "netns", self.container.path]
        neighbour.run(["ip", "link", "add", "near", "type", "veth", *peer])
        for space, device, last in ((neighbour, "near", "1"), (self.container, name, "2")):
            for address in ADDRESSES:
                changed = address.replace("2/", f"{last}/")
                space.run(["ip", "addr", "add", changed, "dev", device, *(["nodad"] if ":" in address else [])])
            space.namespace().write_sysctl(f"net/ipv6/conf/{device}/keep_addr_on_down", keep)
            space.run(["ip", "link", "set", device, "up"])
        return neighbour

    def add_routes(self, name: str, routes: Sequence[str] = ROUTES) -> None:
        for each in routes:
            family, *words = each.split()
            self.container.run(["ip", family, "route", "add", *words, "dev", name])

    def config(self, **keys: Any) -> dict[str, Any]:
        previous = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": self.container.path}]}
        return {
            "cniVersion": "1.0.0",
            "name": "net",
            "type": "vrf",
            "vrfname": "blue",
            "prevResult": previous,
            **keys,
        }

    def _answer(self, command: str, netns: str, ifname: str, keys: dict[str, Any]) -> Answer:
        assert not isinstance(self.machine, Caller)
        return self.machine.call("vrf", command, self.config(**keys), netns, ifname=ifname)

    def call(self, command: str, ifname: str = "eth0", netns: str | None = None, **keys: Any) -> Any:
        """A successful call's result."""
        path = self.container.path if netns is None else netns
        answer = self._answer(command, path, ifname, keys)
        assert answer.status == 0, answer.stdout.decode()
        return json.loads(answer.stdout) if answer.stdout else None

    def error(self, command: str, ifname: str = "eth0", **keys: Any) -> str:
        answer = self._answer(command, self.container.path, ifname, keys)
        assert answer.status == 1, answer.stdout.decode()
        return str(json.loads(answer.stdout)["msg"])

    def state(self) -> list[str]:
        """Vrfs, ports, addresses and routes, without those that come with the carrier."""
        found = []
        for each in json.loads(self.container.run(["ip", "-j", "-d", "addr"]).stdout):
            info = each.get("linkinfo", {})
            addresses = sorted(
                f"{one['local']}/{one['prefixlen']}" for one in each["addr_info"] if one["scope"] != "link"
            )
            table = info.get("info_data", {}).get("table")
            found.append(f"{each['ifname']} {info.get('info_kind')} {table} {each.get('master')} {addresses}")
        for family in ("-4", "-6"):
            shown = json.loads(self.container.run(["ip", "-j", family, "route", "show", "table", "all"]).stdout)
            keys = ("type", "dst", "gateway", "dev", "table", "metric", "prefsrc", "scope")
            kept = [
                {key: each[key] for key in keys if key in each}
                for each in shown
                if each.get("type") not in ("anycast", "multicast")
            ]
            found += sorted(json.dumps(each) for each in kept if "fe80" not in str(each))
        return found

    def settled(self) -> bool:
        return "tentative" not in self.container.run(["ip", "-6", "addr"]).stdout

    def vrfs(self) -> dict[str, set[str]]:
        """Ports by vrf."""
        links = json.loads(self.container.run(["ip", "-j", "-d", "link"]).stdout)
        names = [each["ifname"] for each in links if each.get("linkinfo", {}).get("info_kind") == "vrf"]
        return {name: {each["ifname"] for each in links if each.get("master") == name} for name in names}


@pytest.fixture
def place(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Place]:
    machine = OurMachine(netns, tmp_path)
    yield Place(machine)
    machine.close()


@pytest.mark.parametrize("keep", ["0", "1"])
def test_interfaces_with_the_same_addresses_are_all_reached(place: Place, keep: str) -> None:
    neighbours = []
    for number, vrf in enumerate(("blue", "red")):
        neighbours.append(place.connect(f"eth{number}", keep))
        place.add_routes(f"eth{number}", (*ROUTES, *NEIGHBOUR_ROUTES))
        place.call("ADD", f"eth{number}", vrfname=vrf)
    assert place.vrfs() == {"blue": {"eth0"}, "red": {"eth1"}}
    assert eventually(place.settled) or keep == "1"
    for neighbour in neighbours:
        assert ping(neighbour, "10.1.2.2")
        assert ping(neighbour, "fd00:1::2")
    shown = place.container.run(["ip", "route", "show", "vrf", "red"]).stdout
    for words in ("default via 10.1.2.1", "10.1.2.0/24", "172.21.0.0/16 via 10.8.8.8", "172.20.0.0/16 via 10.9.9.9"):
        assert f"{words} dev eth1" in shown
    assert "via fd00:1::1" in place.container.run(["ip", "-6", "route", "show", "vrf", "red"]).stdout
    assert place.container.run(["ip", "route"]).stdout == ""
    for number, vrf in enumerate(("blue", "red")):
        place.call("CHECK", f"eth{number}", vrfname=vrf, table=number + 1)


def test_the_vrf_goes_with_its_last_port(place: Place) -> None:
    for number in range(2):
        place.connect(f"eth{number}")
        place.call("ADD", f"eth{number}", table=42)
    assert place.vrfs() == {"blue": {"eth0", "eth1"}}
    place.call("DEL")
    assert place.vrfs() == {"blue": {"eth1"}}
    place.call("DEL", netns="")
    place.container.run(["ip", "link", "del", "eth1"])
    for _ in range(2):
        place.call("DEL", "eth1")
        assert place.vrfs() == {}


@pytest.mark.parametrize("keep", ["0", "1"])
def test_a_failed_add_leaves_everything_where_it_was(place: Place, keep: str) -> None:
    place.connect("eth0", keep)
    place.add_routes("eth0")
    before = place.state()
    # a route to whose gateway nothing leads any more
    for words in ("addr add 10.9.9.1/24", "route add 172.22.0.0/16 via 10.9.9.9", "addr del 10.9.9.1/24"):
        place.container.run(["ip", *words.split(), "dev", "eth0"])
    assert place.error("ADD") == "cmdAdd failed: could not add route '172.22.0.0/16': network is unreachable"
    assert place.vrfs() == {}
    assert eventually(place.settled)
    after = place.state()
    assert after == before


@pytest.mark.parametrize("way", OURS)
def test_a_life_with_and_without_an_engine(netns: Callable[[], Any], tmp_path: Path, way: str) -> None:
    caller = Caller(way, netns, tmp_path)
    try:
        place = Place(caller)
        neighbour = place.connect("eth0")
        assert caller.ok("vrf", "ADD", place.config(), place.container.path) == place.config()["prevResult"]
        assert ping(neighbour, "10.1.2.2")
        for command in ("CHECK", "DEL", "DEL"):
            assert caller.ok("vrf", command, place.config(), place.container.path) is None
        assert place.vrfs() == {}
    finally:
        caller.close()


def test_status(place: Place) -> None:
    assert place.call("STATUS", netns="", cniVersion="1.1.0", prevResult=None) is None
    assert place.vrfs() == {}


# --- beside the reference ---------------------------------------------------------------------------------------------


@pytest.fixture
def pair(netns: Callable[[], Any], tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Ours and the reference's."""
    machine = OurMachine(netns, tmp_path)
    yield Place(machine), Place(ReferenceMachine(netns))
    machine.close()


@pytest.mark.parametrize("keys", [{}, {"table": 7}, {"table": 70_000}], ids=["any", "small", "large"])
def test_add_and_del_do_what_the_reference_does(pair: tuple[Place, Place], keys: dict[str, Any]) -> None:
    for each in pair:
        each.connect("eth0")
        each.add_routes("eth0")
    results = [json.dumps(each.call("ADD", **keys)).replace(each.container.path, "NETNS") for each in pair]
    assert results[0] == results[1]
    assert eventually(lambda: all(each.settled() for each in pair))
    ours, reference = (each.state() for each in pair)
    assert ours == reference
    # each removes what the other made
    pair[0].container, pair[1].container = pair[1].container, pair[0].container
    for each in pair:
        each.call("CHECK", **keys)
        each.call("DEL", **keys)
        assert each.vrfs() == {}


REFUSED: dict[str, dict[str, Any]] = {
    "no name": {"vrfname": ""},
    "no previous result": {"prevResult": None},
    "another table": {"vrfname": "old", "table": 6},
    "no vrf": {"vrfname": "br0"},
    "a bad name": {"vrfname": "a/b"},
}


def test_what_the_reference_refuses_is_refused_in_its_words(pair: tuple[Place, Place]) -> None:
    for each in pair:
        each.connect("eth0")
        each.container.run(["ip", "link", "add", "old", "type", "vrf", "table", "5"])
        each.container.run(["ip", "link", "add", "br0", "type", "bridge"])
    before = pair[0].state()
    for name, keys in REFUSED.items():
        assert pair[0].error("ADD", **keys) == pair[1].error("ADD", **keys), name
        assert pair[0].state() == before, name
    for each in pair:
        each.container.run(["ip", "link", "set", "eth0", "master", "br0"])
    assert pair[0].error("ADD") == pair[1].error("ADD")
    assert pair[0].error("CHECK", vrfname="old") == pair[1].error("CHECK", vrfname="old")
