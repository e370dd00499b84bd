"""`pynet gc` among engines: what their containers hold stays for as long as they run, also when all files about it are
lost, and goes when they have ended without a word."""

import json
from collections.abc import Iterator

import pytest

from .host import LAN, Host
from .nerdctl import Nerdctl
from .ours import command, pynet
from .podman import Podman
from .polling import wait_until
from .probes import fetch, refused

pytestmark = pytest.mark.parametrize("plugin_set", ["ours"], indirect=True)

LEASES, RESULTS = "/var/lib/cni/networks", "/var/lib/cni/results"


@pytest.fixture
def podman(host: Host) -> Iterator[Podman]:
    """podman, which removes at the end of the test what the test made.  It cannot be set up where nerdctl has run."""
    made = Podman(host)
    made.set_up()
    yield made
    made.clean()


def lose_files(host: Host, network: str) -> None:
    """Leases and cached results, as a disk that was wiped."""
    host.run("sh", "-c", f"rm -f {LEASES}/{network}/1* {RESULTS}/{network}-*")


def test_containers_of_podman(podman: Podman, host: Host) -> None:
    """One that runs, and the lease of one that has ended."""
    network = podman.network("ringgc", "--subnet", "10.90.9.0/24")
    podman.serve("lives", "--network", network, "-p", "8610:80")
    podman.serve("ended", "--network", network)
    podman("stop", "--time", "0", "ended")
    identifier = podman("inspect", "--format", "{{.Id}}", "ended").strip()
    host.write(f"{LEASES}/{network}/10.90.9.77", f"{identifier}\r\neth0")
    podmans = {"PYNET_NETCONF_DIR": "/etc/cni/podman.d"}

    def gc(*options: str) -> str:
        return host.run(command("pynet"), "gc", *options, network, env=podmans)

    (found,) = json.loads(gc("--json"))
    assert (found["Container"], found["Reason"]) == (identifier, "container ended of podman does not run")
    gc("--force")
    assert fetch(host.neighbour, LAN, 8610) == "lives"
    assert "10.90.9.77" not in host.run("ls", f"{LEASES}/{network}")
    lose_files(host, network)
    gc("--force")
    assert fetch(host.neighbour, LAN, 8610) == "lives"


def test_containers_of_nerdctl(nerdctl: Nerdctl, host: Host) -> None:
    """One whose end nobody told its plugins of, and two that run; of one of those nothing is on record any more."""
    network, wiped = (nerdctl.network(name, "--subnet", f"10.6{n}.0.0/24") for n, name in enumerate(("kept", "wiped")))
    nerdctl.serve("lives", "--net", network, "-p", "8600:80")
    dies = nerdctl.serve("dies", "--net", network, "-p", "8601:80")
    nerdctl.serve("unknown", "--net", wiped, "-p", "8602:80")
    lose_files(host, wiped)
    host.run("kill", "-KILL", str(dies.pid))
    wait_until(lambda: "Exited" in nerdctl("ps", "-a", "--filter", "name=dies"), "nerdctl to see the container's end")
    identifier = nerdctl("inspect", "--format", "{{.ID}}", "dies").strip()
    (found,) = json.loads(pynet(host, "gc", "--json", network, wiped))
    assert found["Container"].endswith(identifier) and found["Free"]
    pynet(host, "gc", "--force")
    assert fetch(host.neighbour, LAN, 8600) == "lives" and fetch(host.neighbour, LAN, 8602) == "unknown"
    assert refused(host.neighbour, LAN, 8601)
    assert json.loads(pynet(host, "gc", "--json")) == []
    nerdctl("start", "dies")
    assert fetch(host.neighbour, LAN, 8601) == "dies"
