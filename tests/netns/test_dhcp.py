"""dhcp with a real server, real traffic, and daemons that die."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dhcp_house import (
    QUICK,
    RANGE,
    RANGE6,
    SECONDS,
    Daemon,
    Shore,
    addresses,
    await_true,
    identifier,
)
from launchers import PLAIN, ROOT
from plugin_callers import OURS, Caller
from real_machine import Greeter, greeting

from netd.dhcp import messages4

PORT = 7000


@pytest.fixture
def shore_of(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Callable[..., Shore]]:
    """Makes a shore for a way of execution and options of the server."""
    made: list[Shore] = []

    def make(way: str = "in-process", options: tuple[str, ...] = RANGE) -> Shore:
        made.append(Shore(Caller(way, netns, tmp_path), tmp_path, options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def daemon_of(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    made: list[Daemon] = []

    def make(way: str = "ours", *options: str, words: tuple[str, ...] = (), prefix: str = "") -> Daemon:
        made.append(Daemon(tmp_path, way, options, words, prefix))
        return made[-1]

    yield make
    for each in made:
        each.kill()


@pytest.mark.parametrize("way", OURS)
def test_a_container_gets_a_lease_and_gives_it_back(way: str, shore_of: Any, daemon_of: Any) -> None:
    shore, daemon = shore_of(way), daemon_of()
    config = shore.config(daemon)
    space, result = shore.add(config)
    (ip,) = result["ips"]
    assert ip["gateway"] == "192.0.2.2" and ip["interface"] == 0
    assert result["routes"] == [{"dst": "0.0.0.0/0", "gw": "192.0.2.2"}] and "dns" not in result
    assert addresses(space) == [ip["address"]]
    own = ip["address"].partition("/")[0]
    assert shore.server.leases() == {own: identifier("c1")}
    with Greeter(shore.outside, socket.AF_INET, socket.SOCK_STREAM, PORT):
        assert greeting(space, "192.0.2.2", PORT, socket.SOCK_STREAM) == own
    shore.caller.ok("macvlan", "CHECK", {**config, "prevResult": result}, space.path)
    shore.caller.ok("macvlan", "STATUS", config, "")
    shore.delete(config, space)
    await_true("the lease is given back", lambda: shore.server.leases() == {})
    assert daemon.kept() == 0
    shore.delete(config, space)


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


STATIC = (
    *("--dhcp-range=192.0.2.10,192.0.2.10,2m", "--dhcp-authoritative"),
    "--dhcp-option=121,10.9.0.0/16,192.0.2.3,198.51.100.7/32,0.0.0.0,0.0.0.0/0,192.0.2.4",
    "--dhcp-option=33,10.2.0.0,192.0.2.3",
)


@pytest.mark.parametrize(
    "ipam",
    [
        {},
        {"request": [{"option": "121"}]},
        {"request": [{"option": "33"}], "priority": 7},
        {"request": [{"skipDefault": True, "option": "subnet-mask"}]},
        {"provide": [{"option": "host-name", "value": "web"}, {"option": "60", "fromArg": "CLASS"}]},
    ],
)
def test_either_side_may_be_the_reference(
    shore_of: Any, daemon_of: Any, netns: Any, tmp_path: Path, ipam: dict[str, Any]
) -> None:
    """Plugin and daemon, each ours and the reference's: equal results, and the server hears the same."""
    shore = shore_of("reference", STATIC)
    callers = (shore.caller, Caller("in-process", netns, tmp_path))
    arguments = {"CNI_ARGS": "CLASS=green;other"}
    results, heard = [], []
    for way in ("ours", "reference"):
        daemon = daemon_of(way)
        config = shore.config(daemon, **ipam)
        for caller in callers:
            space = shore.container()
            shore.host.run(["ip", "link", "add", "eth0", "link", "wan", "netns", space.path, "type", "macvlan"])
            mark = len(shore.server.log())
            results.append(caller.ok("dhcp", "ADD", config, space.path, **arguments))
            caller.ok("dhcp", "CHECK", config, space.path, **arguments)
            heard.append(questions(shore.server.log()[mark:]))
            caller.ok("dhcp", "DEL", config, space.path, **arguments)
            if way == "ours":
                await_true("the lease is given back", lambda: shore.server.leases() == {})
            else:
                # the reference's daemon can say so only where the address is on the interface
                shore.server.stop()
                (shore.server.directory / "leases").unlink()
                shore.server.start(STATIC)
    assert results[1:] == results[:1] * 3
    assert heard[1:] == heard[:1] * 3 and heard[0]


