"""A host for tests of networks: what is in use, and a record of what is asked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netd.networks.facts import HostFacts
from pycni.spec.errors import CniError


class FakeHost:
    """A host that records what is asked of it."""

    def __init__(self) -> None:
        self.bridges: set[str] = set()
        self.accesses: set[str] = set()
        self.uplinks = HostFacts()
        self.collected: list[str] = []
        self.given_back: dict[str, list[tuple[str, str]]] = {}
        self.failures: list[str] = []

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

    def give_back(self, path: str, attachments: Iterable[tuple[str, str]]) -> list[str]:
        self.given_back[json.loads(Path(path).read_text())["name"]] = list(attachments)
        return self.failures
