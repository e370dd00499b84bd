"""docs/ports.md shows what the kernel shows."""

from __future__ import annotations

import os
from pathlib import Path

from firewall_spaces import Space

from netd.ports.gateways import Endpoint
from netd.ports.guard import Guard
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Address

PAGE = Path(__file__).resolve().parents[2] / "docs/ports.md"
HEAD = "<!-- generated: guard -->\n```\n"


def test_the_guard_as_the_page_shows_it() -> None:
    with Space() as space:
        space.sh("ip link set lo up")
        with Namespace.open(space.path) as namespace:
            guard = Guard(namespace)
            guard.shield("c1", [Endpoint(Address.parse(text), "br0") for text in ("10.1.2.2", "fd00:1::2")])
            guard.close()
        listing = space.sh("nft list table inet pynet_guard").rstrip().replace("\t", "    ")
    before, head, rest = PAGE.read_text().partition(HEAD)
    assert head, "the page has a place for the listing"
    shown, fence, after = rest.partition("```\n")
    if os.environ.get("PYCNI_WRITE_DOCS"):
        PAGE.write_text(f"{before}{HEAD}{listing}\n{fence}{after}")
        return
    assert shown == f"{listing}\n"
