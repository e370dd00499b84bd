"""ipvlan, vlan and dummy against the reference's: what is printed, and what is in the kernel after each command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("link_twins")

from link_twins import V4, V6, LinkSide, ipam, same_life, sides  # noqa: E402

from pycni.kernel.kinds import Ipvlan, Vlan  # noqa: E402

Pair = tuple[LinkSide, LinkSide]
ONE = {"cniVersion": "1.0.0", "interfaces": [{"name": "wan"}], "ips": [{"address": "10.7.7.7/24"}]}
DNS = {"nameservers": ["10.1.2.1"]}
ROUTES = [{"dst": "0.0.0.0/0"}]


@pytest.fixture
def pair(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Pair]:
    ours, theirs, machine = sides(netns, tmp_path, details=False)
    yield ours, theirs
    machine.close()


WORKING: dict[str, tuple[str, dict[str, Any]]] = {
    "ipvlan-dual": ("ipvlan", {"master": "wan", "ipam": ipam(V4, V6, routes=ROUTES), "dns": DNS}),
    "ipvlan-l3": ("ipvlan", {"master": "wan", "mode": "l3", "mtu": 1400, "ipam": ipam(V4)}),
    "ipvlan-l3s-inside": ("ipvlan", {"master": "inner", "mode": "l3s", "linkInContainer": True, "ipam": ipam(V4)}),
    "ipvlan-chained": ("ipvlan", {"master": "wan", "prevResult": ONE, "cniVersion": "1.0.0"}),
    "vlan-dual": ("vlan", {"master": "wan", "vlanId": 7, "ipam": ipam(V4, V6, routes=ROUTES), "dns": DNS}),
    "vlan-0": ("vlan", {"master": "wan", "ipam": ipam(V4), "cniVersion": "0.3.1"}),
    "vlan-4094-inside": ("vlan", {"master": "inner", "vlanId": 4094, "linkInContainer": True, "ipam": ipam(V4)}),
    "vlan-mtu": ("vlan", {"master": "wan", "vlanId": 7, "mtu": 1400, "ipam": ipam(V4)}),
    "dummy-dual": ("dummy", {"ipam": ipam(V4, V6), "dns": DNS}),
}


@pytest.mark.parametrize("name", [name for name in WORKING if name not in ("vlan-0",)])
def test_add_check_and_del_do_what_the_reference_does(pair: Pair, name: str) -> None:
    plugin, config = WORKING[name]
    added = same_life(pair, plugin, config)
    assert [each["name"] for each in added["interfaces"]] == ["eth0"]
    assert added.get("dns") == (DNS if "dns" in config and plugin != "dummy" else None)


def test_an_old_version(pair: Pair) -> None:
    plugin, config = WORKING["vlan-0"]
    added, expected = (side.call(plugin, "ADD", config) for side in pair)
    assert added == expected
    assert added[0] == 0
    assert pair[0].state() == pair[1].state()


def test_an_ipvlan_of_the_default_route_and_of_a_chains_only_interface(pair: Pair) -> None:
    """CHECK and DEL of the reference find no master in these (contract 2.12)."""
    ours, theirs = pair
    before = ours.state()
    for config in ({"ipam": ipam(V4)}, {"prevResult": ONE}):
        added, expected = (side.call("ipvlan", "ADD", config) for side in pair)
        assert added == expected
        assert added[0] == 0, added
        assert pair[0].state() == pair[1].state()
        kept = {key: value for key, value in config.items() if key != "prevResult"}
        assert ours.call("ipvlan", "CHECK", kept) == (0, None)
        assert ours.call("ipvlan", "DEL", kept) == (0, None)
        assert theirs.call("ipvlan", "DEL", {**kept, "master": "wan"}) == (0, None)
    assert ours.state() == theirs.state() == before


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "ipvlan-mode": ("ipvlan", {"master": "wan", "mode": "odd", "ipam": ipam(V4)}),
    "ipvlan-master": ("ipvlan", {"master": "nowhere", "ipam": ipam(V4)}),
    "ipvlan-chain": ("ipvlan", {"prevResult": {**ONE, "interfaces": [{"name": "a"}, {"name": "b"}]}}),
    "ipvlan-chain-unnamed": ("ipvlan", {"prevResult": {**ONE, "interfaces": []}, "mode": "odd"}),
    "ipvlan-without-ipam": ("ipvlan", {"master": "wan"}),
    "ipvlan-name": ("ipvlan", {"master": "wan", "CNI_IFNAME": "inner", "ipam": ipam(V4)}),
    "vlan-without-master": ("vlan", {"vlanId": -1}),
    "vlan-id": ("vlan", {"master": "nowhere", "vlanId": 4095}),
    "vlan-master": ("vlan", {"master": "nowhere", "mtu": -1}),
    "vlan-mtu": ("vlan", {"master": "wan", "mtu": 1501}),
    "vlan-without-ipam": ("vlan", {"master": "wan"}),
    "vlan-ipam": ("vlan", {"master": "wan", "ipam": {"type": "host-local"}}),
    "vlan-name": ("vlan", {"master": "wan", "CNI_IFNAME": "inner", "ipam": ipam(V4)}),
    "dummy-without-ipam": ("dummy", {}),
    "dummy-name": ("dummy", {"CNI_IFNAME": "inner", "ipam": ipam(V4)}),
    "dummy-ipam": ("dummy", {"ipam": {"type": "host-local"}}),
}


def test_what_the_reference_refuses_is_refused_in_its_words(pair: Pair) -> None:
    before = pair[0].state()
    for name, (plugin, keys) in REFUSED.items():
        config = {key: value for key, value in keys.items() if not key.startswith("CNI_")}
        options = {"ifname": keys.get("CNI_IFNAME", "eth0")}
        answers = [side.call(plugin, "ADD", config, **options) for side in pair]
        if name == "vlan-master":  # which one that is, is told by ours alone
            assert answers[0][1].pop("details") == 'master "nowhere"'
        assert answers[0] == answers[1], name
        assert answers[0][0] == 1
        assert pair[0].state() == before, f"{name}: the reference leaves the device after some of these"
        left = pair[1].spaces[0].link("eth0")
        if left is not None:
            pair[1].spaces[0].delete_link(left.index)
        if options["ifname"] == "eth0":
            kept = {key: value for key, value in config.items() if key not in ("prevResult", "ipam")}
            assert pair[0].call(plugin, "DEL", kept) == (0, None), name


def test_a_vlan_that_another_container_has(pair: Pair) -> None:
    config = {"master": "wan", "vlanId": 7, "ipam": ipam(V4)}
    for side in pair:
        assert side.call("vlan", "ADD", config)[0] == 0
    before = pair[0].state()
    answers = [side.call("vlan", "ADD", config, ifname="eth1", container_id="c2") for side in pair]
    # the kernel's own explanation is ours alone
    assert answers[0][1].pop("details") == "8021q: VLAN device already exists"
    assert answers[0] == answers[1] == (1, {"code": 999, "msg": "failed to create vlan: file exists"})
    assert pair[0].state() == before


CHANGES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "mode": ("ipvlan", {"master": "wan"}, {"mode": "l3"}, "Container IPVlan mode l2 does not match expected value: l3"),
    "vlan": ("vlan", {"master": "wan", "vlanId": 7}, {"vlanId": 8}, ""),
    "mtu": ("vlan", {"master": "wan", "vlanId": 7}, {"mtu": 1400}, "1400, current value is 1500"),
    "kind": ("dummy", {}, {}, ""),
}


def test_check_complains_in_the_references_words(pair: Pair) -> None:
    for number, (name, (plugin, keys, change, text)) in enumerate(CHANGES.items()):
        answers = []
        options = {"ifname": f"eth{number}"}
        for side in pair:
            config = {**keys, "ipam": ipam(V4)}
            assert side.call(plugin, "ADD", config, **options)[0] == 0
            checked = plugin if name != "kind" else "vlan"
            change = {"master": "wan"} if name == "kind" else change
            answers.append(side.call(checked, "CHECK", {**config, **change}, **options))
            assert side.call(plugin, "DEL", config, **options)[0] == 0
        if name == "vlan":  # the reference calls it promiscuity
            assert answers[0][1]["msg"] == "Error: VLAN ID of eth1 is 7, configured is 8"
            assert answers[1][1]["msg"] == "Error: Tuning link eth1 configured promisc is 8, current value is 7"
        else:
            assert answers[0] == answers[1], name
            assert answers[0][0] == 1 and text in answers[0][1]["msg"]


def test_a_dummy_that_is_down(pair: Pair) -> None:
    answers = []
    for side in pair:
        assert side.call("dummy", "ADD", {"ipam": ipam(V4)})[0] == 0
        inside = side.spaces[0]
        link = inside.link("eth0")
        assert link is not None
        inside.set_link(link.index, up=False)
        answers.append(side.call("dummy", "CHECK", {"ipam": ipam(V4)}))
    assert answers[0] == answers[1] == (1, {"code": 999, "msg": "Interface eth0 is down"})


def test_del_needs_no_master(pair: Pair) -> None:
    """Unlike the reference's (appendix A.5)."""
    ours = pair[0]
    for plugin, kind in (("ipvlan", Ipvlan()), ("vlan", Vlan(0))):
        assert ours.call(plugin, "ADD", {"master": "wan", "ipam": ipam(V4)}, ifname=plugin)[0] == 0
        link = ours.spaces[0].link(plugin)
        assert link is not None and ours.spaces[0].virtual().kind(link.index) == kind
        assert ours.call(plugin, "DEL", {"master": "nowhere", "ipam": ipam(V4)}, ifname=plugin) == (0, None)
        assert ours.spaces[0].link(plugin) is None
