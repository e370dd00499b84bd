"""What bridge's VLAN keys and macspoofchk mean to containers: frames that arrive, and frames that do not."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from real_machine import ping
from twins import OurMachine

SILENCE = 0.5
"""Seconds to listen for what must not come: the guest is slow."""

ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802)."""

BROADCAST = b"\xff" * 6


class Town:
    """A host whose bridge br0 is joined by containers with addresses 10.9.0.N."""

    def __init__(self, machine: OurMachine) -> None:
        self.machine = machine
        self.added: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {}

    def join(self, name: str, number: int, network: str = "net", **keys: Any) -> Any:
        """A container's namespace, attached with these keys."""
        space = self.machine.make()
        config = {"cniVersion": "1.1.0", "name": network, "type": "bridge", "bridge": "br0", **keys}
        result = self.machine.ok("bridge", "ADD", config, space.path, container_id=name)
        self.added[name] = (space, config, result)
        if number:
            space.run(["ip", "addr", "add", f"10.9.0.{number}/24", "dev", "eth0"])
        return space

    def make_bridge(self) -> None:
        """For CHECK: without an IP address a bridge takes the hardware address of its ports, and changes with them."""
        words = ["address", "0a:00:00:00:00:b0", "type", "bridge", "vlan_filtering", "1"]
        self.machine.host.run(["ip", "link", "add", "br0", *words])

    def call(self, command: str, name: str, **keys: Any) -> Any:
        space, config, result = self.added[name]
        config = {**config, "prevResult": result, **keys}
        return self.machine.call("bridge", command, config, space.path, container_id=name)

    def leave(self, name: str) -> None:
        answer = self.call("DEL", name)
        assert (answer.status, answer.stdout) == (0, b"")

    def vlans(self) -> dict[str, list[dict[str, Any]]]:
        shown = json.loads(self.machine.host.run(["bridge", "-j", "vlan"]).stdout)
        return {each["ifname"]: each["vlans"] for each in shown}

    def port(self, name: str) -> str:
        """The name of a container's bridge port."""
        return str(self.added[name][2]["interfaces"][1]["name"])


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    machine = OurMachine(netns, tmp_path)
    yield Town(machine)
    machine.close()


def tagged(space: Any, vid: int, number: int) -> None:
    """The container itself puts tags on its frames of this VLAN."""
    space.run(["ip", "link", "add", "link", "eth0", "name", f"eth0.{vid}", "type", "vlan", "id", str(vid)])
    space.run(["ip", "addr", "add", f"10.9.0.{number}/24", "dev", f"eth0.{vid}"])
    space.run(["ip", "link", "set", f"eth0.{vid}", "up"])


class Wire:
    """Raw frames at a container's interface."""

    def __init__(self, space: Any, device: str = "eth0") -> None:
        self.socket = space.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.socket.bind((device, ETHERTYPE))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, source: str, text: bytes) -> None:
        self.socket.send(BROADCAST + bytes.fromhex(source.replace(":", "")) + ETHERTYPE.to_bytes(2, "big") + text)

    def heard(self, text: bytes, seconds: float = 5.0) -> bool:
        """Whether such a frame comes in."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0] and self.socket.recv(2048)[14:].startswith(text):
                return True
        return False


def test_containers_meet_in_their_vlan_only(town: Town) -> None:
    red = town.join("red", 1, vlan=100)
    pink = town.join("pink", 2, vlan=100)
    blue = town.join("blue", 3, vlan=200)
    assert ping(red, "10.9.0.2")
    assert not ping(red, "10.9.0.3", SILENCE) and not ping(blue, "10.9.0.2", SILENCE)
    assert ping(pink, "10.9.0.1")


def test_a_trunk_carries_tagged_frames_of_its_vlans_and_untagged_ones_of_its_native(town: Town) -> None:
    red, blue = town.join("red", 1, vlan=100), town.join("blue", 2, vlan=200)
    native, green = town.join("native", 3, vlan=7), town.join("green", 4, vlan=300)
    trunk = town.join("trunk", 0, vlan=7, vlanTrunk=[{"minID": 100, "maxID": 101}, {"id": 200}])
    for vid, number, inside, outside in ((100, 11, red, (blue, green)), (200, 12, blue, (red,))):
        tagged(trunk, vid, number)
        assert ping(inside, f"10.9.0.{number}"), vid
        assert not any(ping(each, f"10.9.0.{number}", SILENCE) for each in outside), vid
        trunk.run(["ip", "link", "del", f"eth0.{vid}"])
    tagged(trunk, 300, 13)
    assert not ping(green, "10.9.0.13", SILENCE), "the trunk does not carry VLAN 300"
    trunk.run(["ip", "link", "del", "eth0.300"])
    trunk.run(["ip", "addr", "add", "10.9.0.14/24", "dev", "eth0"])
    assert ping(native, "10.9.0.14") and not ping(red, "10.9.0.14", SILENCE)


def test_a_trunk_without_vlan_has_vlan_1_untagged(town: Town) -> None:
    plain = town.join("plain", 1, vlanTrunk=[])
    trunk = town.join("trunk", 2, vlanTrunk=[{"id": 5}])
    assert ping(plain, "10.9.0.2")
    assert town.vlans()[town.port("trunk")] == [
        {"vlan": 1, "flags": ["PVID", "Egress Untagged"]},
        {"vlan": 5},
    ]
    assert trunk is not plain


def test_the_kept_default_vlan_lets_untagged_frames_out_but_not_in(town: Town) -> None:
    """A frame that goes out untagged without belonging to the port's own VLAN: what preserveDefaultVlan is about."""
    plain = town.join("plain", 1, vlanTrunk=[])
    keeping = town.join("keeping", 2, vlan=9, preserveDefaultVlan=True)
    strict = town.join("strict", 3, vlan=9)
    with Wire(plain) as sender, Wire(keeping) as kept, Wire(strict) as dropped:
        sender.send("0a:00:00:00:00:07", b"to everybody in 1")
        assert kept.heard(b"to everybody in 1")
        assert not dropped.heard(b"to everybody in 1", SILENCE)
        kept.send("0a:00:00:00:00:08", b"from 9")
        assert dropped.heard(b"from 9")
        assert not sender.heard(b"from 9", SILENCE)


