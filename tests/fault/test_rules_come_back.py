"""Somebody else empties the firewall while containers run: an engine that lives, or starts, brings their rules back."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash_host import Config, Container, CrashHost, Flow, chain, seeded
from engine_process import REAL, EngineProcess
from test_flushed_rules import ALL_GONE, FLUSHES

from netd.rule_watch import QUIET_SECONDS

SECONDS = 2.0
"""What is promised."""

PATIENCE = 20.0
"""For what has no promise."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CrashHost]:
    with CrashHost(tmp_path / "crash") as host:
        yield host


@contextlib.contextmanager
def engine(host: CrashHost, directory: str = "engine", *more: str) -> Iterator[EngineProcess]:
    """The real one, where the host's launchers look for it."""
    prefix = ("nsenter", f"--net={host.host.path}")
    options = ("--run-dir", str(host.run_dir), "--socket", host.socket, *more)
    running = EngineProcess(host.directory / directory, REAL, prefix, options)
    try:
        yield running
    finally:
        running.kill()


def works(container: Container, port: int) -> bool:
    """Whether a new connection from outside to the published port gets to the container, and its own packets leave with
    the host's address."""
    with container.netns.inside(), socket.create_server(("", 80)) as server:
        server.settimeout(0.1)
        with container.host.outside.inside():
            client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with client:
            client.settimeout(0.1)
            try:
                client.connect(("192.0.2.1", port))
                server.accept()[0].close()
            except OSError:
                return False
    return seen_outside(container) == "192.0.2.1"


def seen_outside(container: Container) -> str:
    """The address that the world outside sees of the container; "" when nothing comes there."""
    with container.host.outside.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("192.0.2.2", 0))
        there.settimeout(0.1)
        with container.netns.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.sendto(b"?", there.getsockname())
        try:
            return str(there.recvfrom(16)[1][0])
        except TimeoutError:
            return ""


LISTING = """
for program in iptables-save ip6tables-save; do for table in nat filter; do $program -t $table; done; done |
    sed -e '/^#/d' -e '/^:/s/ \\[.*//'
for table in 'inet pynet' 'bridge nat'; do nft -s list table $table 2>/dev/null; done || true
"""
"""nft's own listing of iptables' rules depends on which were made first."""


def rules(host: CrashHost) -> str:
    return host.host.run(["sh", "-ec", LISTING]).stdout


def flush(host: CrashHost, command: str, before: str) -> float:
    """Flushes, and makes sure that it did; when."""
    left = host.host.run(["sh", "-ec", f"{command}\n{LISTING}"]).stdout
    assert len(left) < len(before) / 2
    return time.monotonic()


def until_back(host: CrashHost, before: str, since: float, seconds: float = SECONDS) -> None:
    while (now := rules(host)) != before:
        assert time.monotonic() - since < seconds, now


@pytest.mark.parametrize(("backend", "command"), FLUSHES)
def test_what_was_flushed_is_back_in_time(host: CrashHost, backend: str, command: str) -> None:
    with engine(host) as running:
        first, second, _ = (
            Container(host, name, chain(host, backend, first_port=port)).added("engine")
            for name, port in (("c1", 8080), ("c2", 8090), ("c3", 8100))
        )
        before = rules(host)
        with Flow(second, 8090) as flow:
            for _ in range(3):
                since = flush(host, command, before)
                while not works(first, 8080):
                    assert time.monotonic() - since < SECONDS
                until_back(host, before, since)
                flow.assert_alive()
        assert running.log.read_text().count("restored firewall rules") == 3


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_an_engine_that_starts_brings_back_what_was_flushed_before(host: CrashHost, backend: str) -> None:
    with engine(host):
        container = Container(host, "c1", chain(host, backend)).added("engine")
    before = rules(host)
    flush(host, ALL_GONE, before)
    assert not works(container, 8080)
    with engine(host):
        until_back(host, before, time.monotonic())
        assert works(container, 8080)


def test_attachments_of_calls_without_the_engine_are_restored_too(host: CrashHost) -> None:
    with engine(host):
        container = Container(host, "c1", chain(host, "nftables")).added("process")
        before = rules(host)
        until_back(host, before, flush(host, ALL_GONE, before))
        assert works(container, 8080)


def spoof_checked(host: CrashHost) -> list[Config]:
    bridge, *others = chain(host, "nftables")
    return [{**bridge, "macspoofchk": True}, *others]


def test_spoof_checks_come_back(host: CrashHost) -> None:
    with engine(host):
        Container(host, "c1", spoof_checked(host)).added("engine")
        before = rules(host)
        assert "cni-br-iface-c1-eth0-mac" in before
        until_back(host, before, flush(host, "nft flush ruleset", before))


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_an_engine_killed_while_it_restores(host: CrashHost, backend: str) -> None:
    """At moments around the one at which it begins: whatever was there by then, the next engine completes it."""
    with engine(host):
        containers = [Container(host, f"c{n}", chain(host, backend, first_port=8080 + 10 * n)) for n in range(8)]
        for each in containers:
            each.added("engine")
    before = rules(host)
    with seeded("test_an_engine_killed_while_it_restores") as seed:
        chance = random.Random(seed)
        for turn in range(8):
            with engine(host, f"victim{turn}") as victim:
                host.host.run(["nft", "flush", "ruleset"])
                moment = time.monotonic() + QUIET_SECONDS + chance.uniform(-0.005, 0.06)
                while time.monotonic() < moment:
                    os.sched_yield()
                victim.kill()
            with engine(host, f"next{turn}"):
                since = time.monotonic()
                # chains that survived come before those that did not
                while sorted(rules(host).splitlines()) != sorted(before.splitlines()):
                    assert time.monotonic() - since < SECONDS, rules(host)


def test_who_removes_rules_again_and_again_costs_little(host: CrashHost) -> None:
    """A fight ends with long pauses, not with a busy engine; and what the other wanted is written down."""
    with engine(host) as running:
        Container(host, "c1", chain(host, "nftables")).added("engine")
        deadline = time.monotonic() + PATIENCE
        while "keeps removing" not in running.log.read_text():
            assert time.monotonic() < deadline
            host.host.run(["nft", "delete", "table", "inet", "pynet"], check=False)


def test_deleting_does_not_bring_back(host: CrashHost) -> None:
    """DELs of any way in between flushes leave nothing."""
    with engine(host):
        empty = host.files()
        containers = [Container(host, f"c{n}", chain(host, "nftables", first_port=8080 + 10 * n)) for n in range(4)]
        for each in containers:
            each.added("engine")
        for number, each in enumerate(containers):
            host.host.run(["nft", "flush", "ruleset"])
            each.deleted("process" if number % 2 else "engine")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert "id: c" not in host.ruleset()
        host.sync(host.socket)
        assert host.files() == empty


def test_an_engine_that_is_told_not_to_restores_nothing(host: CrashHost) -> None:
    with engine(host, "engine", "--no-restore"):
        container = Container(host, "c1", chain(host, "nftables")).added("engine")
        host.host.run(["nft", "flush", "ruleset"])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert "pynet" not in host.ruleset()
        container.deleted("engine")
