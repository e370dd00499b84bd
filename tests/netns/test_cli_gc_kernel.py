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


def kernel(host: Sandbox) -> str:
    """`state`, and the host's ends of links."""
    return state(host) + host.ok("ip -o link | cut -d: -f2 | cut -d@ -f1 | sort")


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_what_belongs_to_no_attachment_goes_too(host: Sandbox, backend: str) -> None:
    """Neither lease nor result tells of it: what a killed call left, or a client that lost its files."""
    host.ok(f"pynet create --subnet 10.21.0.0/24 --firewall {backend} lost")
    host.ok("ip netns add stays && pynet connect -p 8080:80 lost ns:/run/netns/stays")
    before = kernel(host)
    host.ok("ip netns add orphan && pynet connect -p 8082:80 lost ns:/run/netns/orphan")
    host.ok("cd /var/lib/cni && grep -l netns/orphan results/* | xargs rm; rm -f networks/lost/10.21.0.3")
    host.ok("cd /var/lib/cni/networks/lost && : >10.21.0.9 && printf 'x\\0y\\r\\neth0' >10.21.0.10")
    with_rubbish = kernel(host)
    shown = host.ok("pynet gc lost")
    for what in ("link veth", "masquerade rules of container", "portmap rules", "firewall rules", "lease of 10.21.0.9"):
        assert what in shown
    assert "stays" not in shown and "10.21.0.10" not in shown and kernel(host) == with_rubbish != before
    told = json.loads(host.ok("pynet gc --json lost"))
    assert {(each["Container"], each["Free"]) for each in told} == {("", True)}
    host.ok("pynet gc --force lost && rm /var/lib/cni/networks/lost/10.21.0.10")
    assert kernel(host) == before
    assert "nothing to give back" in host.ok("pynet gc lost")
    assert "eth0" not in host.ok("ip -n orphan -o link") and "eth0" in host.ok("ip -n stays -o link")
    host.ok("pynet disconnect lost ns:/run/netns/stays && pynet rm lost && ip -all netns del")


def test_without_leases_only_an_engine_s_word_frees(host: Sandbox) -> None:
    """Where addresses are written in the list nothing tells a lost attachment from one that is being made."""
    plugin = {
        "type": "ptp",
        "ipMasq": True,
        "ipam": {"type": "static", "addresses": [{"address": "10.23.0.2/24", "gateway": "10.23.0.1"}]},
    }
    made = json.dumps({"cniVersion": "1.1.0", "name": "fixed", "plugins": [plugin]})
    host.ok("mkdir -p /etc/cni/net.d && cat >/etc/cni/net.d/fixed.conflist", made)
    host.ok("ip netns add orphan && pynet connect fixed ns:/run/netns/orphan && rm /var/lib/cni/results/fixed-*")
    before = kernel(host)
    host.ok("pynet gc --force")
    assert kernel(host) == before and "eth0" in host.ok("ip -n orphan -o link")
    # an engine that says so
    identifier = host.ok("ip -o link | sed -n 's/.*net: fixed, if: eth0, id: \\(ns-[0-9a-f]*\\).*/\\1/p'").strip()
    home = f"/var/lib/pynet/containers/{identifier}"
    host.ok(f'mkdir -p {home} && echo \'{{"Name": "ended"}}\' >{home}/config.json && pynet gc --force')
    assert "eth0" not in host.ok("ip -n orphan -o link") and "fixed" not in kernel(host)
    host.ok(f"rm -r {home} /etc/cni/net.d/fixed.conflist && ip -all netns del")


def test_removal_of_a_network_spares_the_host_s_devices(host: Sandbox) -> None:
    """A path that leads to the host's own namespace by now, as /proc/PID/ns/net may after a reboot."""
    host.ok("pynet create gone && ip netns add lost && pynet connect gone ns:/run/netns/lost && ip netns del lost")
    host.ok("ip link add eth0 type veth peer name eth0peer")
    host.ok("touch /run/netns/lost && mount --bind /proc/self/ns/net /run/netns/lost && pynet rm --force gone")
    assert "eth0peer" in host.ok("ip link show eth0")
    host.ok("ip link del eth0")