def test_each_vlan_has_its_own_gateway(town: Town) -> None:
    ipam = {"type": "host-local", "dataDir": str(town.machine.directory / "leases")}
    town.make_bridge()
    red = town.join("red", 0, network="red", vlan=100, isDefaultGateway=True, ipam={**ipam, "subnet": "10.8.1.0/24"})
    blue = town.join("blue", 0, network="blue", vlan=200, isDefaultGateway=True, ipam={**ipam, "subnet": "10.8.2.0/24"})
    assert ping(red, "10.8.1.1") and ping(blue, "10.8.2.1")
    assert ping(red, "10.8.2.2"), "routed by the host, not switched by the bridge"
    _, _, result = town.added["red"]
    assert [each["name"] for each in result["interfaces"]] == ["br0", town.port("red"), "eth0", "br0.100"]
    assert town.call("CHECK", "red").status == 0
    # a second container finds the gateway there
    pink = town.join("pink", 0, network="red", vlan=100, isDefaultGateway=True, ipam={**ipam, "subnet": "10.8.1.0/24"})
    assert ping(pink, "10.8.1.1") and ping(pink, "10.8.1.2")
    gateways = [each for each, vlans in town.vlans().items() if vlans == [{"vlan": 100, "flags": [*_ACCESS]}]]
    assert len(gateways) == 3, "two containers and the gateway"


_ACCESS = ("PVID", "Egress Untagged")


def test_check_sees_a_vlan_that_was_taken_away(town: Town) -> None:
    town.join("red", 0, vlan=100, vlanTrunk=[{"id": 5}])
    assert town.call("CHECK", "red").status == 0
    port = town.port("red")
    town.machine.host.run(["bridge", "vlan", "del", "dev", port, "vid", "5"])
    answer = town.call("CHECK", "red")
    assert answer.status == 1
    assert json.loads(answer.stdout)["msg"] == f"bridge port {port} is not in VLAN 5 as configured"
    town.machine.host.run(["bridge", "vlan", "add", "dev", port, "vid", "5"])
    town.machine.host.run(["bridge", "vlan", "add", "dev", port, "vid", "100"])
    assert b"is not in VLAN 100 as configured" in town.call("CHECK", "red").stdout


def test_a_failed_add_leaves_no_gateway(town: Town) -> None:
    town.join("red", 1, vlan=100)
    ipam = {"type": "host-local", "subnet": "10.8.1.0/24", "dataDir": str(town.machine.directory / "leases")}
    config = {"cniVersion": "0.2.0", "name": "net", "type": "bridge", "bridge": "br0", "vlan": 200, "isGateway": True}
    config |= {"ipam": {**ipam, "routes": [{"dst": "10.8.1.7/32", "gw": "192.0.2.1"}]}}
    before = town.vlans()
    town.machine.error("bridge", "ADD", config, town.machine.make().path, container_id="blue")
    assert town.vlans() == before
    config["ipam"] = {
        **ipam,
        "ranges": [[{"subnet": "10.8.3.0/24"}], [{"subnet": "10.8.4.0/24"}]],
        "subnet": "10.8.5.0/24",
    }
    # three addresses of a family are what 0.2.0 cannot say, which shows when everything is made
    error = town.machine.error("bridge", "ADD", config, town.machine.make().path, container_id="blue")
    assert "0.2.0" in error["msg"]
    assert town.vlans() == before


