"""A host for tests of networks: what is in use, and a record of what is asked."""

from __future__ import annotations

import json
from pathlib import Path

from netd.networks.plan import HostFacts
from pycni.spec.errors import CniError


class FakeHost:
    """A host that records what is asked of it."""

    def __init__(self) -> None:
        self.bridges: set[str] = set()
        self.collected: list[str] = []
        self.failures: list[str] = []

    def facts(self) -> HostFacts:
        return HostFacts(links=tuple((name, "bridge") for name in sorted(self.bridges)))

    def delete_bridge(self, name: str) -> None:
        if name == "br-stuck":
            raise CniError("device is busy")
        self.bridges.discard(name)

    def collect(self, path: str) -> list[str]:
        self.collected.append(json.loads(Path(path).read_text())["name"])
        return self.failures
