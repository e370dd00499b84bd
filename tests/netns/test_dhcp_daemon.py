"""The DHCP daemon: its start and end, its files, its socket, and plugins that find it dead."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dhcp_house import QUICK, RANGE, SECONDS, Brief, addresses, await_true, daemon_of, shore_of
from launchers import PLAIN, ROOT
from plugin_callers import OURS

__all__ = ["daemon_of", "shore_of"]


@pytest.mark.parametrize("way", OURS)
def test_without_a_daemon(way: str, shore_of: Any, tmp_path: Path) -> None:
    shore = shore_of(way)
    ipam = {"type": "dhcp", "daemonSocketPath": str(tmp_path / "none.sock")}
    config = {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "wan", "ipam": ipam}
    space = shore.container()
    text = f"error dialing DHCP daemon: dial unix {tmp_path}/none.sock: connect: no such file or directory"
    assert shore.caller.error("dhcp", "ADD", config, space.path) == {"code": 999, "msg": text}
    assert shore.caller.error("dhcp", "DEL", config, space.path) == {"code": 999, "msg": text}
    assert shore.caller.error("dhcp", "STATUS", config, "") == {"code": 50, "msg": text}
    shore.caller.ok("dhcp", "GC", {**config, "cni.dev/valid-attachments": []}, "")


def test_a_lease_outlives_its_daemon(shore_of: Any, daemon_of: Any) -> None:
    """kill -9: the next one renews in time, and releases on DEL."""
    shore = shore_of("in-process", (*RANGE, *QUICK))
    daemon = daemon_of()
    config = shore.config(daemon)
    space, result = shore.add(config)
    daemon.kill()
    daemon.start()
    mark = len(shore.server.log())
    await_true("it is renewed", lambda: "DHCPACK" in shore.server.log()[mark:])
    assert "DHCPDISCOVER" not in shore.server.log()[mark:]
    shore.caller.ok("macvlan", "CHECK", {**config, "prevResult": result}, space.path)
    daemon.kill()
    daemon.start()
    shore.delete(config, space)
    await_true("the lease is given back", lambda: shore.server.leases() == {})


def test_files_that_are_no_leases_are_removed(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    daemon = daemon_of()
    config = shore.config(daemon)
    space, result = shore.add(config)
    daemon.kill()
    place = daemon.directory / "dhcp"
    (lease,) = place.iterdir()
    (place / "garbage").write_text("{")
    (place / "half").write_text("{}")
    (place / "before-the-boot").write_text(json.dumps({**json.loads(lease.read_text()), "boot": "another"}))
    (place / f"{lease.name}.new").write_text(lease.read_text())
    daemon.start()
    await_true("they are removed", lambda: [each.name for each in place.iterdir()] == [lease.name])
    assert "garbage is no lease" in daemon.log() and "half is no lease" in daemon.log()
    shore.caller.ok("macvlan", "CHECK", {**config, "prevResult": result}, space.path)


def test_a_daemon_that_starts_after_its_container_has_gone_forgets_it(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    daemon = daemon_of()
    space, _ = shore.add(shore.config(daemon))
    daemon.kill()
    space.close()
    daemon.start()
    await_true("it is forgotten", lambda: daemon.kept() == 0)
    assert daemon.process.poll() is None


def test_the_daemon_by_the_plugin_s_name(shore_of: Any, daemon_of: Any, tmp_path: Path) -> None:
    shore = shore_of()
    pidfile = tmp_path / "pid"
    daemon = daemon_of(
        "ours", "-pidfile", str(pidfile), words=(str(shore.caller.bin / "dhcp"), "daemon", "--broadcast")
    )
    assert pidfile.read_text() == str(daemon.process.pid)
    words = [str(shore.caller.bin / "dhcp"), "daemon", "-socketpath", daemon.socket]
    for more, told in ((pidfile, "another engine serves there"), (tmp_path / "no/pid", 'pidfile "')):
        second = subprocess.run(
            [*words, "-pidfile", str(more)], capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 1 and told in second.stderr
        assert pidfile.read_text() == str(daemon.process.pid)
        words[-1] = str(tmp_path / "other.sock")
    config = shore.config(daemon)
    space, _ = shore.add(config)
    shore.delete(config, space)
    await_true("the lease is given back", lambda: shore.server.leases() == {})
    assert daemon.stop() == 0
    assert not pidfile.exists() and not Path(daemon.socket).exists()


def test_the_host_prefix_stands_before_both_paths(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    prefix = shore.directory / "prefix"
    prefix.mkdir()
    daemon = daemon_of("ours", "-hostprefix", str(prefix), prefix=str(prefix))
    space = shore.container()
    told = shore.caller.error("dhcp", "ADD", shore.config(daemon), space.path)
    text = f'error calling DHCP.Allocate: failed to Statfs "{prefix}{space.path}": no such file or directory'
    assert told["msg"] == text


def test_systemd_s_socket_and_an_end_when_nobody_is_left(shore_of: Any, tmp_path: Path) -> None:
    """Calls wait in the socket for a daemon; one without leases ends, and the socket stays."""
    shore = shore_of()
    listening = socket.socket(socket.AF_UNIX)
    path = str(tmp_path / "passed.sock")
    listening.bind(path)
    listening.listen()
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from netd.dhcp import main; main.IDLE_SECONDS = 0.1\n"
        "sys.exit(main.main(['-run-dir', sys.argv[2]]))"
    )
    shell = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    words = [
        "/bin/bash",
        "-c",
        shell,
        "-",
        str(listening.fileno()),
        PLAIN,
        "-I",
        "-S",
        "-c",
        script,
        str(ROOT),
        str(tmp_path),
    ]
    ipam = {"type": "dhcp", "daemonSocketPath": path}
    config = {"cniVersion": "1.1.0", "name": "net", "type": "macvlan", "master": "wan", "ipam": ipam}
    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(shore.add, config)
        # as systemd does: a daemon whose caller is late would have ended by then
        assert select.select([listening], [], [], SECONDS)[0]
        daemon = subprocess.Popen(words, pass_fds=(listening.fileno(),))
        space, _ = adding.result(SECONDS)
    with pytest.raises(subprocess.TimeoutExpired):
        daemon.wait(0.5)
    shore.delete(config, space)
    assert daemon.wait(SECONDS) == 0
    assert Path(path).is_socket() and shore.server.leases() == {}
    listening.close()


def test_a_daemon_that_dies_while_a_plugin_waits(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    shore.server.stop()
    daemon = daemon_of()
    config = shore.config(daemon)
    space = shore.container()
    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(shore.caller.error, "macvlan", "ADD", config, space.path)
        await_true("it waits", lambda: "looking for a lease" in daemon.log())
        daemon.kill()
        assert adding.result(SECONDS)["msg"] == "error calling DHCP.Allocate: unexpected EOF"
    assert "eth0" not in space.run(["ip", "link"]).stdout
    daemon.start()
    shore.server.start()
    shore.caller.ok("macvlan", "ADD", config, space.path)
    assert len(addresses(space)) == 1


def test_del_without_its_daemon_still_removes_the_device(shore_of: Any, daemon_of: Any) -> None:
    """And says so; the lease goes with the next daemon, who finds the interface gone."""
    shore = shore_of()
    daemon = daemon_of()
    config = shore.config(daemon)
    space, _ = shore.add(config)
    daemon.kill()
    told = shore.caller.error("macvlan", "DEL", config, space.path)
    assert told["msg"].startswith("error dialing DHCP daemon: ")
    assert "eth0" not in space.run(["ip", "link"]).stdout
    daemon.start()
    await_true("it is forgotten", lambda: daemon.kept() == 0)
    shore.delete(config, space)


def test_a_lease_that_ran_out_while_no_daemon_was_there_goes_with_its_address(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    shore.server.stop()
    server = Brief(shore.outside, 2)
    try:
        daemon = daemon_of("ours", "-resendmax", "500ms")
        space, _ = shore.add(shore.config(daemon))
        daemon.kill()
        (stored,) = (daemon.directory / "dhcp").iterdir()
        ends = json.loads(stored.read_text())["four"]["since"] + 2
        await_true("its time is over", lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > ends)
        server.silent, server.last = True, 78
        daemon.start()
        await_true("its address goes", lambda: addresses(space) == [])
        assert "lost 192.0.2.77/24: it has expired" in daemon.log()
        server.silent = False
        await_true("there is another one", lambda: addresses(space) == ["192.0.2.78/24"])
    finally:
        server.close()
