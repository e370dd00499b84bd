"""Pods through crictl: two containers share what our plugins made for the sandbox."""

import json
from collections.abc import Iterator

import pytest

from .containerd import CONTAINERD_VERSIONS, Containerd
from .crictl import Crictl
from .host import LAN, Host
from .lists import network_list, write_list
from .polling import wait_until
from .probes import fetch, refused, serve_command
from .residue import assert_nothing_left, left_behind, traces

# containerd 2.1 asks STATUS of a 1.1.0 list at every look; 1.6 cannot read one.
LISTS = {
    "1.6": network_list("pods", "10.78.0.0/24"),
    "2.1": network_list("pods2", "10.79.0.0/24", version="1.1.0"),
}


@pytest.fixture(scope="module", params=CONTAINERD_VERSIONS)
def containerd(request: pytest.FixtureRequest, containerds: dict[str, Containerd]) -> Containerd:
    """One version of containerd, with a network for its pods, noticed without a restart."""
    version = str(request.param)
    daemon = containerds[version]
    write_list(daemon.host, daemon.cri_lists, "10-pods", LISTS[version])
    wait_until(lambda: _network_ready(Crictl(daemon)), f"the CRI of containerd {version} to find its network")
    return daemon


@pytest.fixture
def crictl(containerd: Containerd) -> Iterator[Crictl]:
    """crictl to it; its pods are removed at the end."""
    client = Crictl(containerd)
    yield client
    client.clean()


def _network_ready(crictl: Crictl) -> bool:
    conditions = json.loads(crictl("info"))["status"]["conditions"]
    return any(one["type"] == "NetworkReady" and one["status"] for one in conditions)


def test_two_containers_share_one_network(crictl: Crictl, host: Host) -> None:
    """One serves, the other reaches it on loopback, which the loopback plugin has brought up."""
    pod = crictl.pod("shared")
    pod.start("server", *serve_command("server"))
    client = pod.start("client", "sleep", "infinity")

    def run(*argv: str) -> str:
        return crictl("exec", client, *argv)

    assert fetch(host.run, pod.address) == "server"
    assert fetch(run, "127.0.0.1") == "server"
    assert pod.address in run("ip", "-4", "address", "show", "dev", "eth0")


def test_a_host_port(crictl: Crictl, host: Host) -> None:
    """From the neighbour, from the host and from the pod itself."""
    pod = crictl.pod("ports", [{"host_port": 8200, "container_port": 80, "protocol": 0}])
    server = pod.start("server", *serve_command("server"))
    assert fetch(host.neighbour, LAN, 8200) == "server"
    assert fetch(host.run, "127.0.0.1", 8200) == "server"
    assert fetch(lambda *argv: crictl("exec", server, *argv), LAN, 8200) == "server"
    crictl.remove(pod)
    assert refused(host.neighbour, LAN, 8200)


def test_pods_reach_each_other(crictl: Crictl) -> None:
    """By address, on the same bridge."""
    left, right = crictl.pod("left"), crictl.pod("right")
    right.start("server", *serve_command("right"))
    client = left.start("client", "sleep", "infinity")
    assert left.address != right.address
    assert fetch(lambda *argv: crictl("exec", client, *argv), right.address) == "right"


def test_nothing_is_left(crictl: Crictl, host: Host, plugin_set: str) -> None:
    """A pod removed leaves the network as it was before."""
    crictl.remove(crictl.pod("first", [{"host_port": 8201, "container_port": 80, "protocol": 0}]))
    before = traces(host)
    pod = crictl.pod("second", [{"host_port": 8202, "container_port": 80, "protocol": 1}])
    pod.start("server", *serve_command("server"))
    assert left_behind(host, before, plugin_set)
    crictl.remove(pod)
    assert_nothing_left(host, before, plugin_set)
