"""Two hosts side by side, each with a wire to a neighbour of its own, on one our plugins and on the other the
reference's: what is printed and what is left of an attachment by one device, comparable.  Used in tests/netns and
tests/vm, where `real_machine` and `reference_plugins` can be imported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from real_machine import RealMachine
from vm.twins import ReferenceMachine, alike

MASTER_MAC = "0a:00:00:00:00:b1"
INNER_MAC = "0a:00:00:00:00:b2"
V4 = [{"subnet": "10.1.2.0/24"}]
V6 = [{"subnet": "fd00:1::/64"}]


def ipam(*ranges: Any, **keys: Any) -> dict[str, Any]:
    return {"type": "host-local", "ranges": list(ranges), **keys}


class WiredMachine(RealMachine):
    """Its `wan` and its neighbour's `lan` are two ends of a wire; the default route goes there."""

    def _wire(self) -> None:
        wire(self.host, self.outside)


def wire(host: Any, outside: Any) -> None:
    words = ["wan", "address", MASTER_MAC, "type", "veth", "peer", "name", "lan", "netns", outside.path]
    host.run(["ip", "link", "add", *words])
    host.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "wan"])
    outside.run(["ip", "addr", "add", "192.0.2.2/24", "dev", "lan"])
    outside.run(["ip", "link", "set", "lan", "up"])
    host.run(["ip", "link", "set", "wan", "up"])
    host.run(["ip", "route", "add", "default", "via", "192.0.2.2"])


class LinkSide:
    """One host and its container, in which there is a device `inner` with a default route of its own."""

    def __init__(self, machine: RealMachine | ReferenceMachine, data: Path) -> None:
        self.machine = machine
        self.data = data
        self.container = machine.make()
        self.previous: Any = None
        # duplicate address detection takes seconds, and is the kernel's work on both sides
        self.container.namespace().write_sysctl("net/ipv6/conf/default/accept_dad", "0")
        words = ["inner", "address", INNER_MAC, "type", "veth", "peer", "name", "outer"]
        self.container.run(["ip", "link", "add", *words])
        for name in ("outer", "inner"):
            self.container.run(["ip", "link", "set", name, "up"])
        self.container.run(["ip", "addr", "add", "198.51.100.1/24", "dev", "inner"])

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
        lines = []
        for space in (self.container, self.machine.host):
            links = json.loads(space.run(["ip", "-j", "-d", "addr"]).stdout)
            lines += sorted(json.dumps(_shown(each)) for each in links)
            lines += sorted(_routes(space))
        namespace = self.container.namespace()
        for name in sorted(each.name for each in namespace.links()):
            for path in ("ipv4/conf/{}/arp_notify", "ipv6/conf/{}/ndisc_notify", "ipv6/conf/{}/keep_addr_on_down"):
                lines.append(f"{path.format(name)} {namespace.read_sysctl('net/' + path.format(name))}")
        lines += sorted(f"{each.relative_to(self.data)} {each.read_text()}" for each in self.data.rglob("[0-9f]*"))
        return alike("\n".join(lines))


def _shown(link: Mapping[str, Any]) -> Any:
    info = link.get("linkinfo", {})
    return {
        "name": link["ifname"],
        "kind": info.get("info_kind"),
        "data": info.get("info_data"),
        "parent": link.get("link", link.get("link_index") and "elsewhere"),
        "mac": link.get("address"),
        "mtu": link["mtu"],
        "txqlen": link.get("txqlen"),
        "flags": sorted(set(link["flags"]) - {"NO-CARRIER", "LOWER_UP"}),  # told a moment after the carrier came
        "master": link.get("master"),
        "addresses": sorted(
            f"{each['local']}/{each['prefixlen']} {each['scope']} {each.get('broadcast')}"
            for each in link["addr_info"]
            if each["scope"] != "link"
        ),
    }


def _routes(space: Any) -> list[str]:
    shown = []
    for family in ("-4", "-6"):
        shown += space.run(["ip", family, "route", "show", "table", "all"]).stdout.splitlines()
    # those that the kernel adds when a carrier comes or an address is no longer tentative
    return [
        re.sub(r" linkdown| pref \w+", "", each)
        for each in shown
        if not re.match(r"(local|anycast|multicast) .*:|fe80", each)
    ]


def sides(make: Callable[[], Any], tmp_path: Path) -> tuple[LinkSide, LinkSide, RealMachine]:
    """Ours, the reference's, and the machine to be closed."""
    machine = WiredMachine(make, tmp_path)
    theirs = ReferenceMachine(make)
    wire(theirs.host, make())
    return LinkSide(machine, tmp_path / "ours"), LinkSide(theirs, tmp_path / "theirs"), machine


def same_life(pair: tuple[LinkSide, LinkSide], plugin: str, config: Mapping[str, Any], **options: str) -> Any:
    """ADD, CHECK, and DEL twice, equal on both sides; what ADD printed."""
    ours, theirs = pair
    before = ours.state()
    assert before == theirs.state()
    added, expected = (side.call(plugin, "ADD", config, **options) for side in pair)
    assert added == expected
    assert added[0] == 0, added
    assert ours.state() == theirs.state()
    checked = {**config, "prevResult": None} if "prevResult" in config else config
    checked = {key: value for key, value in checked.items() if value is not None}
    assert (
        ours.call(plugin, "CHECK", checked, **options) == theirs.call(plugin, "CHECK", checked, **options) == (0, None)
    )
    for _ in range(2):
        assert ours.call(plugin, "DEL", config, **options) == theirs.call(plugin, "DEL", config, **options) == (0, None)
    assert ours.state() == theirs.state() == before
    return added[1]
