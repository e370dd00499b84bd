"""The chain bridge, portmap, firewall, tuning (and loopback) on the real kernel, with both firewall backends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_machine import SILENCE, Chain, Greeter, RealMachine, greeting, ping

BACKENDS = ("iptables", "nftables")
RANGES = {
    "ipv4": [[{"subnet": "10.1.2.0/24"}]],
    "ipv6": [[{"subnet": "fd00:1::/64"}]],
    "dual": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
}
MAC = "0a:00:00:00:00:77"
ROOT = Path(__file__).resolve().parents[2]
PLAIN = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture
def machine(netns: Callable[[], Any], tmp_path: Path) -> Iterator[RealMachine]:
    made = RealMachine(netns, tmp_path)
    yield made
    made.close()


def plugins(
    machine: RealMachine, backend: str, family: str = "dual", first_port: int = 8080, **firewall: Any
) -> list[dict[str, Any]]:
    """Publishes TCP port `first_port` and UDP port 5353, or the ones as far from them."""
    ipam = {"type": "host-local", "ranges": RANGES[family], "dataDir": str(machine.directory / "leases")}
    ports = [
        {"hostPort": first_port, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": first_port - 2727, "containerPort": 53, "protocol": "udp"},
    ]
    return [
        {
            "type": "bridge",
            "bridge": "br0",
            "isDefaultGateway": True,
            "hairpinMode": True,
            "ipMasq": True,
            "ipMasqBackend": backend,
            "ipam": ipam,
        },
        {"type": "portmap", "backend": backend, "runtimeConfig": {"portMappings": ports}},
        {"type": "firewall", "backend": backend, **firewall},
        {
            "type": "tuning",
            "dataDir": str(machine.directory / "tuning"),
            "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_notify": "1"},
            "mac": MAC,
            "mtu": 1400,
        },
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", RANGES)
def test_published_ports(machine: RealMachine, netns: Callable[[], Any], family: str, backend: str) -> None:
    """From the neighbour, from a second container, from the container itself and from the host's own addresses."""
    chain = Chain(machine, plugins(machine, backend, family))
    container, peer = netns(), netns()
    chain.add(container.path)
    inner = plugins(machine, backend, family)
    Chain(machine, [inner[0], inner[2]]).add(peer.path, "peer")
    container.run(["ip", "link", "set", "lo", "up"])
    for number, outer, gateway in (
        (socket.AF_INET, "192.0.2.1", "10.1.2.1"),
        (socket.AF_INET6, "fd99::1", "fd00:1::1"),
    ):
        if family == ("ipv6" if number == socket.AF_INET else "ipv4"):
            continue
        for kind, port, inside in ((socket.SOCK_STREAM, 8080, 80), (socket.SOCK_DGRAM, 5353, 53)):
            with Greeter(container, number, kind, inside):
                seen = greeting(machine.outside, outer, port, kind)
                assert seen.endswith(("192.0.2.2", "fd99::2"))
                assert greeting(peer, gateway, port, kind)
                assert greeting(container, gateway, port, kind)
                assert greeting(machine.host, outer, port, kind)
                if number == socket.AF_INET:
                    assert greeting(machine.host, "127.0.0.1", port, kind)
                assert not greeting(machine.outside, outer, port + 1, kind, seconds=SILENCE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_result_and_the_interface_after_tuning(
    machine: RealMachine, netns: Callable[[], Any], backend: str
) -> None:
    container = netns()
    chain = Chain(machine, plugins(machine, backend))
    result = chain.add(container.path)
    assert result["cniVersion"] == "1.1.0"
    assert [each["name"] for each in result["interfaces"]][::2] == ["br0", "eth0"]
    assert result["interfaces"][2]["mac"] == MAC
    assert [each["address"] for each in result["ips"]] == ["10.1.2.2/24", "fd00:1::2/64"]
    (link,) = json.loads(container.run(["ip", "-j", "link", "show", "eth0"]).stdout)
    assert (link["address"], link["mtu"]) == (MAC, 1400)
    opened = container.namespace()
    assert opened.read_sysctl("net/core/somaxconn") == "500"
    assert opened.read_sysctl("net/ipv4/conf/eth0/arp_notify") == "1"
    backup = json.loads((machine.directory / "tuning/c1_eth0.json").read_text())
    assert list(backup) == ["mac", "mtu"]
    assert backup["mtu"] == 1500
    assert (machine.directory / "tuning/c1_eth0.json").stat().st_mode & 0o777 == 0o600
    assert ping(container, "10.1.2.1")
    assert ping(container, "fd00:1::1")
    assert chain.check(container.path) == []
    assert chain.status() == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", ["plain", "twice", "without a result", "empty netns", "netns gone"])
def test_del_leaves_nothing(machine: RealMachine, netns: Callable[[], Any], way: str, backend: str) -> None:
    chain = Chain(machine, plugins(machine, backend, ingressPolicy="same-bridge"))
    Chain(machine, plugins(machine, backend, first_port=8090, ingressPolicy="same-bridge")).add(netns().path, "stays")
    before = machine.snapshot()
    container = netns()
    chain.add(container.path)
    assert machine.snapshot() != before
    path = container.path
    if way == "netns gone":
        container.close()
    for _ in range(2 if way == "twice" else 1):
        chain.delete("" if way == "empty netns" else path, with_result=way != "without a result")
    assert machine.snapshot() == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_gc_leaves_only_the_valid(machine: RealMachine, netns: Callable[[], Any], backend: str) -> None:
    """Link, lease, rules and elements, and tuning's backup file of the others go."""
    chain, second, third = (
        Chain(machine, plugins(machine, backend, first_port=port, ingressPolicy="same-bridge"))
        for port in (8080, 8090, 9000)
    )
    valid, invalid, gone = netns(), netns(), netns()
    chain.add(valid.path, "valid")
    before = machine.snapshot(valid)
    second.add(invalid.path, "invalid")
    third.add(gone.path, "gone")
    gone.close()
    for _ in range(2):
        chain.collect(("valid", "eth0"))
        assert machine.snapshot(valid) == before
    assert chain.check(valid.path, "valid") == []
    chain.collect()
    assert [name for name in machine.files() if name.startswith(("leases", "tuning", "run"))] == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_adding_again_after_del(machine: RealMachine, netns: Callable[[], Any], backend: str) -> None:
    chain = Chain(machine, plugins(machine, backend))
    container = netns()
    for _ in range(2):
        chain.add(container.path)
        assert chain.check(container.path) == []
        assert ping(container, "10.1.2.1")
        chain.delete(container.path)


TAKEN_AWAY: dict[str, tuple[str, list[str], str]] = {
    "iptables rules of the port": ("iptables", ["iptables", "-t", "nat", "-F", "CNI-HOSTPORT-DNAT"], "portmap: "),
    "iptables rules of the firewall": ("iptables", ["iptables", "-F", "CNI-FORWARD"], "firewall: "),
    "IPv6 rules of the firewall": ("iptables", ["ip6tables", "-F", "CNI-FORWARD"], "firewall: "),
    "everything of nftables": ("nftables", ["nft", "flush", "ruleset"], "bridge: "),
}


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_check_misses_rules(machine: RealMachine, netns: Callable[[], Any], what: str) -> None:
    backend, command, plugin = TAKEN_AWAY[what]
    container = netns()
    chain = Chain(machine, plugins(machine, backend))
    chain.add(container.path)
    machine.host.run(command)
    errors = chain.check(container.path)
    assert errors
    assert errors[0].startswith(plugin)
    if backend == "nftables":
        assert [each.partition(":")[0] for each in errors] == ["bridge", "portmap", "firewall"]
    else:
        assert len(errors) == 1


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["ip", "link", "set", "eth0", "mtu", "1300"], "configured MTU"),
        (["ip", "link", "set", "eth0", "promisc", "on"], "configured promisc"),
        (
            ["sysctl", "-qw", "net.core.somaxconn=99"],
            "Error: Tuning configured value of /proc/sys/net/core/somaxconn is 500, current value is 99",
        ),
    ],
)
def test_check_misses_tuning(machine: RealMachine, netns: Callable[[], Any], command: list[str], text: str) -> None:
    container = netns()
    chain = Chain(machine, plugins(machine, "iptables"))
    chain.add(container.path)
    container.run(command)
    errors = chain.check(container.path)
    assert len(errors) == 1
    assert errors[0].startswith("tuning: ")
    assert text in errors[0]


