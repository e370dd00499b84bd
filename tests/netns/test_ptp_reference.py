"""ptp against the reference's binary: what is printed, what is left in the kernel, and that DEL leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_twins import Twin, twins

FOUR = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
SIX = {"type": "host-local", "ranges": [[{"subnet": "fd00:1::/64"}]], "routes": [{"dst": "::/0"}]}
DUAL = {
    "type": "host-local",
    "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.7"}],
}
TWO_SUBNETS = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.9.0.0/16"}]]}

Pair = tuple[Twin, Twin]


@pytest.fixture
def pair(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Pair]:
    with twins(netns, tmp_path) as made:
        yield made


WORKING: dict[str, dict[str, Any]] = {
    "four": {"ipam": FOUR},
    "six": {"ipam": SIX, "mtu": 1400},
    "dual": {"ipam": DUAL, "ipMasq": True, "ipMasqBackend": "iptables"},
    "two-subnets": {"ipam": TWO_SUBNETS},
    "static": {"ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24", "gateway": "10.1.2.1"}]}},
    "gateway-elsewhere": {
        "ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24", "gateway": "192.0.2.1"}]}
    },
    "dns": {"ipam": FOUR, "dns": {"nameservers": ["192.0.2.53"], "search": ["example.org"]}},
    "old": {"ipam": FOUR, "cniVersion": "0.2.0"},
    "middle": {"ipam": DUAL, "cniVersion": "0.4.0"},
}


@pytest.mark.parametrize("name", WORKING)
def test_add_check_and_del_do_what_the_reference_does(pair: Pair, name: str) -> None:
    config = {"type": "ptp", **WORKING[name]}
    before = [side.state() for side in pair]
    added, expected = (side.call("ADD", config) for side in pair)
    assert added == expected
    assert added[0] == 0
    ours, theirs = (side.state() for side in pair)
    assert ours == theirs
    if config.get("cniVersion") != "0.2.0":
        assert [side.call("CHECK", config) for side in pair] == [(0, None)] * 2
    for _ in range(2):
        assert [side.call("DEL", config) for side in pair] == [(0, None)] * 2
    for side, old in zip(pair, before, strict=True):
        after = side.state()
        assert {key: after[key] for key in old if "forward" not in key} == {
            key: value for key, value in old.items() if "forward" not in key
        }
        assert not [name for name in after if name.startswith(("net/10.", "net/fd"))]


REFUSED: dict[str, dict[str, Any]] = {
    "no-ipam": {},
    "no-such-ipam": {"ipam": {"type": "nobody"}},
    "slash": {"ipam": {"type": "a/b"}},
    "no-addresses": {"ipam": {"type": "static"}},
    "ipam-refuses": {"ipam": {"type": "host-local"}},
    "mtu": {"ipam": FOUR, "mtu": 1},
    "backend": {"ipam": FOUR, "ipMasq": True, "ipMasqBackend": "pf"},
    "too-many-for-old": {"ipam": TWO_SUBNETS, "cniVersion": "0.2.0"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_reference_refuses_is_refused_in_its_words(pair: Pair, name: str) -> None:
    config = {"type": "ptp", **REFUSED[name]}
    before = pair[0].state()
    ours, theirs = (side.call("ADD", config) for side in pair)
    if name == "no-such-ipam":
        assert ours[1]["msg"].partition(" [")[0] == theirs[1]["msg"].partition(" [")[0]
    else:
        assert ours == theirs
    assert ours[0] == 1
    after = pair[0].state()
    assert {key: after[key] for key in before if "forward" not in key} == {
        key: value for key, value in before.items() if "forward" not in key
    }


def test_a_taken_name_and_a_missing_namespace(pair: Pair) -> None:
    config = {"type": "ptp", "ipam": FOUR}
    answers = []
    for side in pair:
        side.container.run(["ip", "link", "add", "eth0", "type", "bridge"])
        answers.append([side.call("ADD", config), side.call("ADD", config, netns="/run/netns/none")])
    assert answers[0] == answers[1]


CHANGES: dict[str, list[str]] = {
    "mac": ["ip", "link", "set", "eth0", "address", "0a:00:00:00:00:01"],
    "gone": ["ip", "link", "del", "eth0"],
    "kind": ["sh", "-c", "ip link del eth0; ip link add eth0 type bridge"],
    "address": ["ip", "addr", "del", "10.1.2.2/24", "dev", "eth0"],
    "route": ["ip", "route", "del", "default"],
}


@pytest.mark.parametrize("name", CHANGES)
def test_check_complains_in_the_references_words(pair: Pair, name: str) -> None:
    config = {"type": "ptp", "ipam": FOUR}
    answers = []
    for side in pair:
        side.call("ADD", config)
        if name in ("kind", "gone"):
            side.previous["interfaces"][1]["mac"] = ""
        side.container.run(CHANGES[name])
        answers.append(side.call("CHECK", config))
    ours, theirs = answers
    assert ours[0] == theirs[0] == 1
    if name == "mac":
        assert ours[1]["msg"].split()[:3] == theirs[1]["msg"].split()[:3]
    elif name == "route":
        assert ours[1]["msg"].partition(" ")[0] == theirs[1]["msg"].partition(" ")[0] == "Expected"
    else:
        assert ours == theirs


@pytest.mark.parametrize("first", [0, 1], ids=["ours-then-theirs", "theirs-then-ours"])
def test_each_implementation_removes_what_the_other_made(pair: Pair, first: int, tmp_path: Path) -> None:
    """An upgrade, or a step back."""
    config = {"type": "ptp", "ipam": DUAL, "ipMasq": True, "ipMasqBackend": "iptables"}
    machines = [side.machine for side in pair]
    side = pair[0]
    machines[1].host = side.machine.host
    before = side.state()
    side.machine = machines[first]
    assert side.call("ADD", config)[0] == 0
    side.machine = machines[1 - first]
    assert side.call("CHECK", config) == (0, None)
    assert side.call("DEL", config) == (0, None)
    after = side.state()
    assert {key: after[key] for key in before if "forward" not in key} == {
        key: value for key, value in before.items() if "forward" not in key
    }
    assert not list(tmp_path.rglob("10.1.2.*"))
