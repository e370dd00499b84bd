"""cnitool, the CNI project's own tool: each verb by itself, on a hand-written list and a bare namespace."""

import itertools
import json
from collections.abc import Iterator

import pytest

from .components import component
from .host import UPLINK, CommandFailed, Host
from .lists import network_list, write_list
from .probes import addresses, fetch, pings
from .residue import assert_nothing_left, left_behind, traces

DIRECTORY = "/etc/cni/cnitool.d"
SUBNET = "10.91.0.0/24"
PORTS = [{"hostPort": 8400, "containerPort": 80, "protocol": "tcp"}]

_numbers = itertools.count(1)


class Cnitool:
    """Runs cnitool on the network "tool" and one namespace."""

    def __init__(self, host: Host, namespace: str) -> None:
        self.host, self.namespace = host, namespace

    def __call__(self, verb: str, **capabilities: object) -> str:
        env = {"CNI_PATH": "/opt/cni/bin", "NETCONFPATH": DIRECTORY}
        if capabilities:
            env["CAP_ARGS"] = json.dumps(capabilities)
        return self.host.run(str(component("cnitool")), verb, "tool", f"/run/netns/{self.namespace}", env=env)

    def run(self, *argv: str) -> str:
        """Run a command in the namespace."""
        return self.host.run("ip", "netns", "exec", self.namespace, "busybox", *argv)


@pytest.fixture
def cnitool(host: Host) -> Iterator[Cnitool]:
    """A fresh namespace, and a list of spec version 1.1.0, which has GC and STATUS."""
    write_list(host, DIRECTORY, "tool", network_list("tool", SUBNET, version="1.1.0"))
    # cnitool's container id is a hash of this path: one that comes again would meet what the reference left behind.
    name = f"tool-{next(_numbers)}"
    host.run("ip", "netns", "add", name)
    tool = Cnitool(host, name)
    yield tool
    tool("del")
    host.run("ip", "netns", "del", name)


def test_add_check_del(cnitool: Cnitool, host: Host, plugin_set: str) -> None:
    """The result names what is really there, CHECK agrees, DEL takes it all away, a second DEL is content."""
    cnitool("add", portMappings=PORTS)
    cnitool("del", portMappings=PORTS)
    before = traces(host)
    result = json.loads(cnitool("add", portMappings=PORTS))
    assert result["cniVersion"] == "1.1.0"
    assert [str(one) for one in addresses(cnitool.run)] == [one["address"] for one in result["ips"]]
    assert pings(cnitool.run, "10.91.0.1")
    assert fetch(cnitool.run, UPLINK, 8000) == "uplink"
    cnitool("check", portMappings=PORTS)
    assert left_behind(host, before, plugin_set)
    # The reference's portmap removes nothing on a DEL that names no ports.
    cnitool("del", portMappings=PORTS)
    cnitool("del")
    assert_nothing_left(host, before, plugin_set)


def test_check_sees_a_lost_address(cnitool: Cnitool) -> None:
    """CHECK fails when what ADD made is no longer there."""
    cnitool("add")
    cnitool.run("ip", "address", "flush", "dev", "eth0")
    with pytest.raises(CommandFailed):
        cnitool("check")


def test_status(cnitool: Cnitool) -> None:
    """The plugins are able to serve."""
    cnitool("status")


def test_gc(cnitool: Cnitool, host: Host) -> None:
    """cnitool names no attachment as valid, so GC takes the lease and the cached result of this one."""
    cnitool("add")
    assert host.run("ls", "/var/lib/cni/networks/tool").count("10.91.0.") == 1
    cnitool("gc")
    assert "10.91.0." not in host.run("ls", "/var/lib/cni/networks/tool")
    assert "tool" not in host.run("ls", "/var/lib/cni/results")


@pytest.mark.parametrize("plugin_set", ["ours"], indirect=True)
def test_del_without_the_ports(cnitool: Cnitool, host: Host, plugin_set: str) -> None:
    """Ours goes by the container's id: what it published is unpublished, whether or not DEL names it."""
    cnitool("add", portMappings=PORTS)
    cnitool("del", portMappings=PORTS)
    before = traces(host)
    cnitool("add", portMappings=PORTS)
    cnitool("del")
    assert_nothing_left(host, before, plugin_set)
