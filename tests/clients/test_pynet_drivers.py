"""`pynet create -d macvlan|ptp` with real clients: nerdctl on the engine's plugins, and the bundled runtime."""

import json
from collections.abc import Iterator

import pytest

from .host import LAN, UPLINK, CommandFailed, Host
from .nerdctl import Nerdctl
from .ours import command, pynet
from .polling import wait_until
from .probes import addresses, fetch, gateway, mac, pings, refused
from .residue import assert_nothing_left, traces
from .runtime import Runtime

ours = pytest.mark.parametrize("plugin_set", ["ours"], indirect=True)
WIRE = ("--subnet", "192.168.250.0/24", "--ip-range", "192.168.250.192/27")


@pytest.fixture
def clean(host: Host, nerdctl: Nerdctl) -> Iterator[Nerdctl]:
    """nerdctl, and at the end no container and none of the networks made with pynet; nothing else is left either."""
    pynet(host, "create", "-d", "ptp", "first-of-all")  # the firewall's own chains stay, as the reference's
    nerdctl.once("--net", "first-of-all", "-p", "8070:80", "--", "true")
    pynet(host, "rm", "first-of-all")
    before = traces(host)
    yield nerdctl
    nerdctl.clean()
    for network in json.loads(pynet(host, "ls", "--json")):
        if network["Owner"] == "pynet":
            pynet(host, "rm", network["Name"])
    assert_nothing_left(host, before, "ours")


@ours
def test_macvlan_containers_are_on_the_host_s_wire(host: Host, clean: Nerdctl) -> None:
    """Their neighbours see them under their own addresses, without the host between."""
    pynet(host, "create", "-d", "macvlan", "-o", "parent=eth0", *WIRE, "lan")
    first = clean.serve("first", "--net", "lan")
    second = clean.serve("second", "--net", "lan", "--ip", "192.168.250.200", "--mac-address", "02:42:c0:a8:fa:c8")
    assert gateway(first.run) == UPLINK
    assert fetch(first.run, UPLINK, 8000) == "uplink"
    assert fetch(host.neighbour, "192.168.250.200") == "second"
    assert fetch(first.run, "192.168.250.200") == "second"
    assert mac(second.run) == "02:42:c0:a8:fa:c8"
    assert not pings(first.run, LAN) and refused(host.run, "192.168.250.200")


@ours
def test_host_access_leads_to_macvlan_containers_and_back(host: Host, clean: Nerdctl) -> None:
    """The device is there from the start, comes back with a container after a reboot took it, and goes with the
    network."""
    pynet(host, "create", "-d", "macvlan", "--host-access", *WIRE, "lan")
    assert addresses(host.run, "pn-lan")[0].ip.exploded == "192.168.250.223"
    web = clean.serve("web", "--net", "lan")
    address = str(addresses(web.run)[0].ip)
    assert fetch(host.run, address) == "web"
    assert pings(web.run, "192.168.250.223")
    host.run("ip", "link", "delete", "pn-lan")
    assert refused(host.run, address)
    clean.serve("again", "--net", "lan")
    assert fetch(host.run, address) == "web"
    clean.clean()
    pynet(host, "rm", "lan")
    assert not host.succeeds("ip", "link", "show", "pn-lan")


@ours
def test_ptp_containers_have_a_link_each(host: Host, clean: Nerdctl) -> None:
    """Out by masquerade, in by published port, and from one to the other through the host."""
    pynet(host, "create", "-d", "ptp", "--subnet", "10.71.0.0/24", "routed")
    first = clean.serve("first", "--net", "routed", "-p", "8071:80")
    second = clean.serve("second", "--net", "routed")
    assert fetch(first.run, UPLINK, 8000) == "uplink"
    assert fetch(host.neighbour, LAN, 8071) == "first"
    assert fetch(second.run, str(addresses(first.run)[0].ip)) == "first"
    assert fetch(second.run, "first") == "first"


@ours
def test_nerdctl_knows_them(host: Host, clean: Nerdctl) -> None:
    pynet(host, "create", "-d", "macvlan", *WIRE, "lan")
    pynet(host, "create", "-d", "ptp", "routed")
    shown = clean("network", "ls", "--format", "{{.Name}}").split()
    assert {"lan", "routed"} <= set(shown)
    (inspected,) = json.loads(clean("network", "inspect", "lan"))
    assert inspected["IPAM"]["Config"][0]["Subnet"] == "192.168.250.0/24"


@ours
def test_a_device_that_vanished_is_named(host: Host, clean: Nerdctl) -> None:
    host.run("ip", "link", "add", "gone0", "type", "veth", "peer", "name", "gone1")
    pynet(host, "create", "-d", "macvlan", "-o", "parent=gone0", "--subnet", "10.72.0.0/24", "lan")
    host.run("ip", "link", "delete", "gone0")
    with pytest.raises(CommandFailed, match="Link not found"):
        clean.serve("web", "--net", "lan")


@ours
def test_addresses_by_dhcp(host: Host, clean: Nerdctl) -> None:
    """The wire's own server gives them out, to a container as to any machine."""
    server = host.service(
        "dnsmasq",
        *("ip", "netns", "exec", "uplink", "dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null"),
        *("--dhcp-range=192.168.250.100,192.168.250.110,2m", "--dhcp-leasefile=/run/leases", "--log-facility=-"),
        *("--pid-file=/run/dnsmasq.pid", "--user=root"),
    )
    daemon = host.service("pynetd-dhcp", command("pynetd"), "dhcp")
    try:
        wait_until(lambda: host.file("/run/cni/dhcp.sock").exists(), "the DHCP daemon's socket")
        pynet(host, "create", "-d", "macvlan", "--ipam-driver", "dhcp", "lan")
        web = clean.serve("web", "--net", "lan")
        address = str(addresses(web.run)[0].ip)
        assert 100 <= int(address.rpartition(".")[2]) <= 110
        assert fetch(host.neighbour, address) == "web"
        clean.clean()
        wait_until(lambda: address not in host.file("/run/leases").read_text(), "the lease to be given back")
    finally:
        server.stop()
        daemon.stop()


def test_the_bundled_runtime_on_a_wire_and_on_links(runtime: Runtime) -> None:
    """Names, addresses asked for, and the host's own way, as on bridge networks."""
    host = runtime.host
    runtime("create", "-d", "macvlan", "--host-access", *WIRE, "lan")
    runtime("create", "-d", "ptp", "--subnet", "10.73.0.0/24", "routed")
    web = runtime.serve("web", "--network", "lan", "--ip", "192.168.250.201")
    other = runtime.start("other", "--network", "lan")
    assert fetch(other.run, "web") == "web"
    assert fetch(host.neighbour, web.address("lan")) == "web"
    assert fetch(host.run, web.address("lan")) == "web"
    unpublished = runtime.start("unpublished", "--network", "lan", "-p", "8072:80")
    assert runtime("port", "unpublished") == "" and refused(host.neighbour, LAN, 8072)
    assert unpublished.inspect()["HostConfig"]["PortBindings"]
    published = runtime.serve("published", "--network", "routed", "-p", "8073:80")
    assert fetch(host.neighbour, LAN, 8073) == "published"
    assert fetch(published.run, UPLINK, 8000) == "uplink"
    runtime("connect", "routed", "web")
    assert fetch(published.run, "web") == "web"
    runtime("disconnect", "routed", "web")
    assert fetch(host.neighbour, web.address("lan")) == "web"
