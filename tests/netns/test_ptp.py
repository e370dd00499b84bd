"""ptp on the real kernel, executed as a runtime does, through an engine and without: traffic, and what stays."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, WAYS, Caller
from real_machine import SILENCE, Greeter, greeting, ping
from soon import eventually

PORT = 7000


class Street:
    """A caller's host, a neighbour outside that has no way back to the containers, and containers on one network."""

    def __init__(self, caller: Caller, data: Path) -> None:
        self.caller = caller
        self.host = caller.host
        self.outside = caller.make()
        self.host.run(["ip", "link", "set", "lo", "up"])
        self.host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "lan", "netns", self.outside.path])
        for space, device, last in ((self.host, "wan", 1), (self.outside, "lan", 2)):
            space.run(["ip", "addr", "add", f"192.0.2.{last}/24", "dev", device])
            space.run(["ip", "addr", "add", f"fd99::{last}/64", "dev", device, "nodad"])
            space.run(["ip", "link", "set", device, "up"])
        self.ipam: dict[str, Any] = {
            "type": "host-local",
            "dataDir": str(data / "leases"),
            "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        }
        self.data = data
        self.results: dict[str, Any] = {}

    def config(self, **keys: Any) -> dict[str, Any]:
        return {"cniVersion": "1.1.0", "name": "net", "type": "ptp", "ipam": self.ipam, **keys}

    def add(self, container_id: str = "c1", **keys: Any) -> Any:
        """A new container; its namespace."""
        space = self.caller.make()
        config = self.config(**keys)
        self.results[container_id] = self.caller.ok("ptp", "ADD", config, space.path, container_id=container_id)
        return space

    def state(self) -> dict[str, Any]:
        """What an attachment could have left on the host."""
        links = json.loads(self.host.run(["ip", "-j", "addr"]).stdout)
        routes = self.host.run(["ip", "route"]).stdout + self.host.run(["ip", "-6", "route"]).stdout
        return {
            "links": [each["ifname"] for each in links],
            "routes": sorted(each.strip() for each in routes.splitlines() if not each.startswith("fe80")),
            "rules": [
                each
                for program in ("iptables-save", "ip6tables-save")
                for each in self.host.run([program, "-t", "nat"]).stdout.splitlines()
                if each.startswith("-A")
            ]
            + [each for each in self.host.run(["nft", "list", "ruleset"]).stdout.splitlines() if "10.1.2" in each],
            "leases": sorted(each.name for each in self.data.rglob("*") if each.name.startswith(("10.", "fd00"))),
        }


@pytest.fixture(params=OURS)
def street(request: pytest.FixtureRequest, netns: Callable[[], Any], tmp_path: Path) -> Iterator[Street]:
    caller = Caller(request.param, netns, tmp_path)
    yield Street(caller, tmp_path)
    caller.close()


def test_containers_reach_the_host_and_each_other_through_it(street: Street) -> None:
    first, second = street.add("c1"), street.add("c2")
    for target in ("10.1.2.1", "fd00:1::1", "10.1.2.3", "fd00:1::3", "192.0.2.1"):
        assert ping(first, target)
    for target in ("10.1.2.2", "fd00:1::2"):
        assert ping(second, target)
        assert ping(street.host, target)
    # through the host, not over a common link
    hops = first.run(["ip", "route", "get", "10.1.2.3"]).stdout
    assert "via 10.1.2.1" in hops
    assert not ping(first, "192.0.2.2", seconds=SILENCE)


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_masquerading(street: Street, backend: str) -> None:
    first = street.add("c1", ipMasq=True, ipMasqBackend=backend)
    second = street.add("c2", ipMasq=True, ipMasqBackend=backend)
    for family, outside, seen in (
        (socket.AF_INET, "192.0.2.2", "192.0.2.1"),
        (socket.AF_INET6, "fd99::2", "fd99::1"),
    ):
        with Greeter(street.outside, family, socket.SOCK_STREAM, PORT):
            assert greeting(first, outside, PORT, socket.SOCK_STREAM) == seen
    # the subnet's own keep their addresses
    with Greeter(second, socket.AF_INET, socket.SOCK_STREAM, PORT):
        assert greeting(first, "10.1.2.3", PORT, socket.SOCK_STREAM) == "10.1.2.2"


def test_an_address_that_is_its_own_subnet(street: Street) -> None:
    ips = [{"address": "10.1.2.9/32", "gateway": "10.1.2.1"}, {"address": "fd00:1::9/128", "gateway": "fd00:1::1"}]
    ipam = {"type": "static", "addresses": ips, "routes": street.ipam["routes"]}
    container = street.add("c1", ipam=ipam)
    for target in ("10.1.2.1", "fd00:1::1", "192.0.2.1", "fd99::1"):
        assert ping(container, target)
    for target in ("10.1.2.9", "fd00:1::9"):
        assert ping(street.host, target)


def test_mtu(street: Street) -> None:
    container = street.add("c1", mtu=1280)
    assert json.loads(container.run(["ip", "-j", "link", "show", "eth0"]).stdout)[0]["mtu"] == 1280
    name = street.results["c1"]["interfaces"][0]["name"]
    assert json.loads(street.host.run(["ip", "-j", "link", "show", name]).stdout)[0]["mtu"] == 1280


@pytest.mark.parametrize("way", ["plain", "no result", "empty netns", "netns gone", "masquerading taken out"])
def test_del_leaves_nothing(street: Street, way: str) -> None:
    street.add("stays", ipMasq=True)
    before = street.state()
    container = street.add("c1", ipMasq=True)
    assert street.state() != before
    config = street.config(ipMasq=way != "masquerading taken out")
    if way != "no result":
        config["prevResult"] = street.results["c1"]
    path = container.path
    if way == "netns gone":
        container.close()
    for _ in range(2):
        street.caller.ok("ptp", "DEL", config, "" if way == "empty netns" else path)
    assert eventually(lambda: street.state() == before)


def test_gc_keeps_the_valid(street: Street) -> None:
    valid = street.add("valid", ipMasq=True)
    before = street.state()
    street.add("invalid", ipMasq=True)
    street.add("gone", ipMasq=True).close()
    listed = {"cni.dev/valid-attachments": [{"containerID": "valid", "ifname": "eth0"}]}
    for _ in range(2):
        street.caller.ok("ptp", "GC", street.config(ipMasq=True, **listed), "")
        assert eventually(lambda: street.state() == before)
    assert ping(valid, "10.1.2.1")


def test_check_and_status(street: Street) -> None:
    container = street.add("c1", ipMasq=True)
    config = street.config(ipMasq=True, prevResult=street.results["c1"])
    street.caller.ok("ptp", "CHECK", config, container.path)
    street.caller.ok("ptp", "STATUS", street.config(ipMasq=True), "")
    for command, text in (
        (["iptables", "-t", "nat", "-F", "POSTROUTING"], ""),
        (["ip", "route", "del", "10.1.2.2/32"], "ptp: no route to 10.1.2.2/32 through host end "),
        (["ip", "addr", "del", "10.1.2.1/32", "dev", config["prevResult"]["interfaces"][0]["name"]], "ptp: host end "),
    ):
        street.host.run(command)
        assert street.caller.error("ptp", "CHECK", config, container.path)["msg"].startswith(text)


def test_a_refused_add_leaves_nothing(street: Street) -> None:
    before = street.state()
    container = street.caller.make()
    taken = street.config(ipMasq=True, mtu=1)
    assert street.caller.error("ptp", "ADD", taken, container.path)["msg"].startswith("failed to make veth pair: ")
    assert street.state() == before
    # undone after everything was made: 0.2.0 cannot tell of two addresses of a family
    refused = street.config(ipMasq=True, cniVersion="0.2.0")
    refused["ipam"] = {**street.ipam, "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.9.0.0/16"}]]}
    assert street.caller.error("ptp", "ADD", refused, container.path)["code"] == 999
    assert street.state() == before


def test_ipv6_does_not_wait(netns: Callable[[], Any], tmp_path: Path) -> None:
    """The reference's ADD ends when duplicate address detection does, a second at least after it began."""
    seconds = {}
    for way in WAYS:
        caller = Caller(way, netns, tmp_path)
        street = Street(caller, tmp_path / way)
        began = time.monotonic()
        container = street.add("c1")
        seconds[way] = time.monotonic() - began
        if way != "reference":
            assert ping(container, "fd00:1::1")
        caller.close()
    assert all(seconds[way] < seconds["reference"] / 2 for way in OURS), seconds
