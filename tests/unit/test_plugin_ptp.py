"""ptp: its keys, its plan, and the whole plugin on the in-memory machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import Masquerade, Owner
from pycni.firewall.naming import MASQUERADE, host_end, newborn_group, owner_comment
from pycni.kernel.model import Route
from pycni.plan import ops
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, NotAvailable
from pycni.spec.result import IpConfig, Result
from pycni_plugins.ptp import layers
from pycni_plugins.ptp.config import Ptp
from pycni_plugins.ptp.steps import AddressHostEnd, RouteThroughGateways

OWNER = Owner("net", "c1", "eth0")
FOUR = IpConfig(Prefix.parse("10.1.2.3/24"), Address.parse("10.1.2.1"))
SIX = IpConfig(Prefix.parse("fd00:1::3/64"), Address.parse("fd00:1::1"))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def config(
    machine: Machine, *, subnets: tuple[str, ...] = ("10.1.2.0/24", "fd00:1::/64"), **keys: Any
) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "dataDir": str(machine.directory / "leases"),
        "ranges": [[{"subnet": each}] for each in subnets],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}][: len(subnets)],
    }
    return {"cniVersion": "1.1.0", "name": "net", "type": "ptp", "ipam": ipam, **keys}


def routes(namespace: Any, family: int) -> set[tuple[str, str, str]]:
    return {
        (str(each.destination), str(each.gateway or ""), str(each.source or "")) for each in namespace.routes(family)
    }


# --- the plan --------------------------------------------------------------------------------------------------------


def test_the_plan() -> None:
    result = layers.address(Result(ips=(FOUR, SIX), routes=(Route(Prefix.parse("0.0.0.0/0")),)))
    assert [ip.interface for ip in result.ips] == [1, 1]
    assert layers.attachment(Ptp(False, "", 1400), OWNER, result) == [
        ops.EnableForwarding(4),
        ops.EnableForwarding(6),
        ops.CreateVeth(
            "eth0", host_end(OWNER), alias=owner_comment(OWNER), mtu=1400, newborn_group=newborn_group("net")
        ),
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/accept_dad", "0"),
        ops.ConfigureInterface(
            "eth0",
            (FOUR.address, SIX.address),
            (Route(Prefix.parse("0.0.0.0/0"), FOUR.gateway),),
            await_dad=True,
        ),
        RouteThroughGateways(
            "eth0",
            (Route(Prefix.parse("10.1.2.0/24"), scope=253), Route(Prefix.parse("fd00:1::/64"), scope=0)),
            (
                Route(Prefix.parse("10.1.2.1/32"), scope=253, source=FOUR.address.address),
                Route(Prefix.parse("10.1.2.0/24"), FOUR.gateway, source=FOUR.address.address),
                Route(Prefix.parse("fd00:1::1/128"), scope=0, source=SIX.address.address),
                Route(Prefix.parse("fd00:1::/64"), SIX.gateway, source=SIX.address.address),
            ),
        ),
        AddressHostEnd(
            (Prefix.parse("10.1.2.1/32"), Prefix.parse("fd00:1::1/128")),
            (Route(Prefix.parse("10.1.2.3/32"), scope=254), Route(Prefix.parse("fd00:1::3/128"), scope=0)),
        ),
    ]


def test_an_address_that_is_its_own_subnet_needs_no_route_to_it() -> None:
    lone = FOUR.replace(address=Prefix.parse("10.1.2.3/32"))
    default = Route(Prefix.parse("0.0.0.0/0"))
    plan = layers.attachment(Ptp(False, "", 0), OWNER, Result(ips=(lone,), routes=(default,)))
    (configured,) = [each for each in plan if isinstance(each, ops.ConfigureInterface)]
    (step,) = [each for each in plan if isinstance(each, RouteThroughGateways)]
    assert configured.routes == (
        Route(Prefix.parse("10.1.2.1/32"), scope=253),
        default.replace(gateway=FOUR.gateway),
    )
    assert step.through == ()
    assert not any(isinstance(each, ops.Sysctl) for each in plan)


def test_two_addresses_of_one_subnet_share_the_gateway() -> None:
    second = FOUR.replace(address=Prefix.parse("10.1.2.4/24"))
    plan = layers.attachment(Ptp(False, "", 0), OWNER, Result(ips=(FOUR, second)))
    (host,) = [each for each in plan if isinstance(each, AddressHostEnd)]
    assert (len(host.addresses), len(host.routes)) == (1, 2)
    (step,) = [each for each in plan if isinstance(each, RouteThroughGateways)]
    assert len(step.connected) == 1


def test_two_ipv6_addresses_of_one_subnet_go_by_one_route() -> None:
    """IPv6 has no second route to the same place, whatever its source."""
    other = SIX.replace(address=Prefix.parse("fd00:1::4/64"))
    plan = layers.attachment(Ptp(False, "", 0), OWNER, layers.address(Result(ips=(SIX, other))))
    (step,) = [each for each in plan if isinstance(each, RouteThroughGateways)]
    found = [(str(each.destination), str(each.gateway or ""), str(each.source)) for each in step.through]
    assert found == [("fd00:1::1/128", "", "fd00:1::3"), ("fd00:1::/64", "fd00:1::1", "fd00:1::3")]


@pytest.mark.parametrize("gateway", [None, SIX.gateway])
def test_an_address_without_a_gateway_is_refused(gateway: Address | None) -> None:
    with pytest.raises(CniError) as caught:
        layers.address(Result(ips=(SIX, FOUR.replace(gateway=gateway))))
    assert caught.value.msg == "IPAM plugin returned no gateway for 10.1.2.3/24: ptp cannot do without"


# --- the plugin ------------------------------------------------------------------------------------------------------


def test_add(machine: Machine) -> None:
    result = machine.add("ptp", config(machine, mtu=1400))
    near, far = machine.host_namespace.link(host_end(OWNER)), machine.container.link("eth0")
    assert near is not None and far is not None
    assert result["interfaces"] == [
        {"name": near.name, "mac": near.mac.hex(":")},
        {"name": "eth0", "mac": far.mac.hex(":"), "sandbox": NETNS},
    ]
    assert [(each["address"], each["gateway"], each["interface"]) for each in result["ips"]] == [
        ("10.1.2.2/24", "10.1.2.1", 1),
        ("fd00:1::2/64", "fd00:1::1", 1),
    ]
    assert (near.mtu, far.mtu, near.alias, near.master, near.is_up, far.is_up) == (
        1400,
        1400,
        owner_comment(OWNER),
        0,
        True,
        True,
    )
    assert routes(machine.container, 4) == {
        ("0.0.0.0/0", "10.1.2.1", ""),
        ("10.1.2.0/24", "10.1.2.1", "10.1.2.2"),
        ("10.1.2.1/32", "", "10.1.2.2"),
    }
    assert routes(machine.container, 6) == {
        ("::/0", "fd00:1::1", ""),
        ("fd00:1::/64", "fd00:1::1", "fd00:1::2"),
        ("fd00:1::1/128", "", "fd00:1::2"),
    }
    assert {str(each.prefix) for each in machine.host_namespace.addresses(near.index)} == {
        "10.1.2.1/32",
        "fd00:1::1/128",
    }
    assert ("10.1.2.2/32", "", "") in routes(machine.host_namespace, 4)
    assert ("fd00:1::2/128", "", "") in routes(machine.host_namespace, 6)
    assert machine.host_namespace.read_sysctl("net/ipv4/ip_forward") == "1"
    assert machine.host_namespace.read_sysctl("net/ipv6/conf/all/forwarding") == "1"
    assert machine.host_namespace.read_sysctl(f"net/ipv6/conf/{near.name}/accept_ra") == "0"
    assert machine.firewall.rules == {}


def test_the_configurations_dns_wins(machine: Machine) -> None:
    resolv = machine.directory / "resolv.conf"
    resolv.write_text("nameserver 192.0.2.1\n")
    whole = config(machine)
    whole["ipam"]["resolvConf"] = str(resolv)
    assert machine.add("ptp", whole)["dns"] == {"nameservers": ["192.0.2.1"]}
    machine.succeeds("ptp", "DEL", whole)
    assert "dns" not in machine.add("ptp", {**whole, "dns": {"search": []}})


def test_masquerading(machine: Machine) -> None:
    whole = config(machine, ipMasq=True, ipMasqBackend="nftables")
    previous = machine.add("ptp", whole)
    fact = Masquerade((Prefix.parse("10.1.2.2/24"), Prefix.parse("fd00:1::2/64")))
    assert machine.firewall.rules == {(OWNER, MASQUERADE): ("nftables", (fact,))}
    machine.succeeds("ptp", "CHECK", {**whole, "prevResult": previous})
    machine.firewall.rules.clear()
    assert machine.error("ptp", "CHECK", {**whole, "prevResult": previous})["msg"] == "no masquerade rule"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"ipam": {}}, "no plugin name provided"),
        ({"ipam": {"type": "none"}}, 'failed to find plugin "none" in path ['),
        ({"ipMasq": True, "ipMasqBackend": "pf"}, 'unknown ipmasq backend "pf"'),
        ({"mtu": -1}, "invalid configuration: key 'mtu': -1 is negative"),
        ({"mtu": 1}, "failed to make veth pair: "),
        ({"ipam": {"type": "static"}}, "IPAM plugin returned missing IP config"),
        (
            {"ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24"}]}},
            "IPAM plugin returned no gateway for 10.1.2.9/24: ptp cannot do without",
        ),
    ],
)
def test_refused_adds_leave_nothing(machine: Machine, keys: dict[str, Any], message: str) -> None:
    machine.host_namespace.write_sysctl("net/ipv4/ip_forward", "1")
    machine.host_namespace.write_sysctl("net/ipv6/conf/all/forwarding", "1")
    before = machine.state()
    whole = config(machine, **keys)
    assert machine.error("ptp", "ADD", whole)["msg"].startswith(message)
    assert machine.state() == before
    if whole["ipam"].get("type") != "none":  # DEL of what an ADD was refused for
        machine.succeeds("ptp", "DEL", whole)
        machine.succeeds("ptp", "GC", {**whole, "cni.dev/valid-attachments": []}, netns="")


def test_a_missing_namespace_takes_no_address(machine: Machine) -> None:
    before = machine.state()
    error = machine.error("ptp", "ADD", config(machine), netns="/run/netns/none")
    assert error["msg"] == (
        'failed to open netns "/run/netns/none": failed to Statfs "/run/netns/none": no such file or directory'
    )
    assert machine.state() == before


def test_a_taken_name(machine: Machine) -> None:
    machine.add("ptp", config(machine))
    before = machine.state()
    other = {**config(machine), "name": "other"}
    assert machine.error("ptp", "ADD", other)["msg"].startswith('container veth name ("eth0") peer provided ("veth')
    assert machine.state() == before


def test_a_failing_firewall_undoes_all(machine: Machine) -> None:
    for path in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        machine.host_namespace.write_sysctl(path, "1")
    before = machine.state()
    machine.firewall.failing.add("install")
    machine.error("ptp", "ADD", config(machine, ipMasq=True))
    assert machine.state() == before


@pytest.mark.parametrize("way", ["plain", "deferred", "empty netns", "missing netns", "netns gone"])
def test_del_frees_everything_and_again_is_success(machine: Machine, way: str) -> None:
    for path in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        machine.host_namespace.write_sysctl(path, "1")
    before = machine.state()
    whole = config(machine, ipMasq=True)
    machine.add("ptp", whole)
    if way == "netns gone":
        machine.kernel.destroy(NETNS)
        machine.container = machine.kernel.create(NETNS)
    netns = {"empty netns": "", "missing netns": "/run/netns/none"}.get(way, NETNS)
    for _ in range(2):
        machine.succeeds("ptp", "DEL", whole, netns=netns, defer=way == "deferred")
    for work in machine.deferred:
        work(machine.host_namespace)
    assert machine.state() == before


def test_del_goes_on_after_a_failure(machine: Machine) -> None:
    whole = config(machine, ipMasq=True)
    machine.add("ptp", whole)
    machine.firewall.failing.add("remove")
    assert machine.error("ptp", "DEL", whole)["msg"] == "remove was told to fail"
    assert machine.container.link("eth0") is None
    assert not [path for path in machine.state()["files"] if path.startswith("leases")]


# --- CHECK, GC, STATUS -----------------------------------------------------------------------------------------------


def test_check(machine: Machine) -> None:
    whole = config(machine)
    previous = machine.add("ptp", whole)
    checked = {**whole, "prevResult": previous}
    machine.succeeds("ptp", "CHECK", checked)
    assert machine.error("ptp", "CHECK", whole)["msg"] == "ptp: Required prevResult missing"
    container, host = machine.container, machine.host_namespace
    near, far = host.link(host_end(OWNER)), container.link("eth0")
    assert near is not None and far is not None

    def complaint() -> str:
        return str(machine.error("ptp", "CHECK", checked)["msg"])

    host.remove_address(near.index, Prefix.parse("10.1.2.1/32"))
    assert complaint() == f"ptp: host end {near.name} does not have gateway address 10.1.2.1/32"
    host.add_address(near.index, Prefix.parse("10.1.2.1/32"))
    machine.succeeds("ptp", "CHECK", checked)
    container.set_link(far.index, mac=bytes.fromhex("0a0000000001"))
    assert complaint() == (
        f"ptp: Interface eth0 Mac {previous['interfaces'][1]['mac']} doesn't match container Mac: 0a:00:00:00:00:01"
    )
    container.set_link(far.index, mac=far.mac)
    container.remove_address(far.index, Prefix.parse("fd00:1::2/64"))
    assert complaint() == "Failed to match addr fd00:1::2/64 on interface eth0"
    container.add_address(far.index, Prefix.parse("fd00:1::2/64"))
    host.set_link(near.index, name="stray")
    assert complaint() == "ptp: host end of eth0 not found"
    host.delete_link(near.index)
    assert complaint() == "ptp: Container Interface name in prevResult: eth0 not found"
    container.create_bridge("eth0")
    assert complaint() == "Error: Container interface eth0 not of type veth/p2p"


def test_check_misses_the_way_to_the_container(machine: Machine) -> None:
    whole = config(machine, subnets=("10.1.2.0/24",))
    checked = {**whole, "prevResult": machine.add("ptp", whole)}
    near = machine.host_namespace.link(host_end(OWNER))
    assert near is not None
    machine.host_namespace.set_link(near.index, up=False)
    machine.host_namespace.set_link(near.index, up=True)
    message = machine.error("ptp", "CHECK", checked)["msg"]
    assert message == f"ptp: no route to 10.1.2.2/32 through host end {near.name}"


def test_gc_keeps_the_valid(machine: Machine) -> None:
    whole = config(machine, ipMasq=True)
    machine.kernel.create("/run/netns/c2")
    machine.add("ptp", whole)
    kept = machine.state()
    machine.add("ptp", whole, container_id="c2", netns="/run/netns/c2")
    foreign = {**whole, "name": "other"}
    machine.kernel.create("/run/netns/c3")
    machine.add("ptp", foreign, container_id="c3", netns="/run/netns/c3")
    valid = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    for _ in range(2):
        machine.succeeds("ptp", "GC", {**whole, **valid}, netns="")
    assert machine.host_namespace.link(host_end(Owner("other", "c3", "eth0"))) is not None
    machine.succeeds("ptp", "DEL", foreign, container_id="c3", netns="/run/netns/c3")
    assert machine.state() == kept


def test_status(machine: Machine) -> None:
    machine.succeeds("ptp", "STATUS", config(machine, ipMasq=True), netns="")
    assert ("status", "iptables") in machine.firewall.calls
    machine.firewall.refuses = NotAvailable("no tools")
    assert machine.error("ptp", "STATUS", config(machine, ipMasq=True), netns="")["code"] == 50
    machine.succeeds("ptp", "STATUS", config(machine), netns="")
    assert machine.error("ptp", "STATUS", config(machine, ipam={}), netns="")["msg"] == "no plugin name provided"
