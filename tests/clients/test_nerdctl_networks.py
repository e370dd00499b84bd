"""nerdctl's networks as a user sees them: addresses, gateways, peers, ways out and walls between."""

import ipaddress
from concurrent.futures import ThreadPoolExecutor

import pytest

from .host import UPLINK, CommandFailed, Host
from .nerdctl import Nerdctl
from .polling import wait_until
from .probes import addresses, fetch, gateway, mac, pings, refused


def test_the_default_network_gives_an_address_a_gateway_and_a_way_out(nerdctl: Nerdctl) -> None:
    """The neighbour has no route back to containers, so its answer proves the masquerade."""
    container = nerdctl.serve("web")
    (address,) = addresses(container.run)
    assert address.network == ipaddress.ip_network("10.4.0.0/24")
    assert gateway(container.run) == "10.4.0.1"
    assert pings(container.run, "10.4.0.1")
    assert fetch(container.run, UPLINK, 8000) == "uplink"


def test_peers_reach_each_other_by_address_and_by_name(nerdctl: Nerdctl, host: Host) -> None:
    """nerdctl writes names from the addresses in our results; the host reaches both too."""
    network = nerdctl.network("peers", "--subnet", "10.21.0.0/24")
    left, right = nerdctl.serve("left", "--net", network), nerdctl.serve("right", "--net", network)
    address = str(addresses(right.run)[0].ip)
    assert address.startswith("10.21.0.")
    assert fetch(left.run, address) == "right"
    assert fetch(left.run, "right") == "right"
    assert fetch(right.run, "left") == "left"
    assert fetch(host.run, address) == "right"


def test_static_addresses(nerdctl: Nerdctl) -> None:
    """--ip and --mac-address arrive in CNI_ARGS."""
    network = nerdctl.network("fixed", "--subnet", "10.22.0.0/24", "--gateway", "10.22.0.254")
    container = nerdctl.serve("web", "--net", network, "--ip", "10.22.0.77", "--mac-address", "02:42:0a:16:00:4d")
    assert addresses(container.run) == [ipaddress.ip_interface("10.22.0.77/24")]
    assert mac(container.run) == "02:42:0a:16:00:4d"
    assert gateway(container.run) == "10.22.0.254"
    assert fetch(container.run, UPLINK, 8000) == "uplink"


def test_an_address_in_use_is_refused_and_nothing_stays(nerdctl: Nerdctl) -> None:
    """The second container fails with the plugin's own words; the first goes on."""
    network = nerdctl.network("taken", "--subnet", "10.23.0.0/24")
    first = nerdctl.serve("first", "--net", network, "--ip", "10.23.0.9")
    with pytest.raises(CommandFailed, match=r"10\.23\.0\.9"):
        nerdctl.serve("second", "--net", network, "--ip", "10.23.0.9")
    assert fetch(nerdctl.host.run, "10.23.0.9") == "first"
    assert fetch(first.run, UPLINK, 8000) == "uplink"


def test_an_ip_range_is_kept_to(nerdctl: Nerdctl) -> None:
    """--ip-range becomes rangeStart and rangeEnd."""
    network = nerdctl.network("narrow", "--subnet", "10.24.0.0/16", "--ip-range", "10.24.7.0/24")
    (address,) = addresses(nerdctl.serve("web", "--net", network).run)
    assert address.ip in ipaddress.ip_network("10.24.7.0/24")
    assert address.network == ipaddress.ip_network("10.24.0.0/16")


def test_an_internal_network_has_peers_but_no_way_out(nerdctl: Nerdctl) -> None:
    """No gateway, no default route, no masquerade."""
    network = nerdctl.network("inner", "--internal", "--subnet", "10.25.0.0/24")
    left, right = nerdctl.serve("left", "--net", network), nerdctl.serve("right", "--net", network)
    assert fetch(left.run, str(addresses(right.run)[0].ip)) == "right"
    assert gateway(left.run) is None
    assert refused(left.run, UPLINK, 8000)


