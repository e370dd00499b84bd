"""sbr on the real kernel: which way packets go, what DEL leaves, and the reference beside it."""

from __future__ import annotations

import json
import re
import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, WAYS, Caller
from real_machine import SECONDS
from soon import eventually

ADDRESSES = {2: ("10.2.0.2/24", "fd00:2::2/64"), 3: ("10.3.0.2/24", "fd00:3::2/64")}
"""Of the container, by the number of the network: eth0 is in 2, net1 in 3."""


class Crossing:
    """A container in two networks, each with a router of its own, behind which is the same address 192.0.2.1, and
    fd99::1."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.container = caller.make()
        self.routers = {number: caller.make() for number in (2, 3)}
        for space in (self.container, *self.routers.values()):
            # link-local addresses can be used at once
            space.namespace().write_sysctl("net/ipv6/conf/default/accept_dad", "0")
            space.namespace().write_sysctl("net/ipv6/conf/all/accept_dad", "0")
        self.container.run(["ip", "link", "set", "lo", "up"])
        for number, name in ((2, "eth0"), (3, "net1")):
            router = self.routers[number]
            router.run(["ip", "link", "set", "lo", "up"])
            for address in ("192.0.2.1/32", "fd99::1/128"):
                router.run(["ip", "addr", "add", address, "dev", "lo"])
            peer = ["peer", "name", name, "address", f"0a:00:00:00:0{number}:02", "netns", self.container.path]
            router.run(["ip", "link", "add", "r", "address", f"0a:00:00:00:0{number}:01", "type", "veth", *peer])
            self._number(router, "r", [each.replace("2/", "1/") for each in ADDRESSES[number]])
            self._number(self.container, name, ADDRESSES[number])
        for six, prefix in (("-4", "10.{}.0.1"), ("-6", "fd00:{}::1")):
            for number, name in ((2, "eth0"), (3, "net1")):
                way = ["via", prefix.format(number), "dev", name, "metric", str(number)]
                self.container.run(["ip", six, "route", "add", "default", *way])
        self.container.run(["ip", "route", "add", "172.16.0.0/12", "via", "10.3.0.7", "dev", "net1", "mtu", "1300"])
        assert eventually(lambda: "tentative" not in self.container.run(["ip", "addr"]).stdout)

    @staticmethod
    def _number(space: Any, device: str, addresses: Any) -> None:
        for address in addresses:
            space.run(["ip", "addr", "add", address, "dev", device, *(["nodad"] if ":" in address else [])])
        space.run(["ip", "link", "set", device, "up"])

    def config(self, ips: Any = None, **keys: Any) -> dict[str, Any]:
        if ips is None:
            gateways = ("10.3.0.1", "fd00:3::1")
            ips = [
                {"address": address, "gateway": gateway, "interface": 0}
                for address, gateway in zip(ADDRESSES[3], gateways, strict=True)
            ]
        interfaces = [{"name": "net1", "sandbox": self.container.path}]
        previous = {"cniVersion": "1.0.0", "interfaces": interfaces, "ips": ips}
        return {"cniVersion": "1.0.0", "name": "net", "type": "sbr", "prevResult": previous, **keys}

    def call(self, command: str, ips: Any = None, netns: str | None = None, ifname: str = "net1", **keys: Any) -> Any:
        path = self.container.path if netns is None else netns
        return self.caller.ok("sbr", command, self.config(ips, **keys), path, ifname=ifname)

    def state(self) -> list[str]:
        """Rules, and the routes of all tables but what the kernel keeps for itself."""
        found = []
        for family in ("-4", "-6"):
            found += [f"{family} {each}" for each in self.container.run(["ip", family, "rule"]).stdout.splitlines()]
            shown = json.loads(self.container.run(["ip", "-j", family, "route", "show", "table", "all"]).stdout)
            found += sorted(f"{family} {json.dumps(each)}" for each in shown if each.get("table") != "local")
        return [re.sub(r' "flags": \[[^]]*\],?', "", each) for each in found]

    def rules(self) -> str:
        return "".join(str(self.container.run(["ip", family, "rule"]).stdout) for family in ("-4", "-6"))

    def way(self, source: str | None, target: str) -> int | None:
        """The number of the router that a datagram from this source address (None: the kernel's choice) comes to."""
        family = socket.AF_INET6 if ":" in target else socket.AF_INET
        with self.container.inside():
            sender = socket.socket(family, socket.SOCK_DGRAM)
        receivers = {}
        for number, router in self.routers.items():
            with router.inside():
                receivers[socket.socket(family, socket.SOCK_DGRAM)] = number
        try:
            for each in receivers:
                each.bind(("", 7000))
            if source is not None:
                sender.bind((source, 0))
            sender.sendto(b"which way", (target, 7000))
            ready, _, _ = select.select(list(receivers), [], [], SECONDS)
            return receivers[ready[0]] if ready else None
        finally:
            for each in (sender, *receivers):
                each.close()


@pytest.fixture(params=OURS)
def crossing(request: pytest.FixtureRequest, netns: Callable[[], Any], tmp_path: Path) -> Iterator[Crossing]:
    caller = Caller(request.param, netns, tmp_path)
    yield Crossing(caller)
    caller.close()


def test_packets_leave_through_their_address_own_interface(crossing: Crossing) -> None:
    for source, target in (("10.3.0.2", "192.0.2.1"), ("fd00:3::2", "fd99::1")):
        assert crossing.way(source, target) == 2
    result = crossing.call("ADD")
    assert result == crossing.config()["prevResult"]
    for number, prefixes in ADDRESSES.items():
        for prefix, target in zip(prefixes, ("192.0.2.1", "fd99::1"), strict=True):
            assert crossing.way(prefix.partition("/")[0], target) == number
    assert crossing.way(None, "192.0.2.1") == crossing.way(None, "fd99::1") == 2
    assert "net1" not in crossing.container.run(["ip", "route"]).stdout
    crossing.call("CHECK")


def test_with_source_hints_neighbours_are_reached_without_a_source(crossing: Crossing) -> None:
    crossing.call("ADD", addSourceHints=True)
    for target, source in (("10.3.0.1", "10.3.0.2"), ("fd00:3::1", "fd00:3::2")):
        assert crossing.way(None, target) == 3
        assert f"src {source}" in crossing.container.run(["ip", "route", "get", target]).stdout
    assert crossing.way("10.3.0.2", "192.0.2.1") == 3
    main = crossing.container.run(["ip", "route", "show", "dev", "net1"]).stdout.split("\n")
    assert [each.strip() for each in main if each] == ["10.3.0.0/24 scope link src 10.3.0.2"]


def test_a_table_of_the_operators(crossing: Crossing) -> None:
    before = crossing.state()
    crossing.container.run(["ip", "route", "add", "default", "via", "10.3.0.1", "dev", "net1", "table", "1000"])
    with_table = crossing.state()
    for _ in range(2):
        crossing.call("ADD", table=1000)
    assert crossing.rules().count("lookup 1000") == 2
    assert crossing.way("10.3.0.2", "192.0.2.1") == 3
    crossing.call("CHECK", table=1000)
    for _ in range(2):
        crossing.call("DEL", table=1000)
        assert crossing.state() == with_table != before


@pytest.mark.parametrize("hinting", [False, True])
def test_a_failed_add_leaves_everything_where_it_was(crossing: Crossing, hinting: bool) -> None:
    before = crossing.state()
    lost = {"address": "10.3.0.99/32", "gateway": "10.77.0.1"}
    config = crossing.config([*crossing.config()["prevResult"]["ips"], lost], addSourceHints=hinting)
    path = crossing.container.path
    error = crossing.caller.error("sbr", "ADD", config, path, ifname="net1")
    assert error["msg"] == "Failed to add default route to 10.77.0.1: network is unreachable"
    assert crossing.state() == before
    # and one whose result cannot be said when all is done
    config = crossing.config([{"address": "10.3.0.2/24", "gateway": "10.3.0.1"}], addSourceHints=hinting)
    config["prevResult"] |= {"routes": [{"dst": "10.0.0.0/8", "gw": "bad"}]}
    crossing.caller.error("sbr", "ADD", config, path, ifname="net1")
    assert crossing.state() == before


def test_del_forgives_and_leaves_nothing(crossing: Crossing, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for netns in ("", str(gone)):
        crossing.call("DEL", netns=netns)
    assert not gone.exists()
    crossing.call("DEL", ifname="nosuch")
    plain = crossing.rules()
    crossing.call("ADD")
    for _ in range(2):
        crossing.call("DEL")
        assert crossing.rules() == plain
        assert "net1" not in str(crossing.state())


@pytest.mark.parametrize("lost", [["addr", "flush", "dev", "net1"], ["link", "del", "net1"]])
def test_del_removes_the_rules_of_addresses_that_are_gone(crossing: Crossing, lost: list[str]) -> None:
    plain = crossing.rules()
    crossing.call("ADD")
    assert crossing.rules() != plain
    crossing.container.run(["ip", *lost])
    crossing.call("DEL")
    assert crossing.rules() == plain


def test_runs_at_the_same_time_choose_different_tables(crossing: Crossing) -> None:
    numbers = range(10, 18)
    for number in numbers:
        crossing.container.run(["ip", "addr", "add", f"10.3.0.{number}/24", "dev", "net1"])
    environment = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": crossing.container.path,
        "CNI_IFNAME": "net1",
        "CNI_PATH": str(crossing.caller.bin),
    }
    command = [*crossing.caller.within, str(crossing.caller.bin / "sbr")]
    running = []
    for number in numbers:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        assert process.stdin is not None
        process.stdin.write(json.dumps(crossing.config([{"address": f"10.3.0.{number}/24"}])).encode())
        process.stdin.close()
        running.append(process)
    for process in running:
        assert process.wait(60) == 0
        assert process.stdout is not None
        process.stdout.close()
    tables = re.findall(r"from 10\.3\.0\.\d+ lookup (\d+)", crossing.rules())
    assert sorted(map(int, tables)) == list(range(100, 108))


# --- beside the reference ---------------------------------------------------------------------------------------------


@pytest.fixture
def crossings(netns: Callable[[], Any], tmp_path: Path) -> Iterator[dict[str, Crossing]]:
    """One host for each way of calling."""
    made = {way: Crossing(Caller(way, netns, tmp_path)) for way in WAYS}
    yield made
    for each in made.values():
        each.caller.close()


FOUR = {"address": "10.3.0.2/24", "gateway": "10.3.0.1"}
SIX = {"address": "fd00:3::2/64", "gateway": "fd00:3::1"}
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "both": (None, {}),
    "ipv4": ([FOUR], {}),
    "ipv6": ([SIX], {}),
    "without gateways": ([{"address": "10.3.0.2/24"}, {"address": "fd00:3::2/64"}], {}),
    "another's address": ([FOUR, {**SIX, "interface": 0}], {}),
    "a wider subnet": ([{"address": "10.3.0.2/8", "gateway": "10.3.0.1"}], {}),
    "a table": (None, {"table": 7}),
    "a large table": (None, {"table": 70_000}),
}


@pytest.mark.parametrize("name", CASES)
def test_tables_and_rules_are_the_references(crossings: dict[str, Crossing], name: str) -> None:
    ips, keys = CASES[name]
    results = [
        json.dumps(each.call("ADD", ips, **keys)).replace(each.container.path, "NETNS") for each in crossings.values()
    ]
    assert len(set(results)) == 1
    states = {way: each.state() for way, each in crossings.items()}
    assert states["engine"] == states["in-process"] == states["reference"]
    for each in crossings.values():
        each.call("DEL", ips, **keys)
    rules = {each.rules() for each in crossings.values()}
    assert len(rules) == 1 and "from 10.3" not in rules.pop()


@pytest.mark.parametrize("way", OURS)
def test_each_implementation_removes_what_the_other_made(crossings: dict[str, Crossing], way: str) -> None:
    ours, reference = crossings[way], crossings["reference"]
    plain = ours.rules()
    for crossing, other in ((ours, reference), (reference, ours)):
        crossing.call("ADD")
        assert crossing.rules() != plain
        crossing.caller.bin, other.caller.bin = other.caller.bin, crossing.caller.bin
        crossing.call("CHECK")
        crossing.call("DEL")
        assert crossing.rules() == plain
