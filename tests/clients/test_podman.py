"""podman with CNI: its own lists (spec 0.4.0), its own spelling of port mappings, connect and disconnect."""

import ipaddress
from collections.abc import Iterator

import pytest

from .host import LAN, UPLINK, Host
from .podman import Podman
from .probes import addresses, fetch, gateway, mac, refused
from .residue import assert_nothing_left, left_behind, traces


@pytest.fixture(scope="module")
def podman_with_image(host: Host) -> Podman:
    """A podman that has the image."""
    podman = Podman(host)
    podman.set_up()
    return podman


@pytest.fixture
def podman(podman_with_image: Podman) -> Iterator[Podman]:
    """podman, which removes at the end of the test what the test made."""
    yield podman_with_image
    podman_with_image.clean()


def test_run_with_ports(podman: Podman, host: Host) -> None:
    """The default network: from the neighbour, from the host, from loopback only, and from the container itself."""
    web = podman.serve("web", "-p", "8300:80", "-p", "127.0.0.1:8301:80")
    (address,) = addresses(web.run)
    assert address.network == ipaddress.ip_network("10.88.0.0/16")
    assert gateway(web.run) == "10.88.0.1"
    assert fetch(web.run, UPLINK, 8000) == "uplink"
    assert fetch(host.neighbour, LAN, 8300) == "web"
    assert fetch(host.run, "127.0.0.1", 8300) == "web"
    assert fetch(host.run, "127.0.0.1", 8301) == "web"
    assert fetch(web.run, LAN, 8300) == "web"
    assert refused(host.neighbour, LAN, 8301)


def test_a_network_of_its_own(podman: Podman, host: Host) -> None:
    """Static address and hardware address, and a peer."""
    network = podman.network("ringnet", "--subnet", "10.90.1.0/24")
    fixed = podman.serve("fixed", "--network", network, "--ip", "10.90.1.50", "--mac-address", "02:00:0a:5a:01:32")
    peer = podman.serve("peer", "--network", network)
    assert addresses(fixed.run) == [ipaddress.ip_interface("10.90.1.50/24")]
    assert mac(fixed.run) == "02:00:0a:5a:01:32"
    assert fetch(peer.run, "10.90.1.50") == "fixed"
    assert fetch(host.run, "10.90.1.50") == "fixed"


def test_a_dual_stack_network(podman: Podman, host: Host) -> None:
    """Both families, with default routes in both."""
    network = podman.network("ringdual", "--ipv6", "--subnet", "10.90.2.0/24", "--subnet", "fd00:90::/64")
    web = podman.serve("web", "--network", network, "-p", "8302:80")
    assert addresses(web.run)[0].network == ipaddress.ip_network("10.90.2.0/24")
    (address6,) = addresses(web.run, family=6)
    assert fetch(host.run, str(address6.ip)) == "web"
    assert fetch(web.run, "fd00:250::1", 8000) == "uplink"
    assert fetch(host.neighbour, "fd00:250::2", 8302) == "web"


def test_an_internal_network(podman: Podman) -> None:
    """Peers, but no way out."""
    network = podman.network("ringinner", "--internal", "--subnet", "10.90.3.0/24")
    left, right = podman.serve("left", "--network", network), podman.serve("right", "--network", network)
    assert fetch(left.run, str(addresses(right.run)[0].ip)) == "right"
    assert gateway(left.run) is None
    assert refused(left.run, UPLINK, 8000)


def test_connect_and_disconnect(podman: Podman, host: Host) -> None:
    """A second network for a running container, whose ports stay as they were."""
    first = podman.network("ringone", "--subnet", "10.90.4.0/24")
    second = podman.network("ringtwo", "--subnet", "10.90.5.0/24")
    web = podman.serve("web", "--network", first, "-p", "8303:80")
    peer = podman.serve("peer", "--network", second)
    podman("network", "connect", "--ip", "10.90.5.77", second, "web")
    assert addresses(web.run, "eth1") == [ipaddress.ip_interface("10.90.5.77/24")]
    assert fetch(peer.run, "10.90.5.77") == "web"
    podman("network", "disconnect", second, "web")
    assert "eth1" not in web.run("ip", "link")
    assert addresses(web.run)[0].network == ipaddress.ip_network("10.90.4.0/24")
    assert fetch(host.neighbour, LAN, 8303) == "web"


def test_reload(podman: Podman, host: Host) -> None:
    """network reload is DEL and ADD with the addresses the container had."""
    web = podman.serve("web", "-p", "8304:80")
    had = (addresses(web.run), mac(web.run))
    podman("network", "reload", "web")
    assert (addresses(web.run), mac(web.run)) == had
    assert fetch(host.neighbour, LAN, 8304) == "web"


def test_nothing_is_left(podman: Podman, host: Host, plugin_set: str) -> None:
    """podman gives DEL its namespace and the previous result."""
    network = podman.network("ringtidy", "--ipv6", "--subnet", "10.90.6.0/24", "--subnet", "fd00:96::/64")
    podman.serve("first", "--network", network, "-p", "8305:80")
    podman("rm", "--force", "--time", "0", "first")
    before = traces(host)
    podman.serve("second", "--network", network, "-p", "8306:80", "-p", "8307:53/udp")
    assert left_behind(host, before, plugin_set)
    podman("rm", "--force", "--time", "0", "second")
    assert_nothing_left(host, before, plugin_set)
