"""Networks of pynet with each firewall backend by name: the same traffic, whichever writes the rules."""

import ipaddress
from collections.abc import Iterator

import pytest

from .host import LAN, LAN6, UPLINK, UPLINK6, Host
from .nerdctl import Container, Nerdctl
from .ours import pynet
from .probes import addresses, echoes, fetch, refused, udp_echo
from .residue import assert_nothing_left, left_behind, traces

pytestmark = pytest.mark.parametrize("plugin_set", ["ours"], indirect=True)

BACKENDS = {"iptables": "10.66.0.0/24", "nftables": "10.67.0.0/24"}
PORTS = ("-p", "8600:80", "-p", "127.0.0.1:8601:80", "-p", f"[{LAN6}]:8602:80", "-p", "8653:53/udp")


@pytest.fixture(scope="module", params=BACKENDS)
def network(request: pytest.FixtureRequest, host: Host) -> Iterator[str]:
    """A dual-stack network with one backend."""
    backend = str(request.param)
    name = f"by-{backend}"
    subnet = BACKENDS[backend]
    subnet6 = f"fd00:{subnet.split('.')[1]}::/64"
    pynet(host, "create", name, "--firewall", backend, "--subnet", subnet, "--subnet", subnet6)
    yield name
    pynet(host, "rm", name)


@pytest.fixture(scope="module")
def web(network: str, module_nerdctl: Nerdctl) -> Iterator[Container]:
    """A server with every kind of port."""
    yield module_nerdctl.serve("web", "--net", network, *PORTS)
    module_nerdctl.clean()


@pytest.fixture(scope="module")
def peer(network: str, web: Container) -> Container:
    """A container on the same network."""
    return web.nerdctl.serve("peer", "--net", network)


def test_addresses_and_ways_out(network: str, web: Container, host: Host) -> None:
    """Both families; only what is masqueraded gets an answer from the neighbour."""
    (address,), (address6,) = addresses(web.run), addresses(web.run, family=6)
    assert address.network == ipaddress.ip_network(BACKENDS[network.removeprefix("by-")])
    assert fetch(host.run, str(address6.ip)) == "web"
    assert fetch(web.run, UPLINK, 8000) == "uplink"
    assert fetch(web.run, UPLINK6, 8000) == "uplink"


@pytest.mark.usefixtures("web")
def test_ports_from_outside(host: Host) -> None:
    """From the neighbour, from the host, by loopback; both families."""
    assert fetch(host.neighbour, LAN, 8600) == "web"
    assert fetch(host.run, LAN, 8600) == "web"
    assert fetch(host.run, "127.0.0.1", 8600) == "web"
    assert fetch(host.run, "127.0.0.1", 8601) == "web"
    assert refused(host.neighbour, LAN, 8601)
    assert fetch(host.neighbour, LAN6, 8602) == "web"
    assert fetch(host.run, LAN6, 8602) == "web"


def test_ports_from_inside(web: Container, peer: Container) -> None:
    """From a peer and from the container itself."""
    assert fetch(peer.run, LAN, 8600) == "web"
    assert fetch(web.run, LAN, 8600) == "web"
    assert fetch(peer.run, LAN6, 8602) == "web"
    assert fetch(web.run, LAN6, 8602) == "web"


def test_udp(web: Container, peer: Container, host: Host) -> None:
    """Datagrams are answered from the address they were sent to."""
    with udp_echo(host, web.pid, 53, "web"):
        assert echoes(host.neighbour, LAN, 8653) == "web ping"
        assert echoes(host.run, "127.0.0.1", 8653) == "web ping"
        in_peer = ("nsenter", f"--target={peer.pid}", "--net", "--")
        assert echoes(lambda *argv: host.run(*in_peer, *argv), LAN, 8653) == "web ping"


def _walled_off(web: Container, nerdctl: Nerdctl, host: Host, backend: str) -> None:
    pynet(host, "create", "other", "--firewall", backend, "--subnet", "10.68.0.0/24")
    try:
        other = nerdctl.serve("other", "--net", "other")
        inside, outside = str(addresses(web.run)[0].ip), str(addresses(other.run)[0].ip)
        assert fetch(host.run, inside) == "web"
        assert fetch(host.run, outside) == "other"
        assert refused(other.run, inside)
        assert refused(web.run, outside)
    finally:
        nerdctl.clean()
        pynet(host, "rm", "other")


def test_walls_between_networks(network: str, web: Container, nerdctl: Nerdctl, host: Host) -> None:
    """Neither of two networks reaches into the other."""
    _walled_off(web, nerdctl, host, network.removeprefix("by-"))


def test_walls_between_networks_of_different_backends(
    network: str, web: Container, nerdctl: Nerdctl, host: Host
) -> None:
    """The same, where a user has named a backend for one of them that is not the host's own."""
    (other,) = set(BACKENDS) - {network.removeprefix("by-")}
    _walled_off(web, nerdctl, host, other)


def test_isolated_containers(network: str, nerdctl: Nerdctl, host: Host) -> None:
    """--isolation isolated keeps a network's own containers apart, and nothing else."""
    pynet(host, "create", "apart", "--firewall", network.removeprefix("by-"), "--isolation", "isolated")
    try:
        left, right = nerdctl.serve("left", "--net", "apart"), nerdctl.serve("right", "--net", "apart")
        address = str(addresses(right.run)[0].ip)
        assert fetch(host.run, address) == "right"
        assert fetch(left.run, UPLINK, 8000) == "uplink"
        assert refused(left.run, address)
    finally:
        nerdctl.clean()
        pynet(host, "rm", "apart")


def test_nothing_is_left_of_a_container(network: str, nerdctl: Nerdctl, host: Host, plugin_set: str) -> None:
    """rm -f takes every rule and element of the container."""
    nerdctl.once("--net", network, "-p", "8699:80", "--", "true")
    before = traces(host)
    nerdctl.serve("brief", "--net", network, "-p", "8603:80", "-p", "127.0.0.1:8604:80", "-p", "8654:53/udp")
    assert left_behind(host, before, plugin_set)
    nerdctl("rm", "-f", "brief")
    assert_nothing_left(host, before, plugin_set)
