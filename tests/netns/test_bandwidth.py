"""bandwidth on the real kernel: what passes a bucket, in each direction, and the reference beside it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_callers import OURS, WAYS, Caller
from real_machine import SECONDS, SILENCE, ping
from soon import eventually

IFB = "bwp623e1c388032"
RATE, BURST = 800_000, 80_000
"""A hundred thousand bytes a second: what is sent below would take ten seconds and is sent in a few milliseconds."""

PACKETS = 1000
SIZE = 1000
HEADERS = 42

BOTH = {"ingressRate": 800_000, "ingressBurst": 160_000, "egressRate": 1_600_000, "egressBurst": 80_000}
"""Bits a second, bits."""


class Wire:
    """A caller's host with one container on a veth pair: 10.1.2.1 and, inside, 10.1.2.2."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.host = caller.host
        self.container = caller.make()
        self.host.run(["ip", "link", "add", "veth1", "type", "veth", "peer", "eth0", "netns", self.container.path])
        for space, device, last in ((self.host, "veth1", 1), (self.container, "eth0", 2)):
            space.run(["ip", "addr", "add", f"10.1.2.{last}/24", "dev", device])
            space.run(["ip", "link", "set", device, "up", "mtu", "1400"])

    def config(self, **keys: Any) -> dict[str, Any]:
        interfaces = [{"name": "veth1"}, {"name": "eth0", "sandbox": self.container.path}]
        previous = {"cniVersion": "1.1.0", "interfaces": interfaces}
        return {"cniVersion": "1.1.0", "name": "net", "type": "bandwidth", "prevResult": previous, **keys}

    def call(self, command: str, netns: str | None = None, **keys: Any) -> Any:
        return self.caller.ok(
            "bandwidth", command, self.config(**keys), self.container.path if netns is None else netns
        )

    def error(self, command: str, **keys: Any) -> str:
        return str(self.caller.error("bandwidth", command, self.config(**keys), self.container.path)["msg"])

    def shaping(self) -> list[str]:
        """Buckets, hooks and filters of the host, and its devices; without random numbers."""
        found = []
        for link in json.loads(self.host.run(["ip", "-j", "-d", "link"]).stdout):
            name = link["ifname"]
            flags = sorted(set(link["flags"]) & {"UP"})
            found.append(
                f"{name} {link.get('linkinfo', {}).get('info_kind')} {link['mtu']} {link.get('txqlen')} {flags}"
            )
            found += [
                f"{name} {each}"
                for each in self.host.run(["tc", "-d", "qdisc", "show", "dev", name], check=False).stdout.splitlines()
            ]
            filters = self.host.run(["tc", "filter", "show", "dev", name, "parent", "ffff:"], check=False).stdout
            found += [f"{name} {each.strip()}" for each in filters.splitlines()]
        found = [re.sub(r"refcnt \d+|index \d+ ref \d+ bind \d+", "", each) for each in found]
        return [each for each in found if " " in each.strip()]


@pytest.fixture(params=OURS)
def wire(request: pytest.FixtureRequest, netns: Callable[[], Any], tmp_path: Path) -> Iterator[Wire]:
    caller = Caller(request.param, netns, tmp_path)
    yield Wire(caller)
    caller.close()


def flood(sender: Any, receiver: Any, target: str) -> tuple[int, float]:
    """Sends PACKETS at once; (how many arrive, seconds from the first's departure to the last's arrival)."""
    with receiver.inside():
        incoming = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender.inside():
        outgoing = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with incoming, outgoing:
        incoming.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
        incoming.bind((target, 7000))
        outgoing.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)  # SO_SNDBUFFORCE
        outgoing.connect((target, 7000))
        began = last = time.monotonic()
        for _ in range(PACKETS):
            outgoing.send(bytes(SIZE))
        arrived = 0
        incoming.settimeout(SECONDS)
        while True:
            try:
                incoming.recv(2 * SIZE)
            except TimeoutError:
                return arrived, last - began
            arrived, last = arrived + 1, time.monotonic()
            # at the limited rate one packet follows the other after a hundredth of a second
            incoming.settimeout(SILENCE)


