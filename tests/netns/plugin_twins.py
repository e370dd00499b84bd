"""Two hosts side by side, on one our plugins and on the other the reference's: the same calls to both, and all that
they print and leave behind, written so that it can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from real_machine import RealMachine
from vm.twins import OurMachine, ReferenceMachine

_MAC = re.compile(r"\b(?!0a:00:00)[0-9a-f]{2}(:[0-9a-f]{2}){5}\b")
_VETH = re.compile(r"veth[0-9a-f]{8}")
_SYSCTLS = (
    "net/ipv4/conf/{}/arp_notify",
    "net/ipv4/conf/{}/proxy_arp",
    "net/ipv4/conf/{}/rp_filter",
    "net/ipv4/conf/{}/forwarding",
    "net/ipv6/conf/{}/accept_ra",
    "net/ipv6/conf/{}/disable_ipv6",
    "net/ipv6/conf/{}/forwarding",
    "net/ipv6/conf/{}/keep_addr_on_down",
    "net/ipv6/conf/{}/proxy_ndp",
)


class Twin:
    """One host and its container.  The result of an ADD is handed on to what follows."""

    def __init__(self, machine: RealMachine | ReferenceMachine, data: Path) -> None:
        self.machine = machine
        self.data = data
        self.container = machine.make()
        self.previous: Any = None

    def call(self, command: str, config: Mapping[str, Any], **options: str) -> tuple[int, Any]:
        """Exit status and what was printed, with what differs by chance written alike."""
        whole = {"cniVersion": "1.0.0", "name": "net", **config}
        if whole.get("ipam", {}).get("type") == "host-local":
            whole["ipam"] = {**whole["ipam"], "dataDir": str(self.data)}
        if self.previous is not None and command in ("CHECK", "DEL"):
            whole["prevResult"] = self.previous
        netns = options.pop("netns", self.container.path)
        answer = self.machine.call(str(whole["type"]), command, whole, netns, **options)
        if command == "ADD" and answer.status == 0:
            self.previous = json.loads(answer.stdout)
        text = answer.stdout.decode().replace(self.container.path, "NETNS")
        return answer.status, json.loads(_alike(text)) if text else None

    def state(self) -> dict[str, Any]:
        """Links, addresses, routes, sysctls, NAT rules, leases."""
        found: dict[str, Any] = {
            str(path.relative_to(self.data)): path.read_text() if "last_reserved" not in path.name else ""
            for path in sorted(self.data.rglob("*"))
            if path.is_file()
        }
        for what, space in (("host", self.machine.host), ("container", self.container)):
            found |= {f"{what} {key}": value for key, value in space_state(space).items()}
        for program in ("iptables-save", "ip6tables-save"):
            rules = self.machine.host.run([program, "-t", "nat"]).stdout.splitlines()
            found[program] = [re.sub(r"\[\d+:\d+\]", "", each) for each in rules if not each.startswith("#")]
        return found


def space_state(space: Any) -> dict[str, Any]:
    """A namespace's links, addresses, routes and sysctls.  Link-local addresses come in their own time."""
    links = json.loads(space.run(["ip", "-j", "-d", "addr"]).stdout)
    found: dict[str, Any] = {"links": sorted(_link(each) for each in links)}
    for family in ("-4", "-6"):
        routes = space.run(["ip", family, "route"]).stdout.splitlines()
        plain = (each.replace(" linkdown", "").replace(" pref medium", "").strip() for each in routes)
        found[f"routes {family}"] = [_alike(each) for each in plain if not each.startswith("fe80")]
    opened = space.namespace()
    for path in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        found[path] = opened.read_sysctl(path)
    for link in links:
        for path in _SYSCTLS:
            name = path.format(link["ifname"])
            found[_alike(name)] = opened.read_sysctl(name)
    return found


def _link(link: Mapping[str, Any]) -> str:
    shown = {
        "name": link["ifname"],
        "kind": link.get("linkinfo", {}).get("info_kind"),
        "mac": link.get("address"),
        "mtu": link["mtu"],
        "flags": sorted(set(link["flags"]) & {"UP", "PROMISC", "ALLMULTI"}),
        "master": link.get("master"),
        "addresses": sorted(
            f"{each['local']}/{each['prefixlen']} {each.get('broadcast', '')} {each['scope']}"
            for each in link["addr_info"]
            if each["scope"] != "link"
        ),
    }
    return _alike(json.dumps(shown))


def _alike(text: str) -> str:
    """Random names of veth ends and random hardware addresses replaced; those set by a test begin with 0a:00:00."""
    return _VETH.sub("vethXXXXXXXX", _MAC.sub("ANY-MAC", text))


@contextmanager
def twins(netns: Callable[[], Any], directory: Path) -> Iterator[tuple[Twin, Twin]]:
    """Ours and the reference's."""
    ours = OurMachine(netns, directory)
    for name in ("ours", "theirs"):
        (directory / name).mkdir()
    try:
        yield Twin(ours, directory / "ours"), Twin(ReferenceMachine(netns), directory / "theirs")
    finally:
        ours.close()
