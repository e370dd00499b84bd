"""Transactions: every operation on the in-memory kernel, and roll back from a failure in each single step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import Masquerade, Owner
from pycni.firewall.firewall import Firewall
from pycni.kernel.memory import MemoryKernel, MemoryNamespace
from pycni.kernel.model import IFF_PROMISC, Link, Route
from pycni.plan import ops
from pycni.plan.transaction import Transaction
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, KernelError

OWNER = Owner("net", "c1", "eth0")
_CHANGES = [
    "create_bridge",
    "create_veth",
    "set_link",
    "set_port",
    "add_port_vlans",
    "remove_port_vlans",
    "delete_link",
    "add_address",
    "remove_address",
    "configure",
    "write_sysctl",
    "flush_udp_conntrack",
]


class Trap:
    """Counts changes to the kernel and lets the one with number `at` fail: before it is made or, with `late`, after
    it where a change has several parts, as a batch of messages whose last one is refused."""

    def __init__(self, at: int, late: bool = False) -> None:
        self.at = at
        self.late = late
        self.seen = 0
        self.sprung = ""

    def around(self, name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.seen += 1
            if self.seen != self.at:
                return change(*arguments, **options)
            self.sprung = name
            if self.late and name in ("set_link", "configure"):
                change(*arguments, **options)
            if name == "write_sysctl":
                raise OSError(5, "Input/output error")
            raise KernelError(f"{name} was told to fail", 5)

        return counted


class TrappedNamespace(MemoryNamespace):
    def __init__(self, kernel: MemoryKernel, inner: MemoryNamespace, trap: Trap) -> None:
        super().__init__(kernel, inner.state)
        for name in _CHANGES:
            setattr(self, name, trap.around(name, getattr(self, name)))


def trap_machine(machine: Machine, trap: Trap) -> None:
    kernel = machine.kernel
    machine.host_namespace = TrappedNamespace(kernel, machine.host_namespace, trap)
    plain_open = kernel.open
    kernel.open = lambda path: TrappedNamespace(kernel, plain_open(path), trap)  # type: ignore[method-assign]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield Machine(tmp_path)


def transaction(machine: Machine, warnings: list[str] | None = None, random: bytes = b"\1\2\3\4") -> Transaction:
    return Transaction(
        machine.host_namespace,
        lambda: machine.container,
        cast(Firewall, machine.firewall),
        (warnings if warnings is not None else []).append,
        lambda count: random[:count],
    )


def link(namespace: MemoryNamespace, name: str) -> Link:
    found = namespace.link(name)
    assert found is not None
    return found


# --- each operation --------------------------------------------------------------------------------------------------


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


def bridge_with(machine: Machine, *addresses: str) -> int:
    made = machine.host_namespace.create_bridge("br0")
    machine.host_namespace.set_link(made.index, up=True)
    for each in addresses:
        machine.host_namespace.add_address(made.index, Prefix.parse(each))
    return made.index


def held(machine: Machine, index: int) -> list[str]:
    return [str(each.prefix) for each in machine.host_namespace.addresses(index)]


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


# --- roll back -------------------------------------------------------------------------------------------------------


def test_undoing_goes_backwards_and_does_not_stop(machine: Machine) -> None:
    order: list[str] = []
    warnings: list[str] = []

    def undo(name: str, error: Exception | None = None) -> Callable[[], None]:
        def run() -> None:
            order.append(name)
            if error is not None:
                raise error

        return run

    with pytest.raises(CniError, match=r"^the reason$"), transaction(machine, warnings) as running:
        running.on_undo("first", undo("first"))
        running.on_undo("second", undo("second", CniError("cannot")))
        running.on_undo("third", undo("third", OSError(5, "Input/output error")))
        raise CniError("the reason")
    assert order == ["third", "second", "first"]
    assert warnings == ["undoing third: [Errno 5] Input/output error", "undoing second: cannot"]


def test_a_successful_transaction_undoes_nothing(machine: Machine) -> None:
    called: list[int] = []
    with transaction(machine) as running:
        running.on_undo("nothing", lambda: called.append(1))
    running.rollback()
    assert called == []


def test_a_bridge_that_others_joined_meanwhile_stays(machine: Machine) -> None:
    with pytest.raises(RuntimeError), transaction(machine) as running:
        running.apply([ops.EnsureBridge("br0"), ops.EnsureAddress("br0", Prefix.parse("10.0.0.1/24"))])
        index = link(machine.host_namespace, "br0").index
        machine.host_namespace.create_veth("other", "eth0", machine.kernel.create(), master=index)
        raise RuntimeError
    assert held(machine, index) == ["10.0.0.1/24"]


BRIDGE = {
    "name": "net",
    "cniVersion": "1.1.0",
    "bridge": "br0",
    "isDefaultGateway": True,
    "ipMasq": True,
    "hairpinMode": True,
    "portIsolation": True,
    "mtu": 1400,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "192.168.0.0/16"}],
    },
}
PREVIOUS = {
    "interfaces": [{"name": "br0"}, {"name": "veth1"}, {"name": "eth0", "sandbox": NETNS}],
    "ips": [{"address": "10.1.2.2/24", "interface": 2}, {"address": "fd00:1::2/64", "interface": 2}],
}
CHAINED: dict[str, dict[str, Any]] = {
    "tuning": {
        "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_notify": "1"},
        "mac": "0a:00:00:00:00:07",
        "mtu": 1300,
        "promisc": True,
        "allmulti": True,
        "txQLen": 50,
    },
    "portmap": {
        "runtimeConfig": {
            "portMappings": [
                {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
                {"hostPort": 5353, "containerPort": 53, "protocol": "udp"},
            ]
        }
    },
    "firewall": {"ingressPolicy": "same-bridge"},
    "loopback": {},
}


def prepare(machine: Machine, plugin: str) -> dict[str, Any]:
    """The configuration, and what the plugins before this one would have made."""
    if plugin == "bridge":
        ipam = {**cast("dict[str, Any]", BRIDGE["ipam"]), "dataDir": str(machine.directory / "leases")}
        return {**BRIDGE, "ipam": ipam}
    index = bridge_with(machine, "10.1.2.1/24", "fd00:1::1/64")
    machine.host_namespace.create_veth("veth1", "eth0", machine.container, master=index)
    config = {"name": "net", "cniVersion": "1.1.0", "dataDir": str(machine.directory / "tuning"), **CHAINED[plugin]}
    return config if plugin == "loopback" else {**config, "prevResult": PREVIOUS}


@pytest.mark.parametrize("late", [False, True], ids=["refused", "half done"])
@pytest.mark.parametrize("plugin", ["bridge", *CHAINED])
def test_a_failure_in_any_step_leaves_the_machine_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, plugin: str, late: bool
) -> None:
    """Each change to the kernel fails in turn.  An ADD that reports success in spite of it (optional sysctls, flushed
    connections) is one; every other must undo itself."""
    failures = 0
    step = 0
    while True:
        step += 1
        machine = Machine(tmp_path_factory.mktemp("machine"))
        config = prepare(machine, plugin)
        before = machine.state()
        trap = Trap(step, late)
        trap_machine(machine, trap)
        answer = machine.call(plugin, "ADD", config)
        if not trap.sprung:
            assert answer.status == 0, answer.stdout
            break
        if answer.status:
            failures += 1
            assert machine.state() == before, f"step {step}, {trap.sprung}: {answer.stderr.decode()}"
    assert failures >= {"bridge": 6, "tuning": 3, "portmap": 1, "firewall": 0, "loopback": 1}[plugin]


@pytest.mark.parametrize("plugin", ["bridge", "portmap", "firewall"])
def test_a_failing_firewall_leaves_the_machine_as_it_was(machine: Machine, plugin: str) -> None:
    """The fake firewall fails after it has done its work."""
    config = prepare(machine, plugin)
    before = machine.state()
    machine.firewall.failing = {"install"}
    assert machine.error(plugin, "ADD", config) == {"code": 999, "msg": "install was told to fail"}
    assert machine.state() == before


def test_a_roll_back_that_fails_too_is_told_on_stderr(machine: Machine) -> None:
    config = prepare(machine, "bridge")
    machine.firewall.failing = {"install", "remove"}
    answer = machine.call("bridge", "ADD", config)
    assert answer.status == 1
    assert answer.stderr == b"undoing masquerade rules: remove was told to fail\n"
    assert machine.container.link("eth0") is None
    assert machine.host_namespace.link("br0") is None