def test_a_gateway_that_a_killed_add_left_half_made_is_finished(town: Town) -> None:
    from pycni.kernel.namespace import NEWBORN_GROUP

    town.join("red", 0, vlan=100)
    host = town.machine.namespace
    bridge = host.link("br0")
    assert bridge is not None
    host.create_veth("vethhalf", "br0.100", host, master=bridge.index, group=NEWBORN_GROUP)
    ipam = {"type": "host-local", "subnet": "10.8.1.0/24", "dataDir": str(town.machine.directory / "leases")}
    pink = town.join("pink", 0, vlan=100, isGateway=True, ipam=ipam)
    assert ping(pink, "10.8.1.1")
    port = host.link("vethhalf")
    assert port is not None and port.group == 0
    # and one that nobody came for is collected
    host.create_veth("vethgone", "br0.101", host, master=bridge.index, group=NEWBORN_GROUP)
    valid = [{"containerID": "pink", "ifname": "eth0"}]
    assert town.call("GC", "pink", **{"cni.dev/valid-attachments": valid}).status == 0
    assert host.link("br0.101") is None and host.link("br0.100") is not None


def test_status_tells_of_a_bridge_that_filters_nothing(town: Town) -> None:
    town.join("red", 0)
    assert town.call("STATUS", "red").status == 0
    answer = town.call("STATUS", "red", vlan=5)
    assert json.loads(answer.stdout)["code"] == 50
    assert 'bridge "br0" does not filter VLANs' in json.loads(answer.stdout)["msg"]


# --- macspoofchk ------------------------------------------------------------------------------------------------------


def _rules(town: Town) -> str:
    return str(town.machine.host.run(["nft", "list", "ruleset"]).stdout)


@pytest.mark.parametrize("keys", [{}, {"vlan": 100}], ids=["plain", "vlan"])
def test_frames_from_another_address_are_dropped(town: Town, keys: Mapping[str, Any]) -> None:
    checked = town.join("checked", 1, macspoofchk=True, **keys)
    trusted = town.join("trusted", 2, **keys)
    own = town.added["checked"][2]["interfaces"][2]["mac"]
    assert ping(checked, "10.9.0.2")
    with Wire(checked) as sender, Wire(trusted) as receiver:
        sender.send("0a:00:00:00:00:66", b"spoofed")
        assert not receiver.heard(b"spoofed", SILENCE)
        sender.send(own, b"honest")
        assert receiver.heard(b"honest")
        receiver.send("0a:00:00:00:00:66", b"unchecked")
        assert sender.heard(b"unchecked")
    checked.run(["ip", "link", "set", "eth0", "address", "0a:00:00:00:00:66"])
    assert not ping(checked, "10.9.0.2", SILENCE)
    checked.run(["ip", "link", "set", "eth0", "address", own])
    assert ping(checked, "10.9.0.2")


def test_the_check_goes_with_its_container(town: Town) -> None:
    town.make_bridge()
    for name, number in (("one", 1), ("two", 2)):
        town.join(name, number, macspoofchk=True)
    assert town.call("CHECK", "one").status == 0
    town.leave("one")
    rules = _rules(town)
    assert "cni-br-iface-one-eth0" not in rules and "cni-br-iface-two-eth0-mac" in rules
    assert town.call("CHECK", "two").status == 0
    town.machine.host.run(["nft", "flush", "chain", "bridge", "nat", "cni-br-iface-two-eth0-mac"])
    answer = town.call("CHECK", "two")
    assert "macspoofchk rule for address" in json.loads(answer.stdout)["msg"]
    # also when the key is gone by then, without the namespace, and again
    space, config, _ = town.added["two"]
    plain = {key: value for key, value in config.items() if key != "macspoofchk"}
    for _ in range(2):
        assert town.machine.call("bridge", "DEL", plain, "", container_id="two").status == 0
    assert "macspoofchk" not in _rules(town)
    assert space.path


def test_what_a_killed_add_left_is_replaced_and_collected(town: Town) -> None:
    town.join("one", 1, macspoofchk=True)
    town.machine.host.run(["ip", "link", "del", town.port("one")])
    one = town.join("one", 1, macspoofchk=True)
    two = town.join("two", 2)
    assert ping(one, "10.9.0.2")
    assert _rules(town).count('comment "macspoofchk-one-eth0"') == 4
    valid = [{"containerID": "two", "ifname": "eth0"}]
    assert town.call("GC", "two", **{"cni.dev/valid-attachments": valid}).status == 0
    assert "macspoofchk" not in _rules(town)
    assert two.path


def test_a_failed_add_leaves_no_rule(town: Town) -> None:
    config = {"cniVersion": "1.1.0", "name": "net", "type": "bridge", "bridge": "br0", "macspoofchk": True}
    config["ipam"] = {"type": "host-local", "subnet": "10.8.1.0/32", "dataDir": str(town.machine.directory / "leases")}
    town.machine.error("bridge", "ADD", config, town.machine.make().path)
    assert "macspoofchk" not in _rules(town)
    assert town.machine.namespace.link("br0") is None
