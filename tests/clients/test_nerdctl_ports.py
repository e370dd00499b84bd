"""nerdctl's published ports, from every side they can be reached from."""

import pytest

from .host import LAN, LAN6, UPLINK6, Host
from .nerdctl import Container, Nerdctl
from .probes import addresses, echoes, fetch, refused, udp_echo


@pytest.fixture(scope="module")
def web(module_nerdctl: Nerdctl) -> Container:
    """One server for the module: a port on all addresses, one on loopback only, and one of UDP."""
    network = module_nerdctl.network("ports", "--subnet", "10.40.0.0/24")
    ports = ("-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "8053:53/udp", "-p", "9000-9001:80-81")
    return module_nerdctl.serve("web", "--net", network, *ports)


@pytest.fixture(scope="module")
def peer(module_nerdctl: Nerdctl, web: Container) -> Container:
    """A container on the same network."""
    return module_nerdctl.serve("peer", "--net", web.nerdctl.networks[-1])


@pytest.mark.usefixtures("web")
def test_from_the_host(host: Host) -> None:
    """By the host's address on its uplink."""
    assert fetch(host.run, LAN, 8080) == "web"


@pytest.mark.usefixtures("web")
def test_from_loopback(host: Host) -> None:
    """By 127.0.0.1, which needs route_localnet and a masquerade."""
    assert fetch(host.run, "127.0.0.1", 8080) == "web"


@pytest.mark.usefixtures("web")
def test_from_the_neighbour(host: Host) -> None:
    """From another machine on the uplink."""
    assert fetch(host.neighbour, LAN, 8080) == "web"


def test_from_a_container_on_the_same_network(peer: Container) -> None:
    """By the host's address and by the gateway's: the answer has to come back the way the question went."""
    assert fetch(peer.run, LAN, 8080) == "web"
    assert fetch(peer.run, "10.40.0.1", 8080) == "web"


def test_from_a_container_on_another_network(web: Container, nerdctl: Nerdctl) -> None:
    """Networks are walled off from each other, and a published port is no way around that wall."""
    other = nerdctl.serve("other", "--net", nerdctl.network("elsewhere", "--subnet", "10.41.0.0/24"))
    assert refused(other.run, str(addresses(web.run)[0].ip))
    assert refused(other.run, LAN, 8080)


def test_from_the_container_itself(web: Container) -> None:
    """Hairpin: out to the host's address and back into the same container."""
    assert fetch(web.run, LAN, 8080) == "web"


@pytest.mark.usefixtures("web")
def test_a_port_on_loopback_is_only_there(host: Host) -> None:
    """The host address of a mapping is kept to."""
    assert fetch(host.run, "127.0.0.1", 8081) == "web"
    assert refused(host.neighbour, LAN, 8081)
    assert refused(host.run, LAN, 8081)


@pytest.mark.usefixtures("web")
def test_a_range_of_ports(host: Host) -> None:
    """nerdctl sends one mapping for each port of a range."""
    assert fetch(host.neighbour, LAN, 9000) == "web"


def test_udp(web: Container, host: Host) -> None:
    """Datagrams from the neighbour and from the host, answered from the address they were sent to."""
    with udp_echo(host, web.pid, 53, "web"):
        assert echoes(host.neighbour, LAN, 8053) == "web ping"
        assert echoes(host.run, "127.0.0.1", 8053) == "web ping"
        assert echoes(host.run, LAN, 8053) == "web ping"


def test_udp_moves_to_the_next_container(nerdctl: Nerdctl, host: Host) -> None:
    """A flow the kernel still remembers must not lead to the container that had the port before."""
    network = nerdctl.network("moving", "--subnet", "10.42.0.0/24")
    first = nerdctl.serve("first", "--net", network, "-p", "8054:53/udp", "--ip", "10.42.0.11")
    with udp_echo(host, first.pid, 53, "first"):
        assert echoes(host.neighbour, LAN, 8054) == "first ping"
    nerdctl("rm", "-f", "first")
    second = nerdctl.serve("second", "--net", network, "-p", "8054:53/udp", "--ip", "10.42.0.12")
    with udp_echo(host, second.pid, 53, "second"):
        assert echoes(host.neighbour, LAN, 8054) == "second ping"


def test_an_ipv6_port(nerdctl: Nerdctl, host: Host) -> None:
    """Published on one of the host's IPv6 addresses (nerdctl never publishes on the IPv6 wildcard)."""
    network = nerdctl.network("ports6", "--ipv6", "--subnet", "10.43.0.0/24", "--subnet", "fd00:43::/64")
    web6 = nerdctl.serve("web6", "--net", network, "--cap-add", "NET_ADMIN", "-p", f"[{LAN6}]:8086:80")
    # nerdctl's lists never hold an IPv6 default route, without which nobody outside can be answered.
    web6.run("ip", "-6", "route", "add", "default", "via", "fd00:43::1")
    assert fetch(host.neighbour, LAN6, 8086) == "web6"
    assert fetch(host.run, LAN6, 8086) == "web6"
    assert fetch(web6.run, LAN6, 8086) == "web6"
    # The neighbour has no route to fd00:43::/64 either: masqueraded, or no answer.
    assert fetch(web6.run, UPLINK6, 8000) == "uplink"


def test_a_port_in_use_is_refused(web: Container, nerdctl: Nerdctl) -> None:
    """nerdctl looks into the rules and the sockets for it; the first owner keeps the port."""
    with pytest.raises(AssertionError, match="8080"):
        nerdctl.serve("thief", "-p", "8080:80")
    assert fetch(web.nerdctl.host.run, LAN, 8080) == "web"
