"""`pynet` on a real kernel: what is in use is seen, and nothing is left of a removed network."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest
from pynet_sandbox import Sandbox


@pytest.fixture
def host() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def plugin_dir(host: Sandbox) -> None:
    host.ok("pynet install --no-systemd")


CNI = """
export CNI_PATH=/opt/cni/bin CNI_CONTAINERID=%(id)s CNI_IFNAME=eth0 CNI_NETNS=%(netns)s
previous=null
for type in %(types)s; do
    config=$(%(python)s - "$type" "$previous" <<'END'
import json, sys
network = json.load(open("/etc/cni/net.d/%(network)s.conflist"))
plugin = next(item for item in network["plugins"] if item["type"] == sys.argv[1])
plugin.update(name=network["name"], cniVersion=network["cniVersion"])
if plugin["type"] == "portmap":
    plugin["runtimeConfig"] = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
if sys.argv[2] != "null":
    plugin["prevResult"] = json.loads(sys.argv[2])
print(json.dumps(plugin))
END
    )
    previous=$(CNI_COMMAND=ADD /opt/cni/bin/$type <<<"$config") || { echo "$previous"; exit 1; }
done
echo "$previous"
"""


def attach(host: Sandbox, network: str, container: str = "c1") -> dict[str, object]:
    """ADD through the installed files, as a client does that leaves no cached result."""
    host.ok(f"ip netns add {container}")
    netns = f"/run/netns/{container}"
    types = host.ok(f"pynet inspect -f '{{{{join .Plugins \" \"}}}}' {network}").strip()
    values = {"id": container, "netns": netns, "network": network, "types": types, "python": "/usr/bin/python3"}
    result: dict[str, object] = json.loads(host.ok(CNI % values))
    return result


def state(host: Sandbox) -> str:
    """Everything a network could leave behind: devices, rules, leases, lists."""
    return host.ok(
        "ip -br link | awk '{print $1}' | sort; iptables-save | grep -v '^[#:]' | sort;"
        " nft list ruleset | grep -c 'pynet' || :; find /var/lib/cni /etc/cni -type f 2>/dev/null | sort"
    )


def test_routes_addresses_and_resolvers_are_kept_clear_of(host: Sandbox) -> None:
    host.ok("ip route add 10.208.0.0/16 via 192.0.2.1; ip addr add 10.209.0.1/25 dev uplink")
    host.ok("ip route add blackhole 10.209.3.0/24; ip route add unreachable 10.0.0.0/8")
    host.ok("ip route add 10.209.2.0/24 via 192.0.2.1 table 77; echo nameserver 10.209.1.53 >>/etc/resolv.conf")
    host.ok("pynet create mynet")
    assert host.ok("pynet inspect -f '{{.Subnet}}' mynet") == "10.209.4.0/24\n"
    for subnet, reason in (
        ("10.208.7.0/24", "route 10.208.0.0/16 via 192.0.2.1 dev uplink"),
        ("10.209.0.0/24", "address 10.209.0.1/25 on uplink"),
        ("10.209.1.0/24", "name server 10.209.1.53 in /etc/resolv.conf"),
        ("10.209.2.0/24", "route 10.209.2.0/24 via 192.0.2.1 dev uplink"),
        ("10.209.3.0/24", "blackhole route 10.209.3.0/24"),
        ("10.209.4.128/25", "10.209.4.0/24 of network mynet (/etc/cni/net.d/mynet.conflist)"),
    ):
        done = host.run(f"pynet create other --subnet {subnet}")
        assert done.returncode == 1 and done.stderr.count("\n") == 1
        assert f"--subnet {subnet} overlaps " in done.stderr and reason in done.stderr
        assert "; 10.209.5.0/24 is free" in done.stderr
    assert host.ok("ls /etc/cni/net.d") == "mynet.conflist\n"


@pytest.mark.parametrize("flags", ["", "--isolation isolated", "--internal", "--ipv6"])
def test_removal_leaves_nothing_of_a_container_that_vanished(host: Sandbox, flags: str) -> None:
    plugin_dir(host)
    # the chains that all networks share stay, as the reference's do (contract 4.3, 5.2): a first network makes them
    host.ok(f"pynet create first {flags}")
    attach(host, "first", "c0")
    host.ok("ip netns del c0; pynet rm --force first")
    before = state(host)
    assert "first" not in before and "10.208." not in before
    host.ok(f"pynet create mynet {flags}")
    attach(host, "mynet")
    assert host.ok("pynet inspect -f '{{len .Containers}}' mynet") == "1\n"
    refused = host.run("pynet rm mynet")
    assert refused.returncode == 1
    assert refused.stderr == "pynet: network mynet is in use by c1: remove the containers, or use --force\n"
    assert "pn-mynet" in state(host)
    host.ok("ip netns del c1")
    assert host.ok("pynet rm --force mynet") == "mynet\n"
    assert state(host).splitlines() == before.splitlines()


PROBE = """
import errno, socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as probe:
    probe.settimeout(1)
    sys.exit(probe.connect_ex((sys.argv[1], 9)) != errno.ECONNREFUSED)