def check_limited(arrived: int, seconds: float) -> None:
    """A token bucket's law: within any time, no more than its burst and what the rate adds in that time."""
    assert arrived * (SIZE + HEADERS) <= BURST / 8 + RATE / 8 * seconds + SIZE + HEADERS
    assert BURST / 8 // (SIZE + HEADERS) <= arrived < PACKETS


@pytest.mark.parametrize("limited", ["ingress", "egress", "both"])
def test_traffic_is_limited_in_the_directions_asked_for(wire: Wire, limited: str) -> None:
    directions = ("ingress", "egress") if limited == "both" else (limited,)
    keys = {f"{each}Rate": RATE for each in directions} | {f"{each}Burst": BURST for each in directions}
    ping(wire.host, "10.1.2.2")
    wire.call("ADD", **keys)
    for direction, sender, receiver, target in (
        ("ingress", wire.host, wire.container, "10.1.2.2"),
        ("egress", wire.container, wire.host, "10.1.2.1"),
    ):
        arrived, seconds = flood(sender, receiver, target)
        if direction in directions:
            check_limited(arrived, seconds)
        else:
            assert arrived == PACKETS
    wire.call("CHECK", **keys)


def test_both_directions_are_reported_and_removed(wire: Wire) -> None:
    before = wire.shaping()
    result = wire.call("ADD", **BOTH)
    mac = wire.host.run(["ip", "-j", "link", "show", IFB]).stdout
    assert result["interfaces"][2:] == [{"name": IFB, "mac": json.loads(mac)[0]["address"]}]
    assert any(each.startswith(f"{IFB} ifb 1400 ") and each.endswith("['UP']") for each in wire.shaping())
    wire.call("CHECK", **BOTH)
    # nothing of the configuration has to be left, nor the namespace
    for _ in range(2):
        wire.call("DEL", netns="")
        wire.host.run(["ip", "link", "del", "veth1"], check=False)
        assert eventually(lambda: wire.shaping() == [each for each in before if not each.startswith("veth1 ")])


