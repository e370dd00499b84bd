"""bridge's VLAN keys and macspoofchk against the reference's: what is printed, and what is left in the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twins import OurMachine, ReferenceMachine, Side

MAC = "0a:00:00:00:00:01"
IPAM4 = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}]]}
DUAL = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]}

Pair = tuple[Side, Side]


@pytest.fixture
def sides(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Pair]:
    machine = OurMachine(netns, tmp_path)
    yield Side(machine, tmp_path / "ours"), Side(ReferenceMachine(netns), tmp_path / "theirs")
    machine.close()


WORKING: dict[str, dict[str, Any]] = {
    "access": {"vlan": 100},
    "access-default-kept": {"vlan": 100, "preserveDefaultVlan": True, "hairpinMode": True},
    "access-vlan-1": {"vlan": 1},
    "access-4094-promiscuous": {"vlan": 4094, "promiscMode": True},
    "gateway": {"vlan": 100, "isGateway": True, "mtu": 1400, "ipam": IPAM4},
    "gateway-dual-default": {"vlan": 100, "isDefaultGateway": True, "preserveDefaultVlan": True, "ipam": DUAL},
    "addresses-without-gateway": {"vlan": 100, "ipam": IPAM4},
    "trunk": {"vlanTrunk": [{"id": 30}, {"minID": 10, "maxID": 13}, {}]},
    "trunk-native": {"vlan": 7, "vlanTrunk": [{"minID": 5, "maxID": 6, "id": 9}]},
    "trunk-over-native": {"vlan": 7, "vlanTrunk": [{"minID": 6, "maxID": 8}], "preserveDefaultVlan": True},
    "trunk-with-1": {"vlanTrunk": [{"minID": 1, "maxID": 4094}], "preserveDefaultVlan": True},
    "trunk-empty": {"vlanTrunk": []},
    "spoofcheck": {"macspoofchk": True},
    "spoofcheck-vlan-dual": {"macspoofchk": True, "vlan": 5, "isGateway": True, "ipam": DUAL},
    "container-down": {"disableContainerInterface": True, "vlan": 3},
    "isolated-port": {"portIsolation": True, "macspoofchk": True},
}


@pytest.mark.parametrize("name", WORKING)
def test_add_check_and_del_do_what_the_reference_does(sides: Pair, name: str) -> None:
    config = {"bridge": "br0", "runtimeConfig": {"mac": MAC}, **WORKING[name]}
    ours, theirs = sides
    added, expected = (side.call("ADD", config) for side in sides)
    assert added == expected
    assert added[0] == 0
    assert ours.state() == theirs.state()
    # the reference's fails on what has no IPAM (appendix A.6)
    assert ours.call("CHECK", config) == (theirs.call("CHECK", config) if "ipam" in config else (0, None))
    for _ in range(2):
        assert ours.call("DEL", config) == theirs.call("DEL", config) == (0, None)
    assert ours.state() == theirs.state()
    assert sum(each.get("master") == "br0" for each in ours.links()) == len(added[1]["interfaces"]) - 3


REFUSED: dict[str, dict[str, Any]] = {
    "vlan-before-arguments": {"vlan": 4095, "CNI_ARGS": "BAD=1"},
    "negative": {"vlan": -1},
    "trunk-order": {"vlanTrunk": [{"minID": 5, "maxID": 3, "id": 0}]},
    "trunk-range": {"vlanTrunk": [{"minID": 0, "maxID": 4095}]},
    "trunk-maximum": {"vlanTrunk": [{"minID": 1, "maxID": 4095}]},
    "trunk-single": {"vlanTrunk": [{"id": 4095}]},
    "trunk-half": {"vlanTrunk": [{"minID": 9999, "id": 0}]},
    "trunk-other-half": {"vlanTrunk": [{"id": 7}, {"maxID": 7}]},
    "ipam-before-hairpin": {
        "disableContainerInterface": True,
        "hairpinMode": True,
        "promiscMode": True,
        "ipam": IPAM4,
    },
    "gateway-name-too-long": {"bridge": "br0123456789a", "vlan": 100, "isGateway": True, "ipam": IPAM4},
    "spoofcheck-long-id": {"macspoofchk": True, "CNI_CONTAINERID": "c" * 240},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_reference_refuses_is_refused_in_its_words(sides: Pair, name: str) -> None:
    config = {"bridge": "br0", **REFUSED[name]}
    environment = {key: config.pop(key) for key in list(config) if key.startswith("CNI_")}
    (status, ours), (expected_status, theirs) = (side.call("ADD", config, **environment) for side in sides)
    assert status == expected_status == 1
    assert ours["code"] == theirs["code"]
    if name == "spoofcheck-long-id":  # nft puts its whole complaint, with the command, into it
        assert ours["msg"].startswith("failed to setup spoof-check: ")
        assert theirs["msg"].startswith("failed to setup spoof-check: ")
        assert ours["msg"].partition(": ")[2] in theirs["msg"]  # nft's words
    else:
        assert ours == theirs
    assert [each["ifname"] for each in sides[0].links()] == ["lo"]


def test_a_gateway_address_in_the_way(sides: Pair) -> None:
    config = {"bridge": "br0", "vlan": 9, "isGateway": True, "ipam": IPAM4}
    answers = []
    for side in sides:
        side.machine.host.run(["ip", "link", "add", "br0.9", "type", "veth", "peer", "name", "other"])
        side.machine.host.run(["ip", "addr", "add", "10.1.2.200/24", "dev", "br0.9"])
        answers.append(side.call("ADD", config))
    assert answers[0] == answers[1]
    assert answers[0][1]["msg"].endswith('"br0.9" already has an IP address different from 10.1.2.1/24')
    assert [each["ifname"] for each in sides[0].links()] == ["lo", "other", "br0.9"]
    for side in sides:
        side.container = side.machine.make()
    ours, theirs = (side.call("ADD", {**config, "forceAddress": True}) for side in sides)
    assert ours == theirs
    assert ours[0] == 0


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_each_implementation_removes_what_the_other_made(netns: Callable[[], Any], tmp_path: Path, first: str) -> None:
    """An upgrade, or a step back."""
    config = {"bridge": "br0", "macspoofchk": True, "vlan": 5, "isGateway": True, "ipam": IPAM4}
    machine = OurMachine(netns, tmp_path)
    side = Side(machine, tmp_path / "leases")
    reference = ReferenceMachine(netns, machine.host)
    makes, removes = (machine, reference) if first == "ours" else (reference, machine)
    side.machine = makes
    assert side.call("ADD", config)[0] == 0
    side.machine = removes
    assert side.call("CHECK", config) == (0, None)
    assert side.call("DEL", config) == (0, None)
    rules = machine.host.run(["nft", "list", "table", "bridge", "nat"]).stdout
    assert "PREROUTING" in rules
    assert "cni-br-iface" not in rules and "macspoofchk" not in rules
    assert sum(each.get("master") == "br0" for each in side.links()) == 1, "only the gateway's"
    machine.close()
