"""dhcp with a real server and real traffic: leases from ADD to DEL, refused and expired ones."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from dhcp_house import QUICK, RANGE, Brief, addresses, await_true, daemon_of, identifier, shore_of
from plugin_callers import OURS, Caller
from real_machine import Greeter, greeting

from netd.dhcp import messages4

__all__ = ["daemon_of", "shore_of"]

PORT = 7000


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
    assert way != "ours" or daemon.log().splitlines()[1:] == ["pynetd dhcp: c1/net/eth0: released: no more tries"]


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
