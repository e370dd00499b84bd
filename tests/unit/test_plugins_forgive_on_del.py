"""What an ADD was refused for does not keep DEL or GC from succeeding: otherwise the runtime, which calls DEL after
every failed ADD, could never forget the container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

PREVIOUS = {
    "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": NETNS}],
    "ips": [{"address": "10.0.0.2/24", "interface": 1}],
}
LEASES = {"type": "host-local", "subnet": "10.1.2.0/24"}


def mapping(**values: Any) -> dict[str, Any]:
    return {"runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "tcp", **values}]}}


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("bridge", {"hairpinMode": True, "promiscMode": True}),
    ("bridge", {"disableContainerInterface": True, "ipam": LEASES}),
    ("bridge", {"ipMasq": True, "ipMasqBackend": "pf", "ipam": LEASES}),
    ("bridge", {"mtu": -1}),
    ("bridge", {"bridge": "x" * 16}),
    ("bridge", {"runtimeConfig": {"mac": "zz"}}),
    ("macvlan", {"master": "nowhere", "ipam": LEASES}),
    ("macvlan", {"mode": "odd"}),
    ("ipvlan", {"ipam": LEASES}),
    ("ipvlan", {"master": "nowhere"}),
    ("vlan", {"ipam": LEASES}),
    ("vlan", {"master": "nowhere", "vlanId": 4095}),
    ("dummy", {}),
    ("tap", {"mac": "zz", "ipam": LEASES}),
    ("tap", {"mtu": -1}),
    ("tap", {"mac": "0a:00:00:00:00:01:02:03"}),
    ("tuning", {"mac": "zz"}),
    ("tuning", {"mtu": -1}),
    ("tuning", {"args": {"cni": {"txQLen": -1}}}),
    ("firewall", {"iptablesAdminChainName": "A\nB"}),
    ("firewall", {"ingressPolicy": "isolated", "prevResult": {**PREVIOUS, "interfaces": [{"name": "a b"}]}}),
    ("firewall", {"ingressPolicy": "isolated", "prevResult": {**PREVIOUS, "interfaces": []}}),
    ("portmap", mapping(hostPort=65536)),
    ("portmap", mapping(containerPort=65536)),
    ("portmap", mapping(hostIP="nowhere")),
    ("portmap", mapping(protocol="t\ncp")),
    ("portmap", {**mapping(), "externalSetMarkChain": "A B"}),
    ("portmap", {**mapping(), "conditionsV4": ["-s", "a\nb"]}),
    ("portmap", {**mapping(), "backend": "nftables", "conditionsV6": ["meta", "mark", None]}),
]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(("plugin", "values"), REFUSED)
def test_del_after_a_refused_add(machine: Machine, plugin: str, values: dict[str, Any]) -> None:
    whole = {"name": "net", "cniVersion": "1.1.0", "prevResult": PREVIOUS, **values}
    if "ipam" in whole:
        whole["ipam"] = {**whole["ipam"], "dataDir": str(machine.directory / "leases")}
    if plugin == "tuning":
        whole["dataDir"] = str(machine.directory / "tuning")
    assert machine.error(plugin, "ADD", whole)["code"] == 999
    machine.succeeds(plugin, "DEL", whole)
    machine.succeeds(plugin, "DEL", {**whole, "prevResult": None}, netns="")
    machine.succeeds(plugin, "GC", {**whole, "prevResult": None, "cni.dev/valid-attachments": []}, netns="")
