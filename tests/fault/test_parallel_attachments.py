"""Two hundred processes at once on one network: through the engine, in-process, and the reference's own plugins."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from crash_host import BACKENDS, NETWORK, SECONDS, Config, Container, CrashHost, Flow, chain, seeded
from lease_servers import reference_binary

CALLS = 200
LONG = 4 * SECONDS
"""Two hundred processes on two processors take their time."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CrashHost]:
    with CrashHost(tmp_path / "crash") as host:
        host.launchers["reference"] = Path(reference_binary()).parent
        yield host


def at_once(host: CrashHost, command: str, config: Config, ways: Sequence[str]) -> list[dict[str, Any]]:
    """One host-local process for each way, `c<number>` its container, all started before the first is waited for."""
    stdin = json.dumps({"cniVersion": "1.1.0", "name": NETWORK, **config})
    started: list[subprocess.Popen[str]] = []
    try:
        for number, via in enumerate(ways):
            environment = host.environment(command, f"c{number}", "/nowhere", via)
            started.append(host.start("host-local", environment, via))
        for process in started:
            assert process.stdin is not None
            process.stdin.write(stdin)
            process.stdin.close()
            process.stdin = None
        told = [process.communicate(timeout=LONG) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [process.returncode for process in started] == [0] * len(ways), told
    return [json.loads(stdout) if stdout else {} for stdout, _ in told]


def test_two_hundred_addresses_at_once(host: CrashHost) -> None:
    """No address twice, none lost; then none is left, whoever takes it back."""
    ranges = [[{"subnet": "10.7.0.0/23"}], [{"subnet": "fd00:7::/64"}]]
    config: Config = {"type": "bridge", "ipam": {"type": "host-local", "ranges": ranges, "dataDir": str(host.leases)}}
    with seeded("two hundred addresses") as seed, host.engine():
        draw = random.Random(seed)
        ways = ["engine"] * (CALLS // 2) + ["process", "reference"] * (CALLS // 4)
        draw.shuffle(ways)
        results = at_once(host, "ADD", config, ways)
        given = {
            ip["address"].split("/")[0]: f"c{number}\r\neth0"
            for number, result in enumerate(results)
            for ip in result["ips"]
        }
        assert len(given) == 2 * CALLS
        directory = host.leases / NETWORK
        kept = {each.name: each.read_bytes().decode() for each in directory.iterdir() if each.name[0] in "1f"}
        assert kept == given
        draw.shuffle(ways)
        at_once(host, "DEL", config, ways)
        assert host.files() == {}
    # none lost: the lowest addresses come again, without a gap
    assert host.call({**config, "type": "host-local"}, "ADD", "late", "/nowhere", "process").result


def network(host: CrashHost, backend: str, number: int) -> list[Config]:
    """A chain that the reference understands too, and leaves nothing of: it has no nftables backend, and leaks the
    rules of isolation."""
    plugins = chain(host, backend, "open", 20000 + 3 * number)
    return [each for each in plugins if each["type"] != "tuning"]


def run_all(containers: Sequence[Container], ways: Sequence[str], command: str) -> None:
    """The chains at once, a thread each."""

    def one(container: Container, via: str) -> None:
        if command == "ADD":
            container.added(via)
        else:
            container.deleted(via)

    with ThreadPoolExecutor(len(containers)) as pool:
        list(pool.map(one, containers, ways))


@pytest.mark.parametrize("backend", BACKENDS)
def test_sixty_chains_at_once(host: CrashHost, backend: str) -> None:
    containers = [Container(host, f"c{number}", network(host, backend, number)) for number in range(60)]
    ways = ["engine" if number % 2 else "process" for number in range(60)]
    with host.engine() as engine:
        first = Container(host, "first", chain(host, backend)).added()
        before = host.snapshot()
        run_all(containers, ways, "ADD")
        assert_complete(containers)
        run_all(containers, ways[1:] + ways[:1], "DEL")
        engine.sync()
        assert host.snapshot() == before
        first.deleted()


def assert_complete(containers: Sequence[Container]) -> None:
    """Different addresses; CHECK finds every rule; a port of some of them is reached from outside."""
    addresses = [ip["address"] for each in containers for ip in (each.result or {})["ips"]]
    assert len(addresses) == len(set(addresses)) == 2 * len(containers)
    for each in containers:
        assert each.check("engine") == [], each.name
    for each in containers[:: len(containers) // 4]:
        port = each.plugins[1]["runtimeConfig"]["portMappings"][0]["hostPort"]
        with Flow(each, port) as flow:
            flow.assert_alive()


def shared_only(host: CrashHost) -> dict[str, list[str]]:
    """iptables rules, sorted and without the order of what is shared, as a hundred processes make it."""
    programs = ("iptables-save", "ip6tables-save")
    return {
        program: sorted(line for line in host.host.run([program]).stdout.splitlines() if line.startswith("-A"))
        for program in programs
    }


def test_an_upgrade_under_load(host: CrashHost) -> None:
    """Chains of the reference's plugins among ours, then DEL of each by the other implementation.  The engine leaves
    removed what the reference removes (docs/firewall.md): a chain that it fills again cannot be deleted."""
    with host.engine(restore=False) as engine:
        ways = [("engine", "process", "reference")[number % 3] for number in range(30)]
        containers = [Container(host, f"c{number}", network(host, "iptables", number)) for number in range(30)]
        pilot = Container(host, "pilot", network(host, "iptables", 40))
        pilot.added("engine").deleted("reference")
        before = shared_only(host), host.devices_in(host.host)
        run_all(containers, ways, "ADD")
        assert_complete(containers)
        run_all(containers, ["engine" if via == "reference" else "reference" for via in ways], "DEL")
        engine.sync()
        # our ledger knows what the reference has removed behind its back
        containers[0].collect([])
        assert (shared_only(host), host.devices_in(host.host)) == before
        assert host.files() == {}
