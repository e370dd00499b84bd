"""Two hosts side by side, on one our plugins and on the other the reference's, and how to compare what they leave."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from real_machine import RealMachine
from reference_plugins import directory

from pycni.skeleton import Answer


class OurMachine(RealMachine):
    """A host without a neighbour."""

    def _wire(self) -> None:
        """Nothing: what is tested here does not leave the host."""


class ReferenceMachine:
    """A host, or the given one, on which the reference's plugins run, with the interface of RealMachine."""

    def __init__(self, netns: Callable[[], Any], host: Any = None) -> None:
        self.make = netns
        self.host = netns() if host is None else host

    def call(
        self,
        plugin: str,
        command: str,
        config: Mapping[str, Any],
        netns: str,
        container_id: str = "c1",
        ifname: str = "eth0",
        **environment: str,
    ) -> Answer:
        variables = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(directory()),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **environment,
        }
        with self.host.inside():
            process = subprocess.Popen(
                [str(directory() / plugin)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=variables,
            )
        stdout, stderr = process.communicate(json.dumps(config).encode(), timeout=60)
        return Answer(process.returncode, stdout, stderr)


class Side:
    """One host and its container."""

    def __init__(self, machine: RealMachine | ReferenceMachine, data: Path) -> None:
        self.machine = machine
        self.data = data
        self.container = machine.make()
        self.previous: Any = None

    def call(self, command: str, config: Mapping[str, Any], **options: str) -> tuple[int, Any]:
        """Exit status and what was printed, with what differs by chance written alike; the result of an ADD is handed
        on to what follows."""
        config = {"cniVersion": "1.0.0", "name": "net", "type": "bridge", **config}
        if "type" in config.get("ipam", {}):
            config["ipam"] = {**config["ipam"], "dataDir": str(self.data)}
        if self.previous is not None and command in ("CHECK", "DEL"):
            config["prevResult"] = self.previous
        answer = self.machine.call("bridge", command, config, self.container.path, **options)
        if command == "ADD" and answer.status == 0:
            self.previous = json.loads(answer.stdout)
        text = answer.stdout.decode().replace(self.container.path, "NETNS")
        return answer.status, json.loads(alike(text)) if text else None

    def links(self) -> Any:
        """The host's."""
        return json.loads(self.machine.host.run(["ip", "-j", "-d", "addr"]).stdout)

    def state(self) -> str:
        """Links with what makes a port, addresses, VLANs and rules of the host, and the container's link."""
        links = sorted(_link(each) for each in self.links() if each["ifname"] != "lo")
        vlans = json.loads(self.machine.host.run(["bridge", "-j", "vlan"]).stdout or "[]")
        rules = self.machine.host.run(["nft", "list", "ruleset"]).stdout
        inside = sorted(_link(each) for each in json.loads(self.container.run(["ip", "-j", "-d", "addr"]).stdout))
        return alike("\n".join([*links, *sorted(json.dumps(each) for each in vlans), rules, *inside]))


_PORT = ("state", "hairpin", "isolated", "priority", "cost", "learning", "flood")
_BRIDGE = ("vlan_filtering", "vlan_default_pvid")


def _link(link: Mapping[str, Any]) -> str:
    info = link.get("linkinfo", {})
    port, bridge = info.get("info_slave_data", {}), info.get("info_data", {})
    if "LOWER_UP" not in link["flags"]:
        # the reference's port forwards without a carrier when the kernel notices its absence too early
        port = {key: value for key, value in port.items() if key != "state"}
    shown = {
        "name": link["ifname"],
        "kind": info.get("info_kind"),
        "mtu": link["mtu"],
        "flags": sorted(set(link["flags"]) & {"UP", "PROMISC", "ALLMULTI"}),
        "master": link.get("master"),
        "port": {key: port[key] for key in _PORT if key in port},
        "bridge": {key: bridge[key] for key in _BRIDGE if key in bridge},
        "addresses": sorted(
            f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if each["scope"] != "link"
        ),
    }
    return json.dumps(shown)


def alike(text: str) -> str:
    """Random names of veth ends and random hardware addresses replaced; those set by a test begin with 0a:00:00."""
    text = re.sub(r"veth[0-9a-f]{8}", "vethXXXXXXXX", text)
    return re.sub(r"\b(?!0a:00:00)[0-9a-f]{2}(:[0-9a-f]{2}){5}\b", "ANY-MAC", text)