def test_two_interfaces_are_limited_each_for_itself(wire: Wire) -> None:
    run, inside = wire.host.run, wire.container.run
    run(["ip", "link", "add", "veth2", "type", "veth", "peer", "eth1", "netns", wire.container.path])
    for command, device, last in ((run, "veth2", 1), (inside, "eth1", 2)):
        command(["ip", "addr", "add", f"10.1.3.{last}/24", "dev", device])
        command(["ip", "link", "set", device, "up"])
    keys = {"egressRate": RATE, "egressBurst": BURST}
    second = {"prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "veth2"}]}}

    def call(command: str, ifname: str, **more: Any) -> None:
        wire.caller.ok("bandwidth", command, wire.config(**keys, **more), wire.container.path, ifname=ifname)

    call("ADD", "eth0")
    call("ADD", "eth1", **second)
    check_limited(*flood(wire.container, wire.host, "10.1.2.1"))
    check_limited(*flood(wire.container, wire.host, "10.1.3.1"))
    call("DEL", "eth0")
    call("CHECK", "eth1", **second)
    check_limited(*flood(wire.container, wire.host, "10.1.3.1"))
    call("DEL", "eth1")
    assert "ifb" not in str(wire.shaping())


def test_a_failed_add_leaves_nothing(wire: Wire) -> None:
    wire.host.run(["tc", "qdisc", "add", "dev", "veth1", "ingress"])
    before = wire.shaping()
    assert wire.error("ADD", **BOTH) == "create ingress qdisc: file exists"
    assert wire.shaping() == before
    wire.host.run(["tc", "qdisc", "del", "dev", "veth1", "ingress"])
    wire.call("ADD", **BOTH)
    before = wire.shaping()
    assert wire.error("ADD", **BOTH) == "create qdisc: file exists"
    assert wire.shaping() == before


def test_check_sees_what_was_changed(wire: Wire) -> None:
    wire.call("ADD", **BOTH)
    assert wire.error("CHECK", **{**BOTH, "egressRate": 8000}) == "Rate doesn't match"
    wire.host.run(["tc", "filter", "del", "dev", "veth1", "parent", "ffff:"])
    assert wire.error("CHECK", **BOTH) == f"what veth1 receives is not led through {IFB}"
    wire.host.run(["tc", "qdisc", "replace", "dev", "veth1", "root", "pfifo"])
    assert wire.error("CHECK", **BOTH) == "Failed to find qdisc"


def test_status_and_gc(wire: Wire) -> None:
    wire.call("ADD", **BOTH)
    assert wire.call("STATUS", netns="", **BOTH) is None
    valid = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    wire.call("GC", netns="", **valid)
    wire.call("CHECK", **BOTH)
    wire.call("GC", netns="", **{"cni.dev/valid-attachments": []})
    assert IFB not in str(wire.shaping())


# --- beside the reference ---------------------------------------------------------------------------------------------


@pytest.fixture
def wires(netns: Callable[[], Any], tmp_path: Path) -> Iterator[dict[str, Wire]]:
    """One host for each way of calling."""
    made = {way: Wire(Caller(way, netns, tmp_path)) for way in WAYS}
    yield made
    for each in made.values():
        each.caller.close()


LIMITS = {
    "both": BOTH,
    "ingress": {"ingressRate": 8000, "ingressBurst": 80_000},
    "egress": {"egressRate": 10**9, "egressBurst": 2**31 - 1},
    "smallest": {"ingressRate": 16, "ingressBurst": 8},
    "beyond 32 bits": {
        "ingressRate": 10**11,
        "ingressBurst": 10**6,
        "egressRate": 1 << 36,
        "egressBurst": 1 << 34,
    },
    "runtime": {"runtimeConfig": {"bandwidth": BOTH}},
    "hidden": {"runtimeConfig": {"bandwidth": BOTH}, "egressrate": 0},
    "none": {},
}


def alike(value: Any, wire: Wire) -> str:
    """Without random hardware addresses and the place of the namespace."""
    text = json.dumps(value, sort_keys=True).replace(wire.container.path, "NETNS")
    return re.sub(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", "MAC", text)


@pytest.mark.parametrize("name", LIMITS)
def test_the_kernel_holds_what_the_reference_makes_it_hold(wires: dict[str, Wire], name: str) -> None:
    results = {way: alike(wire.call("ADD", **LIMITS[name]), wire) for way, wire in wires.items()}
    assert results["engine"] == results["in-process"] == results["reference"]
    held = {way: wire.shaping() for way, wire in wires.items()}
    # its library tells the action twice, of which the first already ends the packet's way
    expected = [each for each in held["reference"] if each != f"veth1 {SECOND_ACTION}"]
    assert held["engine"] == held["in-process"] == expected
    for wire in wires.values():
        wire.call("CHECK", **LIMITS[name])


SECOND_ACTION = f"action order 2: mirred (Egress Redirect to device {IFB}) pass"


@pytest.mark.parametrize("first", ["engine", "in-process"])
def test_each_implementation_removes_and_checks_what_the_other_made(wires: dict[str, Wire], first: str) -> None:
    ours, reference = wires[first], wires["reference"]
    for wire, other in ((ours, reference), (reference, ours)):
        wire.call("ADD", **BOTH)
        assert IFB in str(wire.shaping())
        wire.caller.bin, other.caller.bin = other.caller.bin, wire.caller.bin
        wire.call("CHECK", **BOTH)
        wire.call("DEL", **BOTH)
        assert IFB not in str(wire.shaping())


REFUSED = {
    "rate alone": {"ingressRate": 8},
    "burst alone": {"egressBurst": 8},
    "too much": {"ingressRate": 8, "ingressBurst": 8 << 32},
    "no interfaces": {**BOTH, "prevResult": {"cniVersion": "1.1.0"}},
    "another's": {**BOTH, "prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "veth2"}]}},
    "inside only": {**BOTH, "prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "veth1", "sandbox": "/x"}]}},
    "alone": {**BOTH, "prevResult": None},
}


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_the_reference_refuses_is_refused_in_its_words(wires: dict[str, Wire], name: str, command: str) -> None:
    before = {way: wire.shaping() for way, wire in wires.items()}
    errors = {way: wire.error(command, **REFUSED[name]) for way, wire in wires.items()}
    assert errors["engine"] == errors["in-process"] == errors["reference"]
    assert {way: wire.shaping() for way, wire in wires.items()} == before
