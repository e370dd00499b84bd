"""Many DHCP calls at once, calls that wait for a server, and an engine that ends meanwhile."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dhcp_house import RANGE, SECONDS, addresses, await_true, daemon_of, identifier, shore_of
from plugin_callers import OURS

__all__ = ["daemon_of", "shore_of"]


def test_calls_that_wait_for_a_server_keep_no_one_else_waiting(shore_of: Any, daemon_of: Any) -> None:
    """They get threads of their own: the engine has four workers."""
    shore = shore_of("engine")
    shore.server.stop()
    daemon = daemon_of("ours", "-resendtimeout", "4s")
    config = shore.config(daemon)
    spaces = [shore.container() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        adding = [
            pool.submit(shore.caller.error, "macvlan", "ADD", config, space.path, container_id=f"c{number}")
            for number, space in enumerate(spaces)
        ]
        await_true("all wait", lambda: daemon.log().count("looking for a lease") == 6)
        shore.caller.ok("loopback", "ADD", {**config, "type": "loopback"}, shore.container().path, ifname="lo")
        assert not any(each.done() for each in adding)
        assert {each.result()["msg"] for each in adding} == {"error calling DHCP.Allocate: no more tries"}


@pytest.mark.parametrize("way", OURS)
def test_twenty_containers_at_once_and_then_silence(way: str, shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of(way)
    daemon = daemon_of()
    config = shore.config(daemon)
    spaces = [shore.container() for _ in range(20)]

    def add(number: int) -> str:
        result = shore.caller.ok("macvlan", "ADD", config, spaces[number].path, container_id=f"c{number}")
        return str(result["ips"][0]["address"])

    def delete(number: int) -> None:
        shore.delete(config, spaces[number], f"c{number}")

    with ThreadPoolExecutor(20) as pool:
        given = list(pool.map(add, range(20)))
        assert len(set(given)) == 20 == len(shore.server.leases())
        wakings = daemon.status("voluntary_ctxt_switches")
        with pytest.raises(subprocess.TimeoutExpired):
            daemon.process.wait(1.5)
        assert daemon.status("voluntary_ctxt_switches") - wakings <= 1
        assert daemon.status("VmRSS") < 24_000
        list(pool.map(delete, range(20)))
    await_true("all leases are given back", lambda: shore.server.leases() == {})
    assert daemon.kept() == 0


def test_an_engine_that_ends_hands_the_wait_for_a_server_over(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of("engine")
    daemon = daemon_of("ours", "-resendmax", "500ms")
    shore.server.stop()
    config, space = shore.config(daemon), shore.container()
    looking = "c1/net/eth0: looking for a lease"
    with ThreadPoolExecutor() as pool:
        adding = pool.submit(shore.caller.call, "macvlan", "ADD", config, space.path)
        await_true("a server is looked for", lambda: looking in daemon.log())
        engine = shore.caller._engine
        assert engine is not None
        assert engine.stop() == 0
        shore.caller._engine = None
        await_true("the caller looks for one itself", lambda: daemon.log().count(looking) == 2)
        shore.server.start(RANGE)
        done = adding.result(SECONDS)
    assert done.returncode == 0, (done.stdout, done.stderr)
    (address,) = addresses(space)
    assert shore.server.leases() == {address.partition("/")[0]: identifier("c1")}
    assert daemon.kept() == 1
    assert "calls were not over" not in engine.log.read_text()
    shore.delete(config, space)
    await_true("the lease is given back", lambda: shore.server.leases() == {})
    assert "eth0" not in space.run(["ip", "link"]).stdout