def questions(log: str) -> list[str]:
    """What clients asked for and said of themselves; dnsmasq repeats it for each answer."""
    words = ("requested options: ", "vendor class: ", "client provides name: ")
    return sorted({word + line.partition(word)[2] for line in log.splitlines() for word in words if word in line})


@pytest.mark.parametrize("way", ["reference", "ours"])
def test_a_server_that_never_answers(way: str, shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    shore.server.stop()
    daemon = daemon_of(way, "-timeout", "300ms", "-resendtimeout", "1500ms")
    space = shore.container()
    told = shore.caller.error("macvlan", "ADD", shore.config(daemon), space.path)
    assert told == {"code": 999, "msg": "error calling DHCP.Allocate: no more tries"}
    assert "eth0" not in space.run(["ip", "link"]).stdout
    shore.delete(shore.config(daemon), space)


def test_ipv6_too_when_asked_for(shore_of: Any, daemon_of: Any) -> None:
    """The address from DHCPv6, the way out from router advertisements."""
    shore = shore_of("in-process", (*RANGE, *RANGE6, "--dhcp-option=option6:dns-server,[fd99::53]"))
    daemon = daemon_of()
    config = shore.config(daemon, family="dual")
    space = shore.caller.make()  # with duplicate address detection
    result = shore.caller.ok("macvlan", "ADD", config, space.path)
    four, six = result["ips"]
    assert four["address"].startswith("192.0.2.") and six["address"].startswith("fd99::1") and "gateway" not in six
    # macvlan reports no dns but its own, so the plugin is asked once more, for the lease that there is
    assert shore.caller.ok("dhcp", "ADD", config, space.path)["dns"] == {"nameservers": ["fd99::53"]}
    own = six["address"].removesuffix("/128")
    assert six["address"] in addresses(space)
    assert own in shore.server.leases()
    await_true("a default route", lambda: "default via fe80" in space.run(["ip", "-6", "route"]).stdout)
    await_true("detection is over", lambda: "tentative" not in space.run(["ip", "addr", "show", "eth0"]).stdout)
    with Greeter(shore.outside, socket.AF_INET6, socket.SOCK_STREAM, PORT):
        space.run(["ip", "route", "get", "fd99::2"])
        assert greeting(space, "fd99::2", PORT, socket.SOCK_STREAM).startswith("fd99::")
    shore.caller.ok("macvlan", "CHECK", {**config, "prevResult": result}, space.path)
    shore.delete(config, space)
    await_true("both leases are given back", lambda: shore.server.leases() == {})


def test_ipv6_alone_and_in_two_messages(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of("in-process", (*RANGE6, "--dhcp-rapid-commit"))
    daemon = daemon_of()
    space, result = shore.add(shore.config(daemon, family="ipv6", rapidCommit=True))
    assert [each["address"][:6] for each in result["ips"]] == ["fd99::"]
    shore.delete(shore.config(daemon, family="ipv6", rapidCommit=True), space)
    await_true("the lease is given back", lambda: shore.server.leases() == {})


def test_an_address_that_somebody_has_is_declined(shore_of: Any, daemon_of: Any) -> None:
    """The kernel finds out, after ADD; the container gets the other one."""
    shore = shore_of("in-process", ("--dhcp-range=fd99::100,fd99::101,64,2m",))
    config = shore.config(daemon_of(), family="ipv6")
    probe, result = shore.add(config)
    shore.delete(config, probe)
    taken = result["ips"][0]["address"].removesuffix("/128")
    other = {"fd99::100": "fd99::101", "fd99::101": "fd99::100"}[taken]
    owner = shore.container()
    device = ["link", "wan", "netns", owner.path, "type", "macvlan", "mode", "bridge"]
    shore.host.run(["ip", "link", "add", "eth0", *device])
    owner.run(["ip", "addr", "add", f"{taken}/64", "dev", "eth0", "nodad"])
    owner.run(["ip", "link", "set", "eth0", "up"])
    space = shore.caller.make()  # with duplicate address detection
    assert shore.caller.ok("macvlan", "ADD", config, space.path)["ips"] == result["ips"]
    await_true("it is declined", lambda: "DHCPDECLINE" in shore.server.log())
    await_true("there is another one", lambda: addresses(space) == [f"{other}/128"])


def test_one_container_is_the_same_to_the_server_each_time(shore_of: Any, daemon_of: Any) -> None:
    """By its DUID: dnsmasq chooses DHCPv6 addresses by it, and so the same one again."""
    shore = shore_of("in-process", RANGE6)
    config = shore.config(daemon_of(), family="ipv6")
    first, before = shore.add(config)
    shore.delete(config, first)
    await_true("the lease is given back", lambda: shore.server.leases() == {})
    _, after = shore.add(config)
    _, other = shore.add(config, "c2")
    assert after["ips"] == before["ips"] != other["ips"]


def test_the_reference_s_daemon_says_that_it_knows_no_ipv6(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    daemon = daemon_of("reference")
    told = shore.caller.error("macvlan", "ADD", shore.config(daemon, family="dual"), shore.container().path)
    assert "knows IPv4 only" in told["msg"]


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


def test_a_lease_that_the_server_refuses_is_replaced_on_the_interface(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of("in-process", (*RANGE, *QUICK))
    daemon = daemon_of()
    config = shore.config(daemon)
    space, result = shore.add(config)
    shore.server.stop()
    (shore.server.directory / "leases").unlink()
    shore.server.start(("--dhcp-range=192.0.2.200,192.0.2.210,2m", "--dhcp-authoritative"))
    await_true("it has another address", lambda: [len(each) for each in addresses(space)] == [len("192.0.2.200/24")])
    assert "DHCPNAK" in shore.server.log()
    (now,) = addresses(space)
    with Greeter(shore.outside, socket.AF_INET, socket.SOCK_STREAM, PORT):
        assert greeting(space, "192.0.2.2", PORT, socket.SOCK_STREAM) == now.partition("/")[0]
    assert "default via 192.0.2.2" in space.run(["ip", "route"]).stdout
    told = shore.caller.error("dhcp", "CHECK", {**config, "prevResult": result}, space.path)
    assert now in told["msg"]


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


def test_the_daemon_by_the_plugin_s_name(shore_of: Any, daemon_of: Any, tmp_path: Path) -> None:
    shore = shore_of()
    pidfile = tmp_path / "pid"
    daemon = daemon_of(
        "ours", "-pidfile", str(pidfile), words=(str(shore.caller.bin / "dhcp"), "daemon", "--broadcast")
    )
    assert pidfile.read_text() == str(daemon.process.pid)
    config = shore.config(daemon)
    space, _ = shore.add(config)
    shore.delete(config, space)
    await_true("the lease is given back", lambda: shore.server.leases() == {})
    assert daemon.stop() == 0
    assert not pidfile.exists() and not Path(daemon.socket).exists()


def test_a_dhcpv6_release_is_repeated_until_the_server_hears_it(shore_of: Any, daemon_of: Any) -> None:
    options = (*RANGE, *RANGE6)
    shore, daemon = shore_of("in-process", options), daemon_of()
    config = shore.config(daemon, family="ipv6")
    space, _ = shore.add(config)
    assert len(shore.server.leases()) == 1
    shore.server.stop()
    shore.caller.ok("dhcp", "DEL", config, space.path)
    assert daemon.kept() == 0
    shore.server.start(options)
    await_true("the lease is given back", lambda: shore.server.leases() == {})


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


def test_names_and_mtu_when_they_are_asked_for(shore_of: Any, daemon_of: Any) -> None:
    options = ("--dhcp-option=6,192.0.2.53", "--dhcp-option=15,example.org", "--dhcp-option=26,1300")
    shore = shore_of("in-process", (*RANGE, *options, "--dhcp-option=119,one.example,two.example"))
    daemon = daemon_of()
    plain = shore.config(daemon)
    space, result = shore.add(plain)
    assert "dns" not in shore.caller.ok("dhcp", "ADD", plain, space.path)
    assert space.namespace().link("eth0").mtu == 1500
    asked = shore.config(daemon, request=[{"option": code} for code in ("6", "15", "26", "119")])
    space, result = shore.add(asked, "c2")
    names = shore.caller.ok("dhcp", "ADD", asked, space.path, container_id="c2")["dns"]
    search = ["one.example", "two.example"]
    assert names == {"nameservers": ["192.0.2.53"], "domain": "example.org", "search": search}
    assert space.namespace().link("eth0").mtu == 1300
    shore.caller.ok("macvlan", "CHECK", {**asked, "prevResult": result}, space.path, container_id="c2")


@pytest.mark.parametrize("way", OURS)
def test_on_a_bridge_that_leads_to_the_server(way: str, shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of(way)
    daemon = daemon_of()
    shore.host.run(["ip", "link", "add", "br0", "type", "bridge"])
    shore.host.run(["ip", "link", "set", "br0", "up"])
    shore.host.run(["ip", "link", "set", "wan", "master", "br0"])
    config = {**shore.config(daemon), "type": "bridge", "bridge": "br0"}
    space = shore.container()
    result = shore.caller.ok("bridge", "ADD", config, space.path)
    with Greeter(shore.outside, socket.AF_INET, socket.SOCK_STREAM, PORT):
        seen = greeting(space, "192.0.2.2", PORT, socket.SOCK_STREAM)
    assert [f"{seen}/24"] == addresses(space) == [each["address"] for each in result["ips"]]
    shore.caller.ok("bridge", "DEL", config, space.path)
    await_true("the lease is given back", lambda: shore.server.leases() == {})


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


class Brief:
    """A server whose leases last `seconds`, by our own codec; it gives 192.0.2.77 and then 192.0.2.78 and so on."""

    def __init__(self, space: Any, seconds: int) -> None:
        self._socket = space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, 25, b"lan")
        self._socket.bind(("", 67))
        self._socket.settimeout(0.05)
        self._seconds = seconds
        self.heard: list[int] = []
        self.last = 77
        self.silent = self._stopped = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stopped:
            try:
                data, _ = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            message = messages4.decode(data)
            self.heard.append(message.type)
            kind = {messages4.DISCOVER: messages4.OFFER, messages4.REQUEST: messages4.ACK}.get(message.type)
            if kind is not None and not self.silent:
                options = {messages4.TYPE: bytes((kind,)), messages4.SERVER: bytes((192, 0, 2, 2))}
                options[messages4.SUBNET_MASK] = b"\xff\xff\xff\0"
                options[messages4.LEASE_TIME] = self._seconds.to_bytes(4, "big")
                yours = message.client if any(message.client) else bytes((192, 0, 2, self.last))
                answer = message.replace(from_server=True, options=options, yours=yours)
                self._socket.sendto(messages4.encode(answer), ("255.255.255.255", 68))

    def close(self) -> None:
        self._stopped = True
        self._thread.join()
        self._socket.close()


def test_an_address_whose_time_is_over_goes_and_the_next_one_comes(shore_of: Any, daemon_of: Any) -> None:
    shore = shore_of()
    shore.server.stop()
    server = Brief(shore.outside, 3)
    try:
        daemon = daemon_of("ours", "-resendmax", "500ms")
        space, _ = shore.add(shore.config(daemon))
        assert addresses(space) == ["192.0.2.77/24"]
        mark = len(server.heard)
        await_true("it is renewed", lambda: server.heard[mark:].count(messages4.REQUEST) >= 2)
        assert messages4.DISCOVER not in server.heard[mark:]
        server.silent = True
        await_true("its time is over", lambda: addresses(space) == [])
        assert "lost 192.0.2.77/24: it has expired" in daemon.log()
        text = "c1/net/eth0 has lost its lease, and no server gives another one"
        told = shore.caller.error("dhcp", "ADD", shore.config(daemon), space.path)
        assert told["msg"] == f"error calling DHCP.Allocate: {text}"
        assert (
            "no lease for c1/net/eth0" in shore.caller.error("dhcp", "CHECK", shore.config(daemon), space.path)["msg"]
        )
        daemon.kill()
        daemon.start()
        server.last = 78
        server.silent = False
        await_true("there is another one", lambda: addresses(space) == ["192.0.2.78/24"])
    finally:
        server.close()


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
