"""macvlan against the reference's: what is printed, and what is in the kernel after each command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("link_twins")

from link_twins import V4, V6, LinkSide, ipam, same_life, sides  # noqa: E402

MAC = "0a:00:00:00:00:01"
ROUTES = [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.0/16", "gw": "10.1.2.9", "priority": 7}]
Pair = tuple[LinkSide, LinkSide]


@pytest.fixture
def pair(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Pair]:
    ours, theirs, machine = sides(netns, tmp_path)
    yield ours, theirs
    machine.close()


WORKING: dict[str, dict[str, Any]] = {
    "layer-2": {"master": "wan"},
    "default-route": {},
    "default-route-inside": {"linkInContainer": True},
    "inside": {"master": "inner", "linkInContainer": True, "ipam": ipam(V4)},
    "private": {"master": "wan", "mode": "private", "mtu": 1400},
    "vepa": {"master": "wan", "mode": "vepa", "mtu": 1500},
    "passthru": {"master": "wan", "mode": "passthru"},
    "queue": {"master": "wan", "mode": "bridge", "bcqueuelen": 77},
    "dual": {"master": "wan", "ipam": ipam(V4, V6, routes=[{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])},
    "routes": {"master": "wan", "ipam": ipam(V4, routes=ROUTES)},
    "dns": {"master": "wan", "ipam": ipam(V4), "dns": {"nameservers": ["10.1.2.1"], "search": ["x"], "domain": "d"}},
    "mac": {"master": "wan", "mac": MAC, "ipam": ipam(V4)},
    "mac-of-runtime": {"master": "wan", "mac": "0a:00:00:00:00:02", "RuntimeConfig": {"mac": MAC}},
    "mac-of-arguments": {"master": "wan", "mac": "0a:00:00:00:00:02", "CNI_ARGS": f"IgnoreUnknown=1;MAC={MAC}"},
    "mac-of-all": {"runtimeConfig": {"mac": MAC}, "CNI_ARGS": "MAC=0a:00:00:00:00:03"},
    "old": {"master": "wan", "cniVersion": "0.4.0", "ipam": ipam(V4, V6)},
}


def split(keys: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Configuration and environment."""
    return (
        {key: value for key, value in keys.items() if not key.startswith("CNI_")},
        {key: value for key, value in keys.items() if key.startswith("CNI_")},
    )


@pytest.mark.parametrize("name", WORKING)
def test_add_check_and_del_do_what_the_reference_does(pair: Pair, name: str) -> None:
    config, environment = split(WORKING[name])
    if name == "default-route-inside":
        for side in pair:
            side.default_route_inside()
    added = same_life(pair, "macvlan", config, **environment)
    assert added["interfaces"][0]["name"] == "eth0"
    if name.startswith("mac"):
        assert added["interfaces"][0]["mac"] == MAC


REFUSED: dict[str, dict[str, Any]] = {
    "no-such-master": {"master": "nowhere"},
    "no-such-master-inside": {"master": "wan", "linkInContainer": True},
    "no-default-route-inside": {"linkInContainer": True},
    "mtu-too-large": {"master": "wan", "mtu": 1501},
    "mtu-negative": {"master": "wan", "mtu": -1, "mode": "odd", "mac": "zz"},
    "arguments-before-mode": {"master": "wan", "mode": "odd", "CNI_ARGS": "BAD=1"},
    "mode-before-mac": {"master": "wan", "mode": "odd", "mac": "zz"},
    "mac": {"master": "wan", "mac": "zz", "ipam": ipam(V4)},
    "mac-multicast": {"master": "wan", "mac": "01:00:00:00:00:01"},
    "on-loopback": {"master": "lo"},
    "name-taken": {"master": "wan", "CNI_IFNAME": "inner", "ipam": ipam(V4)},
    "no-such-ipam": {"master": "wan", "ipam": {"type": "nowhere"}},
    "unknown-argument": {"master": "wan", "ipam": ipam(V4), "CNI_ARGS": f"MAC={MAC}"},
    "layer-2-in-0.2.0": {"master": "wan", "cniVersion": "0.2.0"},
}


MASTERS = {"no-such-master": 'master "nowhere"', "no-such-master-inside": 'master "wan"'}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_reference_refuses_is_refused_in_its_words(pair: Pair, name: str) -> None:
    config, environment = split(REFUSED[name])
    before = pair[0].state()
    options = {"ifname": environment.pop("CNI_IFNAME", "eth0"), **environment}
    (status, ours), (expected_status, theirs) = (side.call("macvlan", "ADD", config, **options) for side in pair)
    assert status == expected_status == 1
    if name == "no-such-ipam":
        assert ours["msg"].startswith('failed to find plugin "nowhere" in path [')
        assert theirs["msg"].startswith('failed to find plugin "nowhere" in path [')
    else:
        # which master that is, is told by ours alone
        assert ours.pop("details", "") == MASTERS.get(name, "")
        assert ours == theirs
    assert pair[0].state() == before, "the reference leaves the device after some of these"
    assert pair[0].call("macvlan", "DEL", {**config, "ipam": {}}, **options) == (0, None)


TAKEN_AWAY = {
    "the interface": ["ip", "link", "del", "eth0"],
    "the mac": ["ip", "link", "set", "eth0", "address", "0a:00:00:00:00:77"],
    "the mode": ["ip", "link", "set", "eth0", "type", "macvlan", "mode", "private"],
    "the address": ["ip", "addr", "del", "10.1.2.2/24", "dev", "eth0"],
    "the route": ["ip", "route", "del", "10.9.0.0/16"],
}


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_check_complains_in_the_references_words(pair: Pair, what: str) -> None:
    config = {"master": "wan", "ipam": ipam(V4, routes=ROUTES)}
    answers = []
    for side in pair:
        assert side.call("macvlan", "ADD", config)[0] == 0
        side.container.run(TAKEN_AWAY[what])
        answers.append(side.call("macvlan", "CHECK", config))
    assert answers[0][0] == answers[1][0] == 1
    if what == "the route":  # the reference prints a Go structure
        assert "not found in routing table" in answers[0][1]["msg"] and "not found in" in answers[1][1]["msg"]
    else:
        assert answers[0] == answers[1]


def test_check_without_and_with_another_result(pair: Pair) -> None:
    config = {"master": "wan"}
    for side in pair:
        assert side.call("macvlan", "ADD", config)[0] == 0
        side.previous = None
    assert pair[0].call("macvlan", "CHECK", config) == pair[1].call("macvlan", "CHECK", config)
    elsewhere = {**config, "prevResult": {"cniVersion": "1.0.0", "interfaces": []}}
    ours, theirs = (side.call("macvlan", "CHECK", elsewhere) for side in pair)
    assert ours == theirs
    assert ours[1]["msg"] == "sandbox in prevResult  doesn't match configured netns: NETNS"