def test_tuning_gives_the_attributes_back(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    chain = Chain(machine, plugins(machine, "iptables"))
    chain.add(container.path)
    tuning = chain.plugins[3]
    old = json.loads((machine.directory / "tuning/c1_eth0.json").read_text())
    machine.ok("tuning", "DEL", {**tuning, "name": "net", "cniVersion": "1.1.0"}, container.path)
    (link,) = json.loads(container.run(["ip", "-j", "link", "show", "eth0"]).stdout)
    assert (link["address"], link["mtu"]) == (old["mac"], 1500)
    assert not (machine.directory / "tuning/c1_eth0.json").exists()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("policy", "same", "other"), [("open", True, True), ("same-bridge", True, False)])
def test_ingress_policy(
    machine: RealMachine, netns: Callable[[], Any], backend: str, policy: str, same: bool, other: bool
) -> None:
    def network(bridge: str, subnet: str) -> Chain:
        made = plugins(machine, backend, "ipv4", ingressPolicy=policy)
        made[0] |= {"bridge": bridge, "ipMasq": False}
        made[0]["ipam"]["ranges"] = [[{"subnet": subnet}]]
        made[0]["ipam"]["dataDir"] = str(machine.directory / bridge)
        return Chain(machine, [made[0], made[2]])

    first, second, third = netns(), netns(), netns()
    one, two = network("br1", "10.1.1.0/24"), network("br2", "10.1.2.0/24")
    one.add(first.path, "a")
    one.add(second.path, "b")
    two.add(third.path, "c")
    assert ping(first, "10.1.1.3", seconds=3.0 if same else SILENCE) is same
    assert ping(first, "10.1.2.2", seconds=3.0 if other else SILENCE) is other
    assert ping(first, "10.1.1.1")


