"""Each operation of a plan, carried out by a transaction on the in-memory kernel."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EADDRINUSE
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine
from trapped_machine import OWNER, Trap, bridge_with, held, link, transaction, trap_machine

from pycni.firewall.facts import Masquerade
from pycni.kernel.memory import MemoryNamespace
from pycni.kernel.model import IFF_PROMISC, Route
from pycni.plan import ops
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, KernelError


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield Machine(tmp_path)


def test_ensure_bridge(machine: Machine) -> None:
    applied = transaction(machine).apply([ops.EnsureBridge("br0", 1400, True, True)])
    made = link(machine.host_namespace, "br0")
    assert (made.kind, made.mtu, made.is_up, bool(made.flags & IFF_PROMISC)) == ("bridge", 1400, True, True)
    assert machine.host_namespace.read_sysctl("net/ipv6/conf/br0/accept_ra") == "0"
    assert applied.bridge is not None
    assert applied.bridge.index == made.index


def test_an_existing_bridge_keeps_its_mtu_and_stays_after_a_failure(machine: Machine) -> None:
    made = machine.host_namespace.create_bridge("br0", 1300)
    machine.host_namespace.set_link(made.index, up=True)
    machine.host_namespace.write_sysctl("net/ipv6/conf/br0/accept_ra", "0")
    before = machine.state()
    with pytest.raises(RuntimeError), transaction(machine) as running:
        running.apply([ops.EnsureBridge("br0", 1400)])
        assert machine.state() == before
        raise RuntimeError
    assert machine.state() == before


def test_a_bridges_name_taken_by_something_else(machine: Machine) -> None:
    machine.host_namespace.create_veth("br0", "eth9", machine.container)
    with pytest.raises(CniError) as caught:
        transaction(machine).apply([ops.EnsureBridge("br0")])
    assert caught.value.msg == 'failed to create bridge "br0": "br0" already exists but is not a bridge'


def test_a_bridge_the_kernel_refuses(machine: Machine) -> None:
    with pytest.raises(CniError, match=r'^failed to create bridge "br0": .*invalid argument'):
        transaction(machine).apply([ops.EnsureBridge("br0", 10)])


def test_create_veth(machine: Machine) -> None:
    mac = bytes.fromhex("0a0000000001")
    applied = transaction(machine).apply(
        [ops.EnsureBridge("br0"), ops.CreateVeth("eth0", "veth1", "whose", "br0", 1400, mac, True, True)]
    )
    outer, inner = link(machine.host_namespace, "veth1"), link(machine.container, "eth0")
    assert (outer.alias, outer.master, outer.is_up, outer.mtu) == (
        "whose",
        link(machine.host_namespace, "br0").index,
        True,
        1400,
    )
    assert machine.host_namespace.port_flags(outer.index) == (True, True)
    assert machine.host_namespace.read_sysctl("net/ipv6/conf/veth1/accept_ra") == "0"
    assert (inner.mac, inner.is_up, inner.mtu) == (mac, False, 1400)
    assert applied.host_link is not None
    assert applied.container_link is not None
    assert (applied.host_link.index, applied.container_link.index) == (outer.index, inner.index)


def test_a_taken_host_name_is_replaced_by_a_random_one(machine: Machine) -> None:
    machine.host_namespace.create_veth("veth1", "other", machine.kernel.create())
    applied = transaction(machine).apply([ops.CreateVeth("eth0", "veth1")])
    assert applied.host_link is not None
    assert applied.host_link.name == "veth01020304"


def test_ten_taken_names_are_enough(machine: Machine) -> None:
    for name in ("veth1", "veth01020304"):
        machine.host_namespace.create_veth(name, "x" + name[-8:], machine.kernel.create())
    with pytest.raises(CniError, match=r"already exists$"):
        transaction(machine).apply([ops.CreateVeth("eth0", "veth1")])


def test_a_taken_container_name(machine: Machine) -> None:
    machine.host_namespace.create_veth("veth9", "eth0", machine.container)
    with pytest.raises(CniError) as caught:
        transaction(machine).apply([ops.CreateVeth("eth0", "veth1")])
    assert caught.value.msg == 'container veth name ("eth0") peer provided ("veth1") already exists'


def test_configure_interface(machine: Machine) -> None:
    machine.host_namespace.create_veth("veth1", "eth0", machine.container)
    machine.container.write_sysctl("net/ipv6/conf/eth0/disable_ipv6", "1")
    addresses = (Prefix.parse("10.0.0.2/24"), Prefix.parse("fd00::2/64"))
    routes = (Route(Prefix.parse("0.0.0.0/0"), Address.parse("10.0.0.1")),)
    transaction(machine).apply([ops.ConfigureInterface("eth0", addresses, routes, await_dad=True)])
    index = link(machine.container, "eth0").index
    assert tuple(each.prefix for each in machine.container.addresses(index)) == addresses
    assert machine.container.read_sysctl("net/ipv6/conf/eth0/disable_ipv6") == "0"
    assert machine.container.read_sysctl("net/ipv6/conf/eth0/keep_addr_on_down") == "1"
    assert [str(each.gateway) for each in machine.container.routes(4) if not each.destination.length] == ["10.0.0.1"]


def test_configuring_an_interface_that_is_not_there(machine: Machine) -> None:
    with pytest.raises(CniError, match=r'^failed to lookup "eth0": Link not found$'):
        transaction(machine).apply([ops.ConfigureInterface("eth0")])


@pytest.mark.parametrize(
    ("present", "wanted", "after"),
    [
        ([], "10.0.0.1/24", ["10.0.0.1/24"]),
        (["10.0.0.1/24"], "10.0.0.1/24", ["10.0.0.1/24"]),
        (["10.0.0.1/24"], "fd00::1/64", ["10.0.0.1/24", "fd00::1/64"]),
        (["fd01::1/64"], "fd00::1/64", ["fd01::1/64", "fd00::1/64"]),
    ],
)
def test_a_gateway_address(machine: Machine, present: list[str], wanted: str, after: list[str]) -> None:
    index = bridge_with(machine, *present)
    transaction(machine).apply([ops.EnsureAddress("br0", Prefix.parse(wanted))])
    assert held(machine, index) == after


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ("10.0.0.1/24", "10.0.0.254/24"),
        ("10.0.0.1/24", "192.168.0.1/16"),
        ("10.0.0.1/24", "10.0.0.1/16"),
        ("fd00::1/64", "fd00::2/64"),
        ("fd00::1/48", "fd00::1/64"),
    ],
)
def test_a_different_gateway_address_is_refused_unless_forced(machine: Machine, present: str, wanted: str) -> None:
    index = bridge_with(machine, present)
    with pytest.raises(CniError) as caught:
        transaction(machine).apply([ops.EnsureAddress("br0", Prefix.parse(wanted))])
    assert caught.value.msg == f'"br0" already has an IP address different from {wanted}'
    assert held(machine, index) == [present]
    with pytest.raises(RuntimeError), transaction(machine) as running:
        running.apply([ops.EnsureAddress("br0", Prefix.parse(wanted), force=True)])
        assert held(machine, index) == [wanted]
        raise RuntimeError
    assert held(machine, index) == [present]


def test_a_gateway_address_pins_the_bridges_mac(machine: Machine) -> None:
    index = bridge_with(machine)
    transaction(machine).apply([ops.EnsureAddress("br0", Prefix.parse("10.0.0.1/24"))])
    pinned = link(machine.host_namespace, "br0").mac
    for number in range(8):
        machine.host_namespace.create_veth(f"v{number}", "p", machine.kernel.create(), master=index)
    assert link(machine.host_namespace, "br0").mac == pinned


@pytest.mark.parametrize(("family", "path"), [(4, "net/ipv4/ip_forward"), (6, "net/ipv6/conf/all/forwarding")])
def test_forwarding_is_switched_on_and_never_off(machine: Machine, family: int, path: str) -> None:
    with pytest.raises(RuntimeError), transaction(machine) as running:
        running.apply([ops.EnableForwarding(family)])
        raise RuntimeError
    assert machine.host_namespace.read_sysctl(path) == "1"


def test_forwarding_that_cannot_be_switched_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: object, _path: str, _value: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(machine.host_namespace), "write_sysctl", refuse)
    with pytest.raises(CniError) as caught:
        transaction(machine).apply([ops.EnableForwarding(4)])
    assert caught.value.msg == (
        "failed to enable forwarding: open /proc/sys/net/ipv4/ip_forward: read-only file system"
    )


def test_sysctls_that_must_and_that_may(machine: Machine) -> None:
    missing = "net/ipv4/conf/nowhere/arp_notify"
    transaction(machine).apply([ops.Sysctl(ops.CONTAINER, missing, "1")])
    with pytest.raises(CniError) as caught:
        transaction(machine).apply([ops.Sysctl(ops.CONTAINER, missing, "1", required=True)])
    assert caught.value.msg == f"open /proc/sys/{missing}: no such file or directory"


def test_a_sysctl_that_can_only_be_written(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """As net/ipv4/route/flush: the write counts, and there is no old value to bring back."""
    written: list[tuple[str, str]] = []

    def refuse(_self: object, path: str) -> str:
        raise OSError(22, "Invalid argument", path)

    monkeypatch.setattr(MemoryNamespace, "read_sysctl", refuse)
    monkeypatch.setattr(MemoryNamespace, "write_sysctl", lambda _self, path, value: written.append((path, value)))
    with pytest.raises(RuntimeError), transaction(machine) as running:
        running.apply([ops.Sysctl(ops.CONTAINER, "net/ipv4/route/flush", "1", required=True)])
        raise RuntimeError
    assert written == [("net/ipv4/route/flush", "1")]


def test_set_link(machine: Machine) -> None:
    machine.host_namespace.create_veth("veth1", "eth0", machine.container)
    before = machine.state()
    mac = bytes.fromhex("0a0000000009")
    with pytest.raises(RuntimeError), transaction(machine) as running:
        running.apply([ops.SetLink(ops.CONTAINER, "eth0", True, mac, 1300, True, True, 77)])
        found = link(machine.container, "eth0")
        assert (found.is_up, found.mac, found.mtu, found.txqlen) == (True, mac, 1300, 77)
        raise RuntimeError
    assert machine.state() == before


def test_set_link_of_nothing(machine: Machine) -> None:
    with pytest.raises(CniError, match=r'^failed to get "eth9": Link not found$'):
        transaction(machine).apply([ops.SetLink(ops.HOST, "eth9", up=True)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"up": True}, 'failed to set "eth0" UP: address already in use'),
        ({"up": True, "mtu": 1300}, "failed to change it"),
    ],
)
def test_set_link_that_the_kernel_refuses(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    machine.host_namespace.create_veth("veth1", "eth0", machine.container)

    def refuse(_self: object, _index: int, **_changes: object) -> None:
        raise KernelError("failed to change it", EADDRINUSE, "the parent has it")

    monkeypatch.setattr(MemoryNamespace, "set_link", refuse)
    with pytest.raises(KernelError) as caught:
        transaction(machine).apply([ops.SetLink(ops.CONTAINER, "eth0", **changes)])
    error = caught.value
    assert (error.msg, error.errno, error.details) == (message, EADDRINUSE, "the parent has it")


def test_flush_udp(machine: Machine) -> None:
    flows = machine.host_namespace.udp_flows
    flows += [(4, 53), (4, 54), (6, 53)]
    transaction(machine).apply([ops.FlushUdp(4, (53,))])
    assert machine.host_namespace.udp_flows == [(4, 54), (6, 53)]


def test_a_failing_flush_is_only_reported(machine: Machine) -> None:
    trap_machine(machine, Trap(1))
    warnings: list[str] = []
    transaction(machine, warnings).apply([ops.FlushUdp(4, (53,))])
    assert warnings == ["flushing conntrack entries of UDP ports (53,): flush_udp_conntrack was told to fail"]


def test_rules_are_installed_and_withdrawn(machine: Machine) -> None:
    fact = Masquerade((Prefix.parse("10.0.0.2/24"),))
    with pytest.raises(RuntimeError), transaction(machine) as running:
        running.apply([ops.InstallRules(OWNER, "masquerade", "nftables", (fact,))])
        assert machine.firewall.rules == {(OWNER, "masquerade"): ("nftables", (fact,))}
        raise RuntimeError
    assert machine.firewall.rules == {}
