"""`pynet gc` on a real kernel: what a vanished container held is given back, what is in use stays."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pynet_sandbox import Sandbox


@pytest.fixture(scope="module")
def host() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.ok("pynet install --no-systemd && pynet create --subnet 10.20.0.0/24 mynet")
        yield sandbox


def connect(host: Sandbox, name: str, port: int) -> None:
    host.ok(f"ip netns add {name} && pynet connect -p {port}:80 mynet ns:/run/netns/{name}")


def state(host: Sandbox) -> str:
    """Rules of both backends, leases, cached results."""
    rules = host.ok(
        "iptables-save | grep -v '^#' | sed 's/\\[.*\\]//' | sort; nft list ruleset | grep -v counter | sort"
    )
    return rules + host.ok("find /var/lib/cni -type f -name '[a-z0-9]*' ! -name 'last*' | sort")


@pytest.mark.parametrize("again", [False, True], ids=["its namespace gone", "another at its path"])
def test_only_what_is_proven(host: Sandbox, again: bool) -> None:
    connect(host, "stays", 8080)
    before = state(host)
    connect(host, "goes", 8081)
    assert json.loads(host.ok("pynet gc --json")) == []
    host.ok("ip netns del goes" + (" && ip netns add goes" if again else ""))
    (found,) = json.loads(host.ok("pynet gc --json"))
    reasons = ["its namespace /run/netns/goes does not exist", "/run/netns/goes is another namespace by now"]
    assert found["Free"] and found["Reason"].startswith(reasons[again])
    assert state(host) != before, "shown only"
    host.ok("pynet gc --force")
    assert state(host) == before
    assert "nothing to give back" in host.ok("pynet gc")
    host.ok("pynet disconnect mynet ns:/run/netns/stays && ip -all netns del")


def test_removal_of_a_network_spares_the_host_s_devices(host: Sandbox) -> None:
    """A path that leads to the host's own namespace by now, as /proc/PID/ns/net may after a reboot."""
    host.ok("pynet create gone && ip netns add lost && pynet connect gone ns:/run/netns/lost && ip netns del lost")
    host.ok("ip link add eth0 type veth peer name eth0peer")
    host.ok("touch /run/netns/lost && mount --bind /proc/self/ns/net /run/netns/lost && pynet rm --force gone")
    assert "eth0peer" in host.ok("ip link show eth0")
    host.ok("ip link del eth0")
