"""Whose gateway is the default route, and where published ports lead, with several networks (contract docker 1.6)."""

import json
from typing import Any

import pytest

from .host import LAN, LAN6, UPLINK, UPLINK6
from .polling import wait_until
from .probes import gateway, pings
from .questions import answers, asks
from .runtime import Runtime, RuntimeContainer

NETWORKS = {
    "aaa": ("--subnet", "10.71.0.0/24"),
    "bbb": ("--subnet", "10.72.0.0/24"),
    "ccc": ("--subnet", "10.73.0.0/24"),
    "six": ("--subnet", "10.74.0.0/24", "--subnet", "fd00:74::/64"),
    "inner": ("--subnet", "10.75.0.0/24", "--internal"),
}
GATEWAYS = {name: f"10.7{number}.0.1" for number, name in enumerate(NETWORKS, 1)} | {"bridge": "172.17.0.1"}


@pytest.fixture(scope="module")
def networks(module_runtime: Runtime) -> Runtime:
    module_runtime.clean()
    for name, flags in NETWORKS.items():
        module_runtime("create", *flags, name)
    return module_runtime


@pytest.fixture
def net(networks: Runtime) -> Any:
    """All networks and no containers."""
    yield networks
    names = networks("ps", "-aq").split()
    if names:
        networks("container", "rm", "-f", *names)


def way_out(container: RuntimeContainer) -> str | None:
    """The network of the default route, which really leads out; None for none."""
    found = gateway(container.net)
    assert pings(container.net, UPLINK) == (found is not None)
    return next(name for name, address in GATEWAYS.items() if address == found) if found else None


@pytest.mark.parametrize(
    ("flags", "wins"),
    [
        (("bbb", "aaa"), "aaa"),
        (("aaa", "bbb"), "aaa"),
        (("ccc", "bbb", "aaa"), "aaa"),
        (("name=aaa", "name=bbb,gw-priority=1"), "bbb"),
        (("name=aaa,gw-priority=1", "name=bbb,gw-priority=2", "name=ccc,gw-priority=3"), "ccc"),
        (("name=aaa,gw-priority=-1", "ccc", "bbb"), "bbb"),
        (("aaa", "six"), "six"),
        (("inner", "ccc"), "ccc"),
        (("inner", "six", "aaa"), "six"),
        (("name=inner,gw-priority=9", "ccc"), "ccc"),
        (("bridge", "bbb"), "bbb"),
        (("bridge", "ccc"), "bridge"),
        (("inner",), None),
    ],
)
def test_the_order_of_networks(net: Runtime, flags: tuple[str, ...], wins: str | None) -> None:
    """Priority, then not internal, then both families, then the name in byte order."""
    words = [word for flag in flags for word in ("--network", flag)]
    assert way_out(net.start("web", *words)) == wins


def test_live(net: Runtime) -> None:
    """Every connect and disconnect decides anew; two, three networks and back to none."""
    web = net.start("web", "--network", "bbb")
    assert way_out(web) == "bbb"
    for command, wins in (
        (("connect", "ccc", "web"), "bbb"),
        (("connect", "aaa", "web"), "aaa"),
        (("disconnect", "bbb", "web"), "aaa"),
        (("connect", "--gw-priority", "5", "bbb", "web"), "bbb"),
        (("connect", "six", "web"), "bbb"),
        (("disconnect", "bbb", "web"), "six"),
        (("disconnect", "six", "web"), "aaa"),
        (("connect", "inner", "web"), "aaa"),
        (("disconnect", "aaa", "web"), "ccc"),
        (("disconnect", "ccc", "web"), None),
        (("connect", "bridge", "web"), "bridge"),
        (("disconnect", "inner", "web"), "bridge"),
        (("disconnect", "bridge", "web"), None),
        (("connect", "aaa", "web"), "aaa"),
    ):
        net(*command)
        assert way_out(web) == wins, command
    # a hole is filled again: after all of this there is one interface, the first
    assert web.run("ls", "/sys/class/net").split() == ["eth0", "lo"]


