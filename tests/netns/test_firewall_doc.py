"""docs/firewall.md shows what the kernel shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from firewall_spaces import Space

from pycni.firewall.facts import Admit, Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Address, Prefix

PAGE = Path(__file__).resolve().parents[2] / "docs/firewall.md"
OWNER = Owner("pnet", "c1", "eth0")
FOUR, SIX = Prefix.parse("10.1.2.2/24"), Prefix.parse("fd00:1::2/64")
MAPPINGS = (Mapping("tcp", 8080, 80), Mapping("udp", 53, 5353, Address.parse("10.1.2.1")))
FACTS: dict[str, tuple[Fact, ...]] = {
    "masquerade": (Masquerade((FOUR, SIX)),),
    "portmap": (Publish(FOUR, MAPPINGS), Publish(SIX, MAPPINGS)),
    "firewall": (
        Admit((FOUR.address, SIX.address)),
        Isolate("br0", "same-bridge", 4),
        Isolate("br0", "same-bridge", 6),
    ),
}


def install(space: Space, run_dir: str, backend: str, facts: dict[str, tuple[Fact, ...]]) -> None:
    with Namespace.open(space.path) as namespace:
        firewall = Firewall(namespace, run_dir)
        for kind, each in facts.items():
            firewall.install(OWNER, kind, backend, each)
        firewall.close()


def saved(space: Space, run_dir: str, program: str) -> str:
    install(space, run_dir, IPTABLES, FACTS)
    return "\n".join(space.saved()[program])


def iptables_save(space: Space, run_dir: str) -> str:
    return saved(space, run_dir, "iptables-save")


def ip6tables_save(space: Space, run_dir: str) -> str:
    return saved(space, run_dir, "ip6tables-save")


def nft(space: Space, run_dir: str) -> str:
    install(space, run_dir, NFTABLES, FACTS)
    return space.sh("nft list table inet pynet").rstrip().replace("\t", "    ")


def forward(space: Space, run_dir: str) -> str:
    space.sh("iptables -P FORWARD DROP")
    install(space, run_dir, NFTABLES, {"firewall": FACTS["firewall"]})
    return "\n".join(space.saved()["iptables-save"])


def conditions(space: Space, run_dir: str) -> str:
    fact = Publish(FOUR, MAPPINGS[:1], conditions=("ip", "saddr", "192.0.2.0/24"))
    install(space, run_dir, NFTABLES, {"portmap": (fact,)})
    chain = space.sh("nft list chain inet pynet p_conditional").split("jump ")[1].split()[0]
    listings = [space.sh(f"nft list chain inet pynet {name}") for name in ("p_conditional", chain)]
    return "\n".join(listing.rstrip() for listing in listings).replace("\t", "    ")


def internal(space: Space, run_dir: str) -> str:
    install(space, run_dir, IPTABLES, {"firewall": (Isolate("br0", "internal", 4),)})
    return "\n".join(line for line in space.saved()["iptables-save"] if "PYNET" in line)


LISTINGS: dict[str, Callable[[Space, str], str]] = {
    "iptables-save": iptables_save,
    "ip6tables-save": ip6tables_save,
    "nft": nft,
    "forward": forward,
    "conditions": conditions,
    "internal": internal,
}


@pytest.mark.parametrize("name", LISTINGS)
def test_listing(name: str, tmp_path: Path) -> None:
    with Space() as space:
        listing = LISTINGS[name](space, str(tmp_path))
    page = PAGE.read_text(encoding="utf-8")
    head, marker, rest = page.partition(f"<!-- generated: {name} -->\n```\n")
    assert marker, f"{PAGE.name} has no place for {name}"
    shown, fence, tail = rest.partition("```\n")
    if os.environ.get("PYCNI_WRITE_DOCS"):
        PAGE.write_text(head + marker + listing + "\n" + fence + tail, encoding="utf-8")
    else:
        assert shown == listing + "\n"


def test_every_listing_is_tested() -> None:
    page = PAGE.read_text(encoding="utf-8")
    names = [line.split()[2] for line in page.splitlines() if line.startswith("<!-- generated: ")]
    assert names == list(LISTINGS)