def test_two_networks_in_one_container(nerdctl: Nerdctl) -> None:
    """go-cni attaches both at once; each interface is of its own network and reaches its peers."""
    red = nerdctl.network("red", "--subnet", "10.26.1.0/24")
    blue = nerdctl.network("blue", "--subnet", "10.26.2.0/24")
    both = nerdctl.serve("both", "--net", red, "--net", blue)
    in_red, in_blue = nerdctl.serve("in-red", "--net", red), nerdctl.serve("in-blue", "--net", blue)
    assert addresses(both.run, "eth0")[0].network == ipaddress.ip_network("10.26.1.0/24")
    assert addresses(both.run, "eth1")[0].network == ipaddress.ip_network("10.26.2.0/24")
    red_peer, blue_peer = str(addresses(in_red.run)[0].ip), str(addresses(in_blue.run)[0].ip)
    assert fetch(both.run, red_peer) == "in-red"
    assert fetch(both.run, blue_peer) == "in-blue"
    # Networks are walled off from each other (ingressPolicy same-bridge), in both directions.
    assert refused(in_red.run, blue_peer)
    assert refused(in_blue.run, red_peer)


def test_icc_false_isolates_the_containers_of_one_network(nerdctl: Nerdctl) -> None:
    """nerdctl asks for isolation only of a firewall plugin whose about text says 1.7.1 or newer."""
    no_icc = "com.docker.network.bridge.enable_icc=false"
    network = nerdctl.network("lonely", "--subnet", "10.27.0.0/24", "--opt", no_icc)
    assert "isolated" in nerdctl.host.file(f"/etc/cni/net.d/default/nerdctl-{network}.conflist").read_text()
    left, right = nerdctl.serve("left", "--net", network), nerdctl.serve("right", "--net", network)
    address = str(addresses(right.run)[0].ip)
    assert fetch(nerdctl.host.run, address) == "right"
    assert refused(left.run, address)
    assert fetch(left.run, UPLINK, 8000) == "uplink"


def test_a_dual_stack_network(nerdctl: Nerdctl, host: Host) -> None:
    """Both families at once: an address of each, and peers, gateway and host by IPv6."""
    network = nerdctl.network("dual", "--ipv6", "--subnet", "10.28.0.0/24", "--subnet", "fd00:28::/64")
    left, right = nerdctl.serve("left", "--net", network), nerdctl.serve("right", "--net", network)
    assert addresses(left.run)[0].network == ipaddress.ip_network("10.28.0.0/24")
    (left6,), (right6,) = addresses(left.run, family=6), addresses(right.run, family=6)
    assert left6.network == right6.network == ipaddress.ip_network("fd00:28::/64")
    assert fetch(left.run, str(right6.ip)) == "right"
    assert wait_until(lambda: pings(left.run, "fd00:28::1"), "the gateway's IPv6 address to leave duplicate detection")
    assert fetch(host.run, str(left6.ip)) == "left"


def test_a_static_ipv6_address(nerdctl: Nerdctl) -> None:
    """--ip6 arrives as the capability ips, without a prefix length."""
    network = nerdctl.network("dual-fixed", "--ipv6", "--subnet", "10.29.0.0/24", "--subnet", "fd00:29::/64")
    container = nerdctl.serve("web", "--net", network, "--ip6", "fd00:29::77")
    assert addresses(container.run, family=6) == [ipaddress.ip_interface("fd00:29::77/64")]
    assert fetch(nerdctl.host.run, "fd00:29::77") == "web"


def test_containers_started_at_once_get_different_addresses(nerdctl: Nerdctl, host: Host) -> None:
    """Several clients at a time, as compose and kubelets do it."""
    network = nerdctl.network("crowd", "--subnet", "10.31.0.0/24")
    names = [f"crowd-{number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        containers = list(pool.map(lambda name: nerdctl.serve(name, "--net", network), names))
    found = {str(addresses(container.run)[0].ip): container.name for container in containers}
    assert len(found) == len(names)
    assert {address: fetch(host.run, address) for address in found} == found


def test_stop_and_start(nerdctl: Nerdctl, host: Host) -> None:
    """The container comes back attached: an address of its network, its port, its way out."""
    network = nerdctl.network("again", "--subnet", "10.30.0.0/24")
    container = nerdctl.serve("web", "--net", network, "-p", "8030:80")
    assert fetch(host.run, "127.0.0.1", 8030) == "web"
    nerdctl("stop", "web")
    assert refused(host.run, "127.0.0.1", 8030)
    nerdctl("start", "web")
    assert addresses(container.run)[0].network == ipaddress.ip_network("10.30.0.0/24")
    assert fetch(host.run, "127.0.0.1", 8030) == "web"
    assert fetch(container.run, UPLINK, 8000) == "uplink"