def test_connections_through_the_network_that_stays_go_on(net: Runtime) -> None:
    """While another is connected, takes the default route, and goes again."""
    net.echo("server", "--network", "bbb")
    server = RuntimeContainer(net, "server").address("bbb")
    client = net.start("client", "--network", "bbb")
    assert asks(client.net, f"tcp,{server},80") == f"server {client.address('bbb')}"
    script = f"exec 3<>/dev/tcp/{server}/80; while read line; do echo $line >&3; read -u 3 line; echo $line; done"
    with net.talk("nsenter", f"--target={client.pid}", "--net", "bash", "-c", script) as talk:
        for command in ((), ("connect", "aaa", "client"), ("disconnect", "aaa", "client")):
            if command:
                net(*command)
            assert talk("who").split()[0] == "server"


def test_the_families_may_go_different_ways(net: Runtime) -> None:
    web = net.start("web", "--network", "six", "--network", "name=aaa,gw-priority=1")
    assert way_out(web) == "aaa"
    assert "via fd00:74::1 dev" in web.run("ip", "-6", "route", "show", "default")
    wait_until(lambda: pings(web.run, UPLINK6), "the bridge's own IPv6 address to be in force")
    shown = json.loads(net("container", "inspect", "-f", "{{json .NetworkSettings.Networks}}", "web"))
    assert (shown["six"]["Gateway"], shown["six"]["IPv6Gateway"]) == ("10.74.0.1", "fd00:74::1")


def test_published_ports_follow_the_gateway(net: Runtime) -> None:
    """The server sees its neighbour on the wire, which tells through which network the packet came.  No port is ever
    without an answer between two commands, nor after the last network has gone and another come."""
    host = net.host
    net.echo("web", "--network", "bbb", "-p", "8080:80", "-p", "8080:80/udp")
    web = RuntimeContainer(net, "web")
    targets = [f"{proto},{address},8080" for address in (LAN, "127.0.0.1") for proto in ("tcp", "udp")]

    def leads_to(network: str) -> bool:
        outside = answers(host.neighbour, *targets[:2])
        inside = answers(host.run, *targets)
        assert outside == [f"web {UPLINK}"] * 2
        return inside[2:] == [f"web {GATEWAYS[network]}"] * 2

    assert leads_to("bbb")
    for command, wins in (
        (("connect", "aaa", "web"), "aaa"),
        (("connect", "six", "web"), "six"),
        (("disconnect", "aaa", "web"), "six"),
        (("disconnect", "six", "web"), "bbb"),
    ):
        net(*command)
        assert leads_to(wins), command
        assert web.net("ip", "-4", "route", "get", UPLINK).split()[2] == GATEWAYS[wins]
        assert net("port", "web", "80/tcp") == "0.0.0.0:8080\n[::]:8080\n"
    net("disconnect", "bbb", "web")
    assert net("port", "web") == ""
    assert answers(host.run, *targets, within=0) == [None] * 4
    net("connect", "inner", "web")
    assert net("port", "web") == "", "nothing is published on an internal network"
    net("connect", "ccc", "web")
    assert leads_to("ccc")


def test_ports_of_both_families_lead_to_the_gateway_of_each(net: Runtime) -> None:
    """IPv6 goes to the network that has it, IPv4 to the one with the priority: the server sees the client itself."""
    net.echo("web", "--network", "six", "--network", "name=aaa,gw-priority=1", "-p", "8080:80")
    assert asks(net.host.neighbour, f"tcp,{LAN},8080") == f"web {UPLINK}"
    assert asks(net.host.neighbour, f"tcp,{LAN6},8080") == f"web {UPLINK6}"
    net("disconnect", "six", "web")
    assert asks(net.host.neighbour, f"tcp,{LAN6},8080") == "web 10.71.0.1", "through the proxy"
