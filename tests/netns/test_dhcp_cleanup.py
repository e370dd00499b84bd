"""Leases of what has gone: namespaces, processes, interfaces, callers, and containers that GC does not know."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from dhcp_house import SECONDS, await_true, daemon_of, identifier, shore_of

__all__ = ["daemon_of", "shore_of"]


def test_del_needs_no_namespace(shore_of: Any, daemon_of: Any) -> None:
    """The daemon knows the way in."""
    shore = shore_of()
    daemon = daemon_of()
    config = shore.config(daemon)
    shore.add(config)
    for _ in range(2):
        shore.caller.ok("dhcp", "DEL", config, "")
        await_true("the lease is given back", lambda: shore.server.leases() == {})
    assert daemon.kept() == 0


def test_a_namespace_that_goes_takes_its_lease_along(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    daemon = daemon_of()
    space, _ = shore.add(shore.config(daemon))
    space.close()
    await_true("the lease is given back", lambda: shore.server.leases() == {})
    await_true("it is forgotten", lambda: daemon.kept() == 0)
    assert "its namespace is gone" in daemon.log()


def test_so_does_a_process(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    daemon = daemon_of()
    config = shore.config(daemon)
    process = subprocess.Popen(["/usr/bin/unshare", "--net", "--", "/usr/bin/tail", "-f", "/dev/null"])
    try:
        path = f"/proc/{process.pid}/ns/net"
        home = Path("/proc/self/ns/net").readlink()
        await_true("it has a namespace", lambda: Path(path).readlink() != home)
        shore.caller.ok("macvlan", "ADD", config, path)
        assert len(shore.server.leases()) == 1
    finally:
        process.kill()
        process.wait(SECONDS)
    await_true("the lease is given back", lambda: shore.server.leases() == {})


def test_an_interface_that_goes_is_forgotten(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    daemon = daemon_of()
    config = shore.config(daemon)
    space, _ = shore.add(config)
    space.run(["ip", "link", "del", "eth0"])
    await_true("it is forgotten", lambda: daemon.kept() == 0)
    shore.caller.error("dhcp", "CHECK", config, space.path)
    shore.delete(config, space)


def test_who_gives_up_leaves_nothing(shore_of: Any, daemon_of: Any) -> None:
    """A plugin that is killed while it waits: the daemon stops asking."""
    shore = shore_of()
    shore.server.stop()
    daemon = daemon_of()
    space = shore.container()
    shore.host.run(["ip", "link", "add", "eth0", "link", "wan", "netns", space.path, "type", "macvlan"])
    environment = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0", "CNI_NETNS": space.path}
    plugin = subprocess.Popen(
        [str(shore.caller.bin / "dhcp")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**environment, "CNI_PATH": "/opt"},
    )
    with plugin:
        assert plugin.stdin is not None
        plugin.stdin.write(json.dumps(shore.config(daemon)).encode())
        plugin.stdin.close()
        await_true("it looks for a lease", lambda: "looking for a lease" in daemon.log())
        plugin.kill()
    await_true("it stops", lambda: "whoever asked has gone" in daemon.log())
    shore.server.start()
    assert shore.server.leases() == {} and daemon.kept() == 0


def test_garbage_collection(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    daemon = daemon_of()
    config = shore.config(daemon)
    shore.add(config, "c1")
    shore.add(config, "c2")
    valid = [{"containerID": "c2", "ifname": "eth0"}]
    shore.caller.ok("dhcp", "GC", {**config, "name": "other", "cni.dev/valid-attachments": []}, "")
    assert len(shore.server.leases()) == 2
    shore.caller.ok("dhcp", "GC", {**config, "cni.dev/valid-attachments": valid}, "")
    await_true("c1's lease is given back", lambda: list(shore.server.leases().values()) == [identifier("c2")])
    assert daemon.kept() == 1
