"""A host for tests of networks: what is in use, and a record of what is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netd.networks.conflist import Network
from netd.networks.facts import HostFacts
from netd.networks.leftovers import Again, Leftovers, Terms
from pycni.spec.errors import CniError


class FakeHost:
    """A host that records what is asked of it."""

    def __init__(self) -> None:
        self.bridges: set[str] = set()
        self.accesses: set[str] = set()
        self.uplinks = HostFacts()
        self.collected: list[str] = []
        self.attached: dict[str, set[tuple[str, str]]] = {}
        self.left: dict[str, Leftovers] = {}
        self.given_back: dict[str, list[tuple[str, str]]] = {}
        self.kept: dict[str, set[tuple[str, str]]] = {}
        self.freed: dict[str, tuple[str, ...]] = {}
        self.meanwhile: Callable[[], None] = lambda: None
        self.failures: list[str] = []
        self.unrunnable: set[str] = set()

    def facts(self) -> HostFacts:
        links = tuple((name, "bridge") for name in sorted(self.bridges))
        return self.uplinks.replace(links=(*links, *self.uplinks.links))

    def delete_device(self, name: str, kind: str) -> None:
        if name == "br-stuck":
            raise CniError("device is busy")
        (self.bridges if kind == "bridge" else self.accesses).discard(name)

    def reach(self, value: dict[str, Any]) -> None:
        access = value["plugins"][0].get("hostAccess")
        if access and access["device"] == "pn-stuck":
            raise CniError("device is busy")
        if access:
            self.accesses.add(access["device"])

    def collect(self, path: str) -> list[str]:
        self.collected.append(json.loads(Path(path).read_text())["name"])
        return self.failures

    def leftovers(self, network: Network, terms: Terms) -> Leftovers:
        if network.name in self.unrunnable:
            raise CniError("this list cannot be run")
        self.attached[network.name] = set(terms.attached)
        return self.left.get(network.name, Leftovers())

    def free(self, network: Network, found: Leftovers, again: Again) -> list[str]:
        self.meanwhile()
        dead, terms = again()
        self.given_back[network.name] = [(each.container_id, each.ifname) for each in dead]
        self.kept[network.name] = set(terms.attached)
        self.freed[network.name] = found.things
        return self.failures
