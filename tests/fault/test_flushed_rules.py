"""Somebody else empties the firewall between ADD and DEL: CHECK says what is missing, DEL succeeds, an ADD works."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_host import Container, CrashHost, Flow, chain

IPTABLES_FLUSHED = "for p in iptables ip6tables; do for t in filter nat; do $p -t $t -F; done; done"
IPTABLES_GONE = f"{IPTABLES_FLUSHED}; for p in iptables ip6tables; do for t in filter nat; do $p -t $t -X; done; done"
NFT_TABLE_GONE = "nft delete table inet pynet"
ALL_GONE = "nft flush ruleset"

FLUSHES = [
    ("nftables", ALL_GONE),
    ("nftables", NFT_TABLE_GONE),
    ("iptables", ALL_GONE),
    ("iptables", IPTABLES_FLUSHED),
    ("iptables", IPTABLES_GONE),
]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CrashHost]:
    with CrashHost(tmp_path / "crash") as host:
        yield host


@pytest.mark.parametrize(("backend", "command"), FLUSHES)
@pytest.mark.parametrize("via", ["engine", "process"])
def test_flushed_between_add_and_del(host: CrashHost, backend: str, command: str, via: str) -> None:
    with host.engine() if via == "engine" else contextlib.nullcontext() as engine:
        empty = host.files()
        container = Container(host, "c1", chain(host, backend)).added(via)
        assert container.check(via) == []
        host.host.run(["sh", "-ec", command])
        errors = container.check(via)
        if engine is None:  # it brings them back
            assert [each.partition(":")[0] for each in errors] == ["bridge", "portmap", "firewall"]
        assert all("not found" in each or "missing" in each for each in errors), errors
        container.deleted(via)
        if engine is not None:
            engine.sync()
        assert host.files() == empty
        assert host.devices_in(container.netns) == []
        container.deleted(via)
        container.added(via)
        assert container.check(via) == []
        with Flow(container, 8080) as flow:
            flow.assert_alive()
            host.host.run(["sh", "-ec", command])
            # another container's ADD repairs what is shared, and its own DEL takes only its own
            other = Container(host, "c2", chain(host, backend, first_port=8090)).added(via)
            with Flow(other, 8090) as second:
                second.assert_alive()
            other.deleted(via)
        container.deleted(via)
        if engine is not None:
            engine.sync()
        assert host.files() == empty


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_flushed_while_the_engine_remembers(host: CrashHost, backend: str) -> None:
    """A rule set emptied and filled again between two calls of one engine: what it remembers no longer holds."""
    with host.engine():
        for turn in range(5):
            container = Container(host, f"c{turn}", chain(host, backend, first_port=8080 + 10 * turn)).added()
            with Flow(container, 8080 + 10 * turn) as flow:
                flow.assert_alive()
            host.host.run(["nft", "flush", "ruleset"])
            host.host.run(["nft", "add", "table", "ip", f"foreign{turn}"])
            container.deleted()
            assert f"foreign{turn}" in host.ruleset()
