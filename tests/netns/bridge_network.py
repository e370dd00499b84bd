"""bridge with host-local as tests of the real kernel configure it, and what they look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_machine import RealMachine

V4 = [{"subnet": "10.1.2.0/24"}]
V6 = [{"subnet": "fd00:1::/64"}]
FAMILIES = {"ipv4": [V4], "ipv6": [V6], "dual": [V4, V6]}


def bridge(machine: RealMachine, ranges: list[Any], **keys: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(machine.directory / "leases")}
    return {"type": "bridge", "bridge": "br0", "isDefaultGateway": True, "ipam": ipam, **keys}


def links(space: Any) -> dict[str, dict[str, Any]]:
    return {each["ifname"]: each for each in json.loads(space.run(["ip", "-j", "-d", "addr"]).stdout)}


@pytest.fixture
def machine(netns: Callable[[], Any], tmp_path: Path) -> Iterator[RealMachine]:
    made = RealMachine(netns, tmp_path)
    yield made
    made.close()
