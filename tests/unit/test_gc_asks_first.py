"""Whoever runs GC may want to be asked before each removal: then nothing goes without his word (`Context.collects`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import Owner
from pycni.skeleton import Host

SECOND = "/run/netns/second"
VALID = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}


class Asking(Machine):
    """`answer` says what may go; `asked` is what was to go, by container where that could be told."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.kernel.create(SECOND)
        self.asked: dict[str, str] = {}
        self.answer: Callable[[str], bool] | None = None

    def host(self, defer: bool = False) -> Host:
        host = super().host(defer)
        host.collects = None if self.answer is None else self._ask
        return host

    def _ask(self, what: str, owner: Owner | None) -> bool:
        if what:
            self.asked[what] = "" if owner is None else owner.container_id
        assert self.answer is not None
        return self.answer(what)


@pytest.fixture
def machine(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


def plugins(machine: Machine) -> dict[str, dict[str, Any]]:
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24", "dataDir": str(machine.directory / "leases")}
    return {
        "bridge": {"bridge": "br0", "isGateway": True, "ipMasq": True, "ipam": ipam},
        "ptp": {"ipMasq": True, "ipam": ipam},
        "portmap": {"runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80}]}},
        "firewall": {"backend": "nftables"},
        "tuning": {"mtu": 1400, "dataDir": str(machine.directory / "tuning")},
    }


def add(machine: Machine, name: str, container_id: str, netns: str) -> None:
    """Chained ones behind bridge."""
    first = plugins(machine)["bridge"]
    config = {"cniVersion": "1.1.0", "name": "net", **plugins(machine)[name]}
    if "ipam" not in config:
        before = {"cniVersion": "1.1.0", "name": "net", **first}
        config["prevResult"] = machine.add("bridge", before, container_id=container_id, netns=netns)
    machine.add(name, config, container_id=container_id, netns=netns)


def collect(machine: Asking, name: str, answer: Callable[[str], bool] | None) -> dict[str, str]:
    machine.asked, machine.answer = {}, answer
    config = {"cniVersion": "1.1.0", "name": "net", **plugins(machine)[name], **VALID}
    machine.succeeds(name, "GC", config, container_id="", ifname="", netns="")
    return machine.asked


@pytest.mark.parametrize("name", ["bridge", "ptp", "portmap", "firewall", "tuning"])
def test_nothing_goes_without_a_word(machine: Asking, name: str) -> None:
    add(machine, name, "c1", NETNS)
    add(machine, name, "c2", SECOND)
    before = machine.state()
    asked = dict(collect(machine, name, lambda _what: False))
    assert machine.state() == before
    assert asked and set(asked.values()) <= {"c2", ""}
    assert name == "tuning" or "c2" in asked.values()
    # asked again it is the same, and what was agreed to goes, but for the leases, which who asks sees to
    assert collect(machine, name, lambda what: what in asked) == asked
    agreed = machine.state()
    assert agreed != before
    assert collect(machine, name, lambda _what: False) == {}
    collect(machine, name, None)
    lease = "leases/net/10.1.2.3"
    left = {**agreed, "files": {path: text for path, text in agreed["files"].items() if path != lease}}
    has_leases = "ipam" in plugins(machine)[name]
    assert machine.state() == (left if has_leases else agreed) and lease in agreed["files"]


def test_who_is_valid_is_not_asked_about(machine: Asking) -> None:
    add(machine, "bridge", "c1", NETNS)
    before = machine.state()
    assert collect(machine, "bridge", lambda _what: True) == {}
    assert machine.state() == before
