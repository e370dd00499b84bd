"""Calls that get in each other's way, and a stranger who changes rules and links all the while."""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from crash_host import BACKENDS, SECONDS, Container, CrashHost, Flow, Outcome, chain, seeded
from launchers import ENTRY, install

from pycni_plugins import NAMES

ROUNDS = 20

_STRANGER = """
n=0
while [ ! -e "$1" ]; do
    n=$((n + 1))
    iptables -w 20 -t nat -A POSTROUTING -s 203.0.113.$((n % 250)) -m comment --comment "stranger $n" -j RETURN
    iptables -w 20 -I FORWARD -s 203.0.113.$((n % 250)) -m comment --comment "stranger $n" -j ACCEPT
    nft add rule inet stranger own counter comment "\\"stranger $n\\""
    ip link add stranger$n type bridge
    if [ $((n % 3)) -ne 0 ]; then
        iptables -w 20 -t nat -D POSTROUTING -s 203.0.113.$((n % 250)) -m comment --comment "stranger $n" -j RETURN
        iptables -w 20 -D FORWARD -s 203.0.113.$((n % 250)) -m comment --comment "stranger $n" -j ACCEPT
        ip link del stranger$n
    fi
done
echo $n
"""


class Stranger:
    """Adds a rule to iptables' nat and filter tables, one to a table of its own, and a link, and takes two thirds of
    them away again, until told to stop."""

    def __init__(self, host: CrashHost) -> None:
        self._host = host
        self._stop = host.directory / "stop"
        host.host.run(["nft", "add table inet stranger; add chain inet stranger own"])
        host.host.run(["sh", "-ec", "iptables -t nat -F POSTROUTING; iptables -F FORWARD"])  # makes the tables
        self._process = host.host.start(
            ["sh", "-euc", _STRANGER, "sh", str(self._stop)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def finish(self) -> None:
        """AssertionError when one of its commands failed, or something of it is gone or came back."""
        self._stop.touch()
        stdout, stderr = self._process.communicate(timeout=SECONDS)
        assert self._process.returncode == 0, stderr
        rounds = int(stdout)
        kept = [number for number in range(1, rounds + 1) if number % 3 == 0]
        rules = self._host.host.run(["iptables-save"]).stdout
        for chain_name, wanted in (("POSTROUTING", kept), ("FORWARD", kept[::-1])):
            found = re.findall(rf'-A {chain_name} .*"stranger (\d+)"', rules)
            assert [int(each) for each in found] == wanted
        own = self._host.host.run(["nft", "list", "table", "inet", "stranger"]).stdout
        assert [int(each) for each in re.findall(r'"stranger (\d+)"', own)] == list(range(1, rounds + 1))
        links = [name for name in self._host.devices_in(self._host.host) if name.startswith("stranger")]
        assert set(links) == {f"stranger{number}" for number in kept}

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CrashHost]:
    with CrashHost(tmp_path / "crash") as host:
        settings = {"entry": str(ENTRY), "run-dir": str(host.run_dir), "socket": f"{host.run_dir}/other.sock"}
        host.launchers["other"] = install("c", host.directory / "other", settings, NAMES)
        yield host


@pytest.fixture
def stranger(host: CrashHost) -> Iterator[Stranger]:
    with contextlib.closing(Stranger(host)) as stranger:
        yield stranger


def ours(host: CrashHost) -> dict[str, Any]:
    """The host without what the stranger has."""
    found = host.snapshot()
    lines = [line for line in found["rules"].splitlines() if "stranger" not in line and "203.0.113." not in line]
    devices = {name: each for name, each in found["devices"].items() if not name.startswith("stranger")}
    return {**found, "rules": lines, "devices": devices}


@pytest.mark.parametrize("backend", BACKENDS)
def test_add_and_del_of_one_container_at_once(host: CrashHost, stranger: Stranger, backend: str) -> None:
    """Whatever comes of it, each answer is a CNI answer, and one more DEL leaves nothing."""
    with seeded(f"add and del at once, {backend}") as seed, host.engine() as engine, ThreadPoolExecutor(3) as pool:
        draw = random.Random(seed)
        stays = Container(host, "stays", chain(host, backend, first_port=9000)).added()
        victim = Container(host, "victim", chain(host, backend)).added()
        victim.deleted()
        engine.sync()
        before = ours(host)
        with Flow(stays, 9000) as flow:
            for _ in range(ROUNDS):
                ways = [draw.choice(("engine", "process")) for _ in range(3)]
                racers = [Container(host, "victim", victim.plugins, victim.netns) for _ in ways]
                if draw.random() < 0.5:
                    victim.added(ways[0])
                calls = [racers[0].add, racers[1].delete, draw.choice((racers[2].add, racers[2].delete))]
                outcomes = [each for done in pool.map(_call, calls, ways) for each in done]
                for outcome in outcomes:
                    assert outcome.status == 0 or outcome.error, outcome
                flow.assert_alive()
                victim.deleted(draw.choice(ways))
                engine.sync()
                assert ours(host)["files"] == before["files"], (seed, [str(each) for each in outcomes])
                assert host.devices_in(victim.netns) == []
        stranger.finish()
        assert ours(host)["devices"] == before["devices"]
        assert ours(host)["rules"] == before["rules"]
        victim.added()
        assert victim.check() == stays.check() == []


def _call(work: Any, via: str) -> list[Outcome]:
    done: list[Outcome] = work(via)
    return done


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_engines_and_a_process_lose_no_update(host: CrashHost, stranger: Stranger, backend: str) -> None:
    """Two engines share a run directory, each remembering what it last saw of the same rules and leases."""
    ways = ("engine", "other", "process")
    with seeded(f"two engines, {backend}") as seed, host.engine(), host.engine(f"{host.run_dir}/other.sock"):
        stays = Container(host, "stays", chain(host, backend, first_port=9000)).added()
        before = ours(host)
        containers = [Container(host, f"c{n}", chain(host, backend, first_port=10000 + 10 * n)) for n in range(9)]

        def live(number: int) -> None:
            draw, container = random.Random(seed + number), containers[number]
            for _ in range(4):
                container.added(draw.choice(ways))
                assert container.check(draw.choice(ways)) == []
                container.deleted(draw.choice(ways))
            container.added(draw.choice(ways))

        with ThreadPoolExecutor(len(ways)) as pool:
            list(pool.map(live, range(len(containers))))
        for container in containers:
            assert [container.check(via) for via in ways] == [[], [], []]
        addresses = [ip["address"] for each in (*containers, stays) for ip in (each.result or {})["ips"]]
        assert len(addresses) == len(set(addresses))
        with Flow(containers[0], 10000) as flow, Flow(stays, 9000) as other:
            flow.assert_alive()
            with ThreadPoolExecutor(len(ways)) as pool:
                list(pool.map(lambda pair: pair[0].deleted(pair[1]), zip(containers[1:], ways * 3, strict=False)))
            flow.assert_alive()
            other.assert_alive()
        containers[0].deleted("other")
        for socket in (host.socket, f"{host.run_dir}/other.sock"):
            host.sync(socket)
        stranger.finish()
        assert ours(host) == before
