"""DHCPv6 with a real server: alone, beside DHCPv4, declined, released."""

from __future__ import annotations

import socket
from typing import Any

from dhcp_house import RANGE, RANGE6, addresses, await_true, daemon_of, shore_of
from real_machine import Greeter, greeting

__all__ = ["daemon_of", "shore_of"]

PORT = 7000


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
