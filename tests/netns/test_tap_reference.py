"""tap against the reference's: what is printed, and what is in the kernel after each command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("link_twins")

from link_twins import V4, V6, LinkSide, ipam, same_life, sides  # noqa: E402

MAC = "0a:00:00:00:00:01"
Pair = tuple[LinkSide, LinkSide]


@pytest.fixture
def pair(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Pair]:
    ours, theirs, machine = sides(netns, tmp_path)
    yield ours, theirs
    machine.close()


WORKING: dict[str, dict[str, Any]] = {
    "layer-2": {},
    "addresses": {"ipam": ipam(V4, V6, routes=[{"dst": "0.0.0.0/0"}]), "mac": MAC, "dns": {"domain": "d"}},
    "owner": {"owner": 5},
    "group": {"group": 6, "mtu": 1400},
    "owner-and-group": {"owner": 5, "group": 6},
    "queues": {"multiQueue": True, "mtu": 9000, "runtimeConfig": {"mac": MAC}},
    "queues-of-owner-and-group": {"multiQueue": True, "owner": 0, "group": 0, "ipam": ipam(V4)},
    "port": {"bridge": "br0", "CNI_ARGS": f"MAC={MAC}"},
}


@pytest.mark.parametrize("name", WORKING)
def test_add_check_and_del_do_what_the_reference_does(pair: Pair, name: str) -> None:
    config = dict(WORKING[name])
    environment = {"CNI_ARGS": config.pop("CNI_ARGS")} if "CNI_ARGS" in config else {}
    if name == "port":
        for side in pair:
            side.container.run(["ip", "link", "add", "br0", "address", "0a:00:00:00:00:b0", "type", "bridge"])
    same_life(pair, "tap", config, **environment)


REFUSED: dict[str, dict[str, Any]] = {
    "no-such-bridge": {"bridge": "br0"},
    "no-bridge": {"bridge": "inner"},
    "owner-is-none": {"owner": 4294967295, "group": 1},
    "mac": {"owner": 1, "group": 1, "mac": "zz"},
    "arguments": {"mac": "zz", "CNI_ARGS": "BAD=1"},
    "context": {"selinuxContext": "a:b:c:s0"},
    "layer-2-in-0.2.0": {"cniVersion": "0.2.0"},
}
OWN_WORDS = {
    "owner-is-none": "failed to create tap: set its owner: invalid argument",
    "context": "failed set socket label: write /proc/thread-self/attr/exec: invalid argument",
}
"""Where the reference names an ioctl, or a path in Go's own way."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_reference_refuses_is_refused_in_its_words(pair: Pair, name: str) -> None:
    config = dict(REFUSED[name])
    environment = {"CNI_ARGS": config.pop("CNI_ARGS")} if "CNI_ARGS" in config else {}
    before = pair[0].state()
    (status, ours), (expected_status, theirs) = (side.call("tap", "ADD", config, **environment) for side in pair)
    assert status == expected_status == 1
    if name in OWN_WORDS:
        assert ours == {"code": 999, "msg": OWN_WORDS[name]}
        assert theirs["msg"].endswith("invalid argument")
    else:
        assert ours == theirs
    assert pair[0].state() == before, "the reference leaves the device after some of these"
    removed, expected = (side.call("tap", "DEL", config, **environment) for side in pair)
    assert removed == expected


def test_an_interface_that_is_there_is_not_taken_for_a_success(pair: Pair) -> None:
    """The reference reports the old device, and leaves the new one under its temporary name."""
    ours, theirs = pair
    before = ours.state()
    assert ours.call("tap", "ADD", {}, ifname="inner") == (
        1,
        {"code": 999, "msg": 'failed to rename tap to "inner": file exists'},
    )
    assert ours.state() == before
    assert theirs.call("tap", "ADD", {}, ifname="inner")[0] == 0


def test_mtu_and_mac_hold_also_with_owner_and_group(pair: Pair) -> None:
    """The reference's path of ioctls forgets them."""
    ours, theirs = pair
    config = {"owner": 5, "group": 6, "mtu": 1400, "mac": MAC}
    found = []
    for side in (ours, theirs):
        assert side.call("tap", "ADD", config)[0] == 0
        found.append(json.loads(side.container.run(["ip", "-j", "link", "show", "eth0"]).stdout)[0])
    assert (found[0]["mtu"], found[0]["address"]) == (1400, MAC)
    assert (found[1]["mtu"], found[1]["address"] == MAC) == (1500, False)
    assert ours.previous["interfaces"][0]["mac"] == MAC


def test_check_complains_in_the_references_words(pair: Pair) -> None:
    answers = []
    for side in pair:
        assert side.call("tap", "ADD", {"ipam": ipam(V4)})[0] == 0
        side.container.run(["ip", "link", "del", "eth0"])
        answers.append(side.call("tap", "CHECK", {"ipam": ipam(V4)}))
    assert answers[0] == answers[1]
    assert answers[0][1]["msg"] == "Cannot find container link eth0"
