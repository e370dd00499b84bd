"""After `rm` nothing is left: no link, no rule, no lease, no cached result."""

import pytest

from .host import CommandFailed, Host
from .nerdctl import Nerdctl
from .polling import wait_until
from .probes import addresses, fetch
from .residue import assert_nothing_left, left_behind, traces

EVERYTHING = ("-p", "8100:80", "-p", "127.0.0.1:8101:80", "-p", "8153:53/udp")


@pytest.fixture
def network(nerdctl: Nerdctl) -> str:
    """A dual-stack network that has been used once, so that what a network keeps for itself is there."""
    name = nerdctl.network("tidy", "--ipv6", "--subnet", "10.50.0.0/24", "--subnet", "fd00:50::/64")
    nerdctl.once("--net", name, "-p", "8199:80", "--", "true")
    return name


def test_rm_of_a_running_container(nerdctl: Nerdctl, host: Host, network: str, plugin_set: str) -> None:
    """rm -f with ports of every kind and both families."""
    before = traces(host)
    nerdctl.serve("web", "--net", network, *EVERYTHING)
    assert fetch(host.run, "127.0.0.1", 8100) == "web"
    assert left_behind(host, before, plugin_set)
    nerdctl("rm", "-f", "web")
    assert_nothing_left(host, before, plugin_set)


def test_rm_after_the_container_was_killed(nerdctl: Nerdctl, host: Host, network: str, plugin_set: str) -> None:
    """The namespace is gone before DEL comes, so DEL has an empty netns and only the id to go by."""
    before = traces(host)
    container = nerdctl.serve("web", "--net", network, *EVERYTHING)
    fetch(host.run, "127.0.0.1", 8100)
    host.run("kill", "-KILL", str(container.pid))
    wait_until(lambda: "Exited" in nerdctl("ps", "-a", "--filter", "name=web"), "nerdctl to see the container's end")
    nerdctl("rm", "-f", "web")
    assert_nothing_left(host, before, plugin_set)


def test_run_rm(nerdctl: Nerdctl, host: Host, network: str, plugin_set: str) -> None:
    """The short life of run --rm, on two networks at once."""
    second = nerdctl.network("tidy-too", "--subnet", "10.51.0.0/24")
    nerdctl.once("--net", second, "--", "true")
    before = traces(host)
    nerdctl.once("--net", network, "--net", second, *EVERYTHING, "--", "true")
    assert_nothing_left(host, before, plugin_set)


def test_stop_leaves_nothing_either(nerdctl: Nerdctl, host: Host, network: str, plugin_set: str) -> None:
    """A stopped container holds no address."""
    before = traces(host)
    nerdctl.serve("web", "--net", network, *EVERYTHING)
    nerdctl("stop", "web")
    assert_nothing_left(host, before, plugin_set)


def test_a_refused_start_leaves_nothing(nerdctl: Nerdctl, host: Host, network: str, plugin_set: str) -> None:
    """An ADD that fails in the first plugin, with another container of that network present."""
    nerdctl.serve("web", "--net", network, "--ip", "10.50.0.9")
    before = traces(host)
    with pytest.raises(CommandFailed, match=r"10\.50\.0\.9"):
        nerdctl.serve("rival", "--net", network, "--ip", "10.50.0.9", *EVERYTHING)
    nerdctl("rm", "-f", "rival")
    assert_nothing_left(host, before, plugin_set)


def test_removing_one_leaves_the_other_alone(nerdctl: Nerdctl, host: Host, network: str) -> None:
    """A neighbour on the same network keeps its ports, its rules and its address."""
    stays = nerdctl.serve("stays", "--net", network, "-p", "8110:80")
    nerdctl.serve("goes", "--net", network, *EVERYTHING)
    nerdctl("rm", "-f", "goes")
    assert fetch(host.neighbour, "192.168.250.2", 8110) == "stays"
    assert fetch(host.run, str(addresses(stays.run)[0].ip)) == "stays"


def test_network_rm_takes_the_bridge(nerdctl: Nerdctl, host: Host) -> None:
    """The network's device goes with it, and its name and subnet can be used again."""
    links = {line for line in traces(host) if line.startswith("link ")}
    for _ in range(2):
        name = nerdctl.network("brief", "--subnet", "10.52.0.0/24")
        assert nerdctl.once("--net", name, "--", "ip", "-4", "address", "show", "dev", "eth0").count("10.52.0.") == 2
        nerdctl("network", "rm", name)
        nerdctl.networks.remove(name)
        assert {line for line in traces(host) if line.startswith("link ")} == links