FAILING: dict[str, tuple[str, dict[str, Any], str]] = {
    "portmap's backend": ("portmap", {"backend": "pf"}, 'failed to parse config: unrecognized backend "pf"'),
    "a port": (
        "portmap",
        {"runtimeConfig": {"portMappings": [{"hostPort": 0, "containerPort": 80}]}},
        "failed to parse config: Invalid host port number: 0",
    ),
    "a protocol": (
        "portmap",
        {"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "tcp\nCOMMIT"}]}},
        "failed to parse config: invalid configuration: key 'runtimeConfig.portMappings[0].protocol'",
    ),
    "a policy": ("firewall", {"ingressPolicy": "closed"}, 'unknown ingress policy: "closed"'),
    "a chain": ("firewall", {"iptablesAdminChainName": "A B"}, "invalid configuration: key 'iptablesAdminChainName'"),
    "a sysctl": ("tuning", {"sysctl": {"kernel.panic": "1"}}, 'invalid net sysctl key: "kernel/panic"'),
    "a climbing sysctl": (
        "tuning",
        {"sysctl": {"net/../kernel/panic": "1"}},
        "open /proc/sys/net/kernel/panic: no such file or directory",
    ),
    "a missing sysctl": (
        "tuning",
        {"sysctl": {"net.core.somaxconn": "99", "net.core.none": "1"}},
        "open /proc/sys/net/core/none: no such file or directory",
    ),
    "an mtu": ("tuning", {"mtu": 1}, "failed to change device eth0: "),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("what", FAILING)
def test_a_failing_link_of_the_chain_changes_nothing(
    machine: RealMachine, netns: Callable[[], Any], what: str, backend: str
) -> None:
    name, keys, text = FAILING[what]
    container = netns()
    chain = Chain(machine, plugins(machine, backend))
    bridge_only = Chain(machine, chain.plugins[:1])
    previous = bridge_only.add(container.path)
    plugin = next(each for each in chain.plugins if each["type"] == name)
    before = machine.snapshot(container)
    somaxconn = container.namespace().read_sysctl("net/core/somaxconn")
    config = {**plugin, "name": "net", "cniVersion": "1.1.0", "prevResult": previous, **keys}
    body = machine.error(name, "ADD", config, container.path)
    assert body["code"] == 999
    assert body["msg"].startswith(text)
    assert machine.snapshot(container) == before
    assert container.namespace().read_sysctl("net/core/somaxconn") == somaxconn


def fresh_lo(netns: Callable[[], Any]) -> Any:
    """A container whose lo was up once: the kernel gives it 127.0.0.1 then, and leaves it that."""
    container = netns()
    for state in ("up", "down"):
        container.run(["ip", "link", "set", "lo", state])
    return container


def test_loopback(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = fresh_lo(netns)
    chain = Chain(machine, [{"type": "loopback"}])
    before = machine.snapshot(container)
    result = chain.add(container.path, ifname="lo")
    assert result == {
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": container.path}],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}],
    }
    assert chain.check(container.path, ifname="lo") == []
    assert ping(container, "127.0.0.1")
    chain.delete(container.path, ifname="lo")
    assert chain.check(container.path, ifname="lo") == ["loopback: loopback interface is down"]
    for path in (container.path, "", "/run/netns/there/is/none"):
        chain.delete(path, ifname="lo")
    assert machine.snapshot(container) == before


def test_loopback_with_a_foreign_address(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = fresh_lo(netns)
    container.run(["ip", "addr", "add", "10.0.0.1/32", "dev", "lo"])
    before = machine.snapshot(container)
    config = {"type": "loopback", "name": "net", "cniVersion": "1.1.0"}
    body = machine.error("loopback", "ADD", config, container.path, ifname="lo")
    assert body["msg"] == 'loopback interface found with non-loopback address "10.0.0.1"'
    assert machine.snapshot(container) == before
    body = machine.error("loopback", "ADD", config, "/run/netns/none", ifname="lo")
    assert body["msg"] == 'failed to Statfs "/run/netns/none": no such file or directory'


def test_tunings_allow_list(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    previous = Chain(machine, plugins(machine, "iptables")[:1]).add(container.path)
    (machine.directory / "allowlist.conf").write_text("\n^net\\.ipv4\\..*\n  ^net.core.s.*$  \n")
    tuning = {"type": "tuning", "name": "net", "cniVersion": "1.1.0", "prevResult": previous}
    machine.ok("tuning", "ADD", {**tuning, "sysctl": {"net.core.somaxconn": "99"}}, container.path)
    body = machine.error("tuning", "ADD", {**tuning, "sysctl": {"net.core.rmem_max": "1"}}, container.path)
    assert body["msg"] == (
        "Sysctl net.core.rmem_max is not allowed. "
        "Only the following sysctls are allowed: [^net\\.ipv4\\..* ^net.core.s.*$]"
    )


def test_a_sysctl_that_can_only_be_written(machine: RealMachine, netns: Callable[[], Any]) -> None:
    container = netns()
    previous = Chain(machine, plugins(machine, "iptables")[:1]).add(container.path)
    config = {"name": "net", "cniVersion": "1.1.0", "sysctl": {"net.ipv4.route.flush": "1"}, "prevResult": previous}
    machine.ok("tuning", "ADD", config, container.path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_whole_chain_in_processes_of_their_own(
    machine: RealMachine, netns: Callable[[], Any], backend: str
) -> None:
    """`python3 -I -S plugins/oneshot.py`, with an environment of CNI's variables alone, as a runtime would run it."""
    container = netns()
    before = machine.snapshot()

    def run(plugin: dict[str, Any], command: str, previous: Any) -> Any:
        config = {**plugin, "name": "net", "cniVersion": "1.1.0"}
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "c1",
            "CNI_NETNS": container.path,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(machine.bin),
        }
        done = subprocess.run(
            [
                "/usr/bin/nsenter",
                f"--net={machine.host.path}",
                "--",
                PLAIN,
                "-I",
                "-S",
                str(ROOT / "plugins/oneshot.py"),
                "--run-dir",
                machine.settings.run_dir,
                plugin["type"],
            ],
            input=json.dumps(config if previous is None else {**config, "prevResult": previous}),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return json.loads(done.stdout) if done.stdout else None

    listed = plugins(machine, backend)
    result = None
    for plugin in listed:
        result = run(plugin, "ADD", result)
    assert result["interfaces"][2]["mac"] == MAC
    with Greeter(container, socket.AF_INET, socket.SOCK_STREAM, 80):
        assert greeting(machine.outside, "192.0.2.1", 8080, socket.SOCK_STREAM) == "192.0.2.2"
    for plugin in listed:
        assert run(plugin, "CHECK", result) is None
    for plugin in reversed(listed):
        assert run(plugin, "DEL", result) is None
    after = machine.snapshot()
    assert after["files"] == before["files"]
    assert set(after["links 0"]) == {*before["links 0"], "br0"}
    assert "c1" not in after["nft"]
    assert "10.1.2.2" not in after["nft"]