"""
"""A closed port answers with a reset, so a refusal proves the way there and back; a dropped packet is silent."""


def reaches(host: Sandbox, source: str, address: str) -> bool:
    command = f"ip netns exec {source} /usr/bin/python3 -I -c {shlex.quote(PROBE)} {address}"
    return host.run(command).returncode == 0


@pytest.mark.parametrize("firewall", ["iptables", "nftables"])
@pytest.mark.parametrize(
    ("policy", "peer", "neighbour"),
    [("same-bridge", True, False), ("isolated", False, False), ("open", True, True)],
)
def test_isolation_is_what_its_name_says(
    host: Sandbox, firewall: str, policy: str, peer: bool, neighbour: bool
) -> None:
    """Without br_netfilter too, where iptables never sees what passes between two ports of one bridge."""
    plugin_dir(host)
    address = {}
    for network, container in (("one", "a"), ("one", "b"), ("two", "c")):
        host.run(f"pynet create {network} --isolation {policy} --firewall {firewall}")
        host.ok(f"ip netns add {container}; ip -n {container} link set lo up")
        address[container] = host.ok(f"pynet connect {network} ns:/run/netns/{container}").split()[1].partition("/")[0]
    assert reaches(host, "a", "10.208.0.1") and reaches(host, "a", "192.0.2.2")
    assert reaches(host, "a", address["b"]) is peer
    assert reaches(host, "a", address["c"]) is neighbour


@pytest.mark.parametrize("firewall", ["iptables", "nftables"])
def test_internal_has_no_way_out(host: Sandbox, firewall: str) -> None:
    plugin_dir(host)
    host.run(f"pynet create db --internal --ipv6 --firewall {firewall}")
    host.run(f"pynet create other --isolation open --firewall {firewall}")
    address = []
    for container, network in (("a", "db"), ("b", "db"), ("c", "other")):
        host.ok(f"ip netns add {container}; ip -n {container} link set lo up")
        address.append(host.ok(f"pynet connect {network} ns:/run/netns/{container}").split()[1].partition("/")[0])
    assert reaches(host, "a", address[1])
    assert not reaches(host, "a", "192.0.2.2")
    assert host.ok("ip -n a route show default; ip -n a -6 route show default") == ""
    gateway, gateway6 = host.ok("ip -o addr show pn-db scope global | awk '{print $4}'").split()
    gateway, gateway6 = gateway.partition("/")[0], gateway6.partition("/")[0]
    assert reaches(host, "a", gateway) and reaches(host, "a", gateway6), "the host, which is not beyond"
    # not even with a route of its own making (contract docker 3.4, S12), nor from elsewhere
    host.ok(f"ip -n a route add default via {gateway}")
    assert reaches(host, "c", "192.0.2.2")
    assert not reaches(host, "a", address[2])
    assert not reaches(host, "c", address[0])
    rules = "iptables -S PYNET-INTERNAL" if firewall == "iptables" else "nft list set inet pynet p_internal"
    assert "pn-db" in host.ok(rules)
    for container, network in (("a", "db"), ("b", "db"), ("c", "other")):
        assert f"in use by ns:/run/netns/{container}" in host.run(f"pynet rm {network}").stderr
        host.ok(f"pynet disconnect {network} ns:/run/netns/{container}")
    assert "pn-db" not in host.run(rules).stdout
    assert "PYNET-INTERNAL" not in host.ok("iptables-save; ip6tables-save")


def test_twenty_creates_at_once_make_twenty_different_networks(host: Sandbox) -> None:
    host.ok("for i in $(seq 20); do pynet create net$i >/dev/null & done; wait")
    subnets = host.ok("pynet ls --format '{{.Subnet}}'").split()
    bridges = host.ok("pynet ls --format '{{.Bridge}}'").split()
    assert len(set(subnets)) == len(set(bridges)) == 20


def test_of_two_creating_one_name_one_wins(host: Sandbox) -> None:
    out = host.ok("for i in 1 2 3 4; do (pynet create mynet >/dev/null 2>&1; echo $?) & done; wait")
    assert sorted(out.split()) == ["0", "1", "1", "1"]


def test_a_namespace_that_is_connected_to_several_networks_at_once(host: Sandbox) -> None:
    """Each has an interface of its own; none fails, and takes another's away, because both chose one name."""
    plugin_dir(host)
    host.ok("ip netns add web; for n in a b c; do pynet create --no-dns $n; done")
    host.ok("for n in a b c; do pynet connect $n ns:/run/netns/web & done; wait")
    names = host.ok("ip -n web -br link | cut -d@ -f1").split()
    assert sorted(name for name in names if name.startswith("eth")) == ["eth0", "eth1", "eth2"]
    host.ok("for n in a b c; do pynet disconnect $n ns:/run/netns/web & done; wait")
    assert "eth" not in host.ok("ip -n web -br link")


def test_the_hosts_own_namespace_is_not_connected(host: Sandbox) -> None:
    plugin_dir(host)
    host.ok("pynet create mynet")
    before = state(host)
    done = host.run("pynet connect mynet ns:/proc/self/ns/net")
    assert (done.returncode, done.stderr) == (1, "pynet: namespace /proc/self/ns/net: is the host's own\n")
    assert state(host) == before


def test_without_root_the_error_is_one_line(host: Sandbox) -> None:
    # with no more than the right to search directories: the checkout may be below /root
    search = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
    done = host.run(f"setpriv --reuid 65534 --clear-groups {search} pynet create mynet")
    assert done.returncode == 1 and done.stderr.startswith("pynet: ") and done.stderr.count("\n") == 1


def test_status_of_a_running_engine(host: Sandbox) -> None:
    stopped = host.run("pynet status --json")
    assert stopped.returncode == 3 and json.loads(stopped.stdout)["Running"] is False
    plugin_dir(host)
    host.ok("pynet create mynet")
    host.start_engine()
    attach(host, "mynet")
    report = json.loads(host.ok("pynet status --json"))
    assert report["Running"] is True and report["Sockets"] == ["/run/pynet/cni.sock"]
    assert report["Calls"] == {"succeeded": 5}
    assert (report["Networks"], report["Attachments"]) == (1, 1)
    assert report["Backend"] in ("iptables", "nftables")
    assert report["Versions"]["kernel"] and report["Versions"]["engine"]
