"""What only ours can do: networks made by pynet, used by nerdctl as they are, with the engine or without."""

import ipaddress
import json
from collections.abc import Iterator

import pytest

from .host import LAN, UPLINK, Host
from .nerdctl import Nerdctl
from .ours import pynet, start_engine, stop_engine
from .polling import wait_until
from .probes import addresses, fetch, gateway, pings, refused
from .residue import assert_nothing_left, traces

pytestmark = pytest.mark.parametrize("plugin_set", ["ours"], indirect=True)


@pytest.fixture
def mynet(host: Host, nerdctl: Nerdctl) -> Iterator[str]:
    """A network that pynet made and removes again, after nerdctl has removed its containers."""
    pynet(host, "create", "mynet", "--subnet", "10.60.0.0/24")
    yield "mynet"
    nerdctl.clean()
    pynet(host, "rm", "mynet")


def test_nerdctl_runs_on_it(nerdctl: Nerdctl, host: Host, mynet: str) -> None:
    """Address, gateway, peers, way out and a published port."""
    web = nerdctl.serve("web", "--net", mynet, "-p", "8500:80")
    peer = nerdctl.serve("peer", "--net", mynet, "--ip", "10.60.0.99", "--mac-address", "02:00:0a:3c:00:63")
    (address,) = addresses(web.run)
    assert address.network == ipaddress.ip_network("10.60.0.0/24")
    assert gateway(web.run) == "10.60.0.1"
    assert fetch(peer.run, str(address.ip)) == "web"
    assert fetch(web.run, "10.60.0.99") == "peer"
    assert fetch(web.run, UPLINK, 8000) == "uplink"
    assert fetch(host.neighbour, LAN, 8500) == "web"
    assert fetch(web.run, LAN, 8500) == "web"


def test_both_sides_list_it(nerdctl: Nerdctl, host: Host, mynet: str) -> None:
    """nerdctl shows pynet's network, pynet shows nerdctl's."""
    theirs = nerdctl.network("theirs", "--subnet", "10.61.0.0/24")
    assert mynet in nerdctl("network", "ls")
    assert "10.60.0.0/24" in nerdctl("network", "inspect", mynet)
    listed = json.loads(pynet(host, "ls", "--json"))
    assert {mynet, theirs} <= {one["Name"] for one in listed}


def test_isolation_between_networks(nerdctl: Nerdctl, mynet: str) -> None:
    """A network of nerdctl's and one of pynet's are walled off from each other."""
    inside = nerdctl.serve("inside", "--net", mynet)
    outside = nerdctl.serve("outside", "--net", nerdctl.network("outer", "--subnet", "10.62.0.0/24"))
    assert fetch(inside.run, str(addresses(inside.run)[0].ip)) == "inside"
    assert refused(outside.run, str(addresses(inside.run)[0].ip))
    assert refused(inside.run, str(addresses(outside.run)[0].ip))


def test_an_internal_network(nerdctl: Nerdctl, host: Host) -> None:
    """Peers and the host, which has the gateway's address; no way out, not even with a route of the container's own."""
    pynet(host, "create", "inner", "--internal", "--subnet", "10.64.0.0/24")
    left, right = nerdctl.serve("left", "--net", "inner"), nerdctl.serve("right", "--net", "inner")
    assert fetch(left.run, str(addresses(right.run)[0].ip)) == "right"
    assert gateway(left.run) is None
    assert pings(left.run, "10.64.0.1")
    forger = nerdctl.serve("forger", "--net", "inner", "--cap-add", "NET_ADMIN")
    forger.run("ip", "route", "add", "default", "via", "10.64.0.1")
    assert not pings(forger.run, UPLINK)
    assert refused(forger.run, UPLINK, 8000)
    nerdctl.clean()
    pynet(host, "rm", "inner")


def test_flushed_rules_come_back(nerdctl: Nerdctl, host: Host, mynet: str) -> None:
    """A published port, and the way out, of a container of nerdctl's."""
    web = nerdctl.serve("web", "--net", mynet, "-p", "8502:80")
    assert fetch(host.neighbour, LAN, 8502) == "web"
    host.run("nft", "flush", "ruleset")
    wait_until(lambda: not refused(host.neighbour, LAN, 8502), "the published port is back", deadline=2.0)
    assert fetch(host.neighbour, LAN, 8502) == "web"
    assert fetch(web.run, UPLINK, 8000) == "uplink"


def test_nothing_is_left_of_a_network(nerdctl: Nerdctl, host: Host, plugin_set: str) -> None:
    """The reference leaves a removed network's isolation rules and masquerade; ours leaves nothing at all."""
    # Once before, for the chains that all networks share and that stay for the next one.
    for round_ in ("first", "second"):
        before = traces(host)
        pynet(host, "create", round_, "--subnet", "10.63.0.0/24", "--subnet", "fd00:63::/64")
        nerdctl.once("--net", round_, "-p", "8501:80", "--", "true")
        pynet(host, "rm", round_)
    assert_nothing_left(host, before, plugin_set)


def test_without_the_engine(nerdctl: Nerdctl, host: Host, mynet: str, plugin_set: str) -> None:
    """The same plugins serve in-process, and what one way made the other removes."""
    nerdctl.once("--net", mynet, "-p", "8502:80", "--", "true")
    before = traces(host)
    nerdctl.serve("with", "--net", mynet, "-p", "8503:80")
    stop_engine(host)
    try:
        assert fetch(host.neighbour, LAN, 8503) == "with"
        nerdctl.serve("without", "--net", mynet, "-p", "8504:80")
        assert fetch(host.neighbour, LAN, 8504) == "without"
        nerdctl("rm", "-f", "with")
    finally:
        start_engine(host)
    assert refused(host.neighbour, LAN, 8503)
    assert fetch(host.neighbour, LAN, 8504) == "without"
    nerdctl("rm", "-f", "without")
    assert_nothing_left(host, before, plugin_set)
