"""Two hosts side by side, each with a wire to a neighbour of its own, on one our plugins and on the other the
reference's: what is printed and what is left of an attachment by one device, comparable.  Used in tests/netns and
tests/vm, where `real_machine` and `reference_plugins` can be imported; few processes, because the guest is slow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from real_machine import RealMachine
from vm.twins import ReferenceMachine, alike

from pycni.kernel.model import Route
from pycni.spec.address import Address, Prefix

MASTER_MAC = bytes.fromhex("0a00000000b1")
INNER_MAC = bytes.fromhex("0a00000000b2")
V4 = [{"subnet": "10.1.2.0/24"}]
V6 = [{"subnet": "fd00:1::/64"}]
DEFAULT = Prefix.parse("0.0.0.0/0")
_MEANT = 0x1 | 0x80 | 0x100 | 0x200
"""IFF_UP, IFF_NOARP, IFF_PROMISC, IFF_ALLMULTI; carriers are told a moment later."""


def ipam(*ranges: Any, **keys: Any) -> dict[str, Any]:
    return {"type": "host-local", "ranges": list(ranges), **keys}


class WiredMachine(RealMachine):
    """Its `wan` and its neighbour's `lan` are two ends of a wire; the default route goes there."""

    def _wire(self) -> None:
        wire(self.host, self.outside)


def wire(host: Any, outside: Any) -> None:
    near, far = host.namespace(), outside.namespace()
    wan, lan = near.create_veth("wan", "lan", far)
    near.set_link(wan.index, mac=MASTER_MAC)
    far.configure(lan.index, [Prefix.parse("192.0.2.2/24"), Prefix.parse("fd99::2/64")], ())
    near.configure(wan.index, [Prefix.parse("192.0.2.1/24")], [Route(DEFAULT, Address.parse("192.0.2.2"))])


class LinkSide:
    """One host and its container, in which there is a device `inner` besides."""

    def __init__(self, machine: RealMachine | ReferenceMachine, data: Path, details: bool) -> None:
        self.machine = machine
        self.data = data
        self.details = details
        self.container = machine.make()
        self.previous: Any = None
        inside = self.container.namespace()
        # duplicate address detection takes seconds, and is the kernel's work on both sides
        inside.write_sysctl("net/ipv6/conf/default/accept_dad", "0")
        outer, inner = inside.create_veth("outer", "inner", inside, mac=INNER_MAC)
        inside.set_link(outer.index, mac=bytes.fromhex("0a00000000b3"))
        inside.configure(inner.index, [Prefix.parse("198.51.100.1/24")], ())
        self.spaces = inside, machine.host.namespace()

    def default_route_inside(self) -> None:
        inside = self.spaces[0]
        inner = inside.link("inner")
        assert inner is not None
        inside.configure(inner.index, (), [Route(DEFAULT, Address.parse("198.51.100.2"))])

    def call(self, plugin: str, command: str, config: Mapping[str, Any], **options: str) -> tuple[int, Any]:
        """Exit status and what was printed, with what differs by chance written alike; the result of an ADD is handed
        on to what follows."""
        config = {"cniVersion": "1.0.0", "name": "net", "type": plugin, **config}
        if "type" in config.get("ipam", {}):
            config["ipam"] = {**config["ipam"], "dataDir": str(self.data)}
        if "prevResult" in config:
            config["prevResult"] = json.loads(json.dumps(config["prevResult"]).replace("NETNS", self.container.path))
        elif self.previous is not None and command in ("CHECK", "DEL"):
            config["prevResult"] = self.previous
        answer = self.machine.call(plugin, command, config, self.container.path, **options)
        if command == "ADD" and answer.status == 0:
            self.previous = json.loads(answer.stdout)
        text = answer.stdout.decode().replace(self.container.path, "NETNS")
        return answer.status, json.loads(alike(text)) if text else None

    def state(self) -> str:
        """Devices with addresses and sysctls, routes, and lease files."""
        lines = [line for space in self.spaces for line in _shown(space)]
        inside = self.spaces[0]
        for name in sorted(each.name for each in inside.links()):
            for path in ("ipv4/conf/{}/arp_notify", "ipv6/conf/{}/ndisc_notify", "ipv6/conf/{}/keep_addr_on_down"):
                lines.append(f"{path.format(name)} {inside.read_sysctl('net/' + path.format(name))}")
        lines += sorted(f"{each.relative_to(self.data)} {each.read_text()}" for each in self.data.rglob("[0-9f]*"))
        if self.details:
            links = json.loads(self.container.run(["ip", "-j", "-d", "link"]).stdout)
            lines += sorted(json.dumps([each["ifname"], each.get("linkinfo")]) for each in links)
        return alike("\n".join(lines))


def _shown(space: Any) -> list[str]:
    names = {each.index: each.name for each in space.links()}
    shown = []
    for link in space.links():
        parent = "elsewhere" if link.link_netns is not None else names.get(link.link, "")
        addresses = [
            f"{each.prefix} {each.scope} {each.flags}"
            for each in space.addresses(link.index)
            if not each.prefix.address.is_link_local
        ]
        about = link.kind, link.mtu, link.mac.hex(":"), link.flags & _MEANT, names.get(link.master), link.txqlen
        shown.append(f"{link.name} on {parent}: {about} {space.virtual().kind(link.index)} {sorted(addresses)}")
    for route in (*space.routes(4, None), *space.routes(6, None)):
        # those of link-local addresses come with a carrier
        if not route.destination.address.is_link_local and str(route.destination) != "ff00::/8":
            shown.append(f"{names[route.device]} {route.replace(device=0)!r}")
    return sorted(shown)


def sides(make: Callable[[], Any], tmp_path: Path, details: bool = True) -> tuple[LinkSide, LinkSide, RealMachine]:
    """Ours, the reference's, and the machine to be closed.  With `details` iproute2 is asked for all it knows."""
    machine = WiredMachine(make, tmp_path)
    theirs = ReferenceMachine(make)
    wire(theirs.host, make())
    return LinkSide(machine, tmp_path / "ours", details), LinkSide(theirs, tmp_path / "theirs", details), machine


def same_life(pair: tuple[LinkSide, LinkSide], plugin: str, config: Mapping[str, Any], **options: str) -> Any:
    """ADD, CHECK, and DEL twice, equal on both sides; what ADD printed."""
    ours, theirs = pair
    before = ours.state()
    assert before == theirs.state()
    added, expected = (side.call(plugin, "ADD", config, **options) for side in pair)
    assert added == expected
    assert added[0] == 0, added
    assert ours.state() == theirs.state()
    checked = {key: value for key, value in config.items() if key != "prevResult"}
    answers = [side.call(plugin, "CHECK", checked, **options) for side in pair]
    assert answers == [(0, None)] * 2
    for _ in range(2):
        answers = [side.call(plugin, "DEL", config, **options) for side in pair]
        assert answers == [(0, None)] * 2
    assert ours.state() == theirs.state() == before
    return added[1]
