"""Transactions: roll back from a failure in each single step, on the in-memory kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fake_machine import NETNS, Machine
from trapped_machine import Trap, bridge_with, held, link, transaction, trap_machine

from pycni.plan import ops
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield Machine(tmp_path)


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
