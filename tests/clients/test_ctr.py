"""ctr run --cni, of both versions of containerd: the first list in /etc/cni/net.d, and nothing else to say."""

import contextlib
import ipaddress
import re
from collections.abc import Iterator

import pytest

from .containerd import CONTAINERD_VERSIONS, Containerd
from .host import CommandFailed, Host
from .image import IMAGE
from .lists import network_list, write_list
from .polling import wait_until
from .probes import fetch, serve_command
from .residue import assert_nothing_left, traces

DIRECTORY = "/etc/cni/net.d"


@pytest.fixture(scope="module", params=CONTAINERD_VERSIONS)
def containerd(request: pytest.FixtureRequest, containerds: dict[str, Containerd]) -> Iterator[Containerd]:
    """One version of containerd, with the network "ring" as the first by name."""
    daemon = containerds[str(request.param)]
    path = daemon.host.file(f"{DIRECTORY}/10-ring.conflist")
    write_list(daemon.host, DIRECTORY, "10-ring", network_list("ring", "10.77.0.0/24", subnet6="fd00:77::/64"))
    # Used once, so that what the network keeps for itself is there.
    daemon.ctr("run", "--rm", "--cni", IMAGE, "first", "true")
    yield daemon
    # nerdctl, too, reads this directory.
    path.unlink()


def test_addresses_gateway_and_a_way_out(containerd: Containerd) -> None:
    """Both families: the neighbour has no route back, so its answers prove the masquerade."""
    script = (
        "ip -o address show dev eth0; ip route; ip -6 route; ping -c1 -W2 10.77.0.1; "
        "wget -qO- http://192.168.250.1:8000/; wget -qO- http://[fd00:250::1]:8000/"
    )
    shown = containerd.ctr("run", "--rm", "--cni", IMAGE, "look", "sh", "-c", script)
    (address,) = re.findall(r"inet (10\.77\.0\.\d+)/24", shown)
    (address6,) = re.findall(r"inet6 (fd00:77::[0-9a-f]+)/64", shown)
    assert ipaddress.ip_address(address) != ipaddress.ip_address("10.77.0.1")
    assert ipaddress.ip_address(address6) != ipaddress.ip_address("fd00:77::1")
    assert "default via 10.77.0.1 dev eth0" in shown
    assert "default via fd00:77::1 dev eth0" in shown
    assert " 0% packet loss" in shown
    assert shown.count("uplink\n") == 2


def test_nothing_is_left_after_a_run(containerd: Containerd, host: Host, plugin_set: str) -> None:
    """In the foreground, DEL runs at the container's end, with an empty netns."""
    before = traces(host)
    containerd.ctr("run", "--rm", "--cni", IMAGE, "brief", "true")
    assert_nothing_left(host, before, plugin_set)


def test_a_detached_container_serves_its_peers(containerd: Containerd, host: Host) -> None:
    """A server in the background, reached from the host and from another container."""
    # 1.6 never sends DEL for a detached container, which is not for plugins to mend: its id must not come again.
    name = f"server-{containerd.version}"
    containerd.ctr("run", "--detach", "--cni", IMAGE, name, *serve_command("server"))
    try:
        shown = containerd.ctr("task", "exec", "--exec-id", "look", name, "ip", "-4", "-o", "address", "show", "eth0")
        (address,) = re.findall(r"inet (10\.77\.0\.\d+)/24", shown)
        assert fetch(host.run, address) == "server"
        assert "server" in containerd.ctr("run", "--rm", "--cni", IMAGE, "asks", "wget", "-qO-", f"http://{address}/")
    finally:
        _remove(containerd, name)


def _remove(containerd: Containerd, name: str) -> None:
    """End a detached container."""
    containerd.ctr("task", "kill", "--signal", "SIGKILL", name)

    def gone() -> bool:
        with contextlib.suppress(CommandFailed):
            containerd.ctr("task", "rm", name)
        return name not in containerd.ctr("task", "ls")

    wait_until(gone, f"the task {name} to end")
    containerd.ctr("container", "rm", name)
