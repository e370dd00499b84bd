"""Transactions on the in-memory machine, and traps: changes to its kernel that fail at a chosen step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from fake_machine import Machine

from pycni.firewall.facts import Owner
from pycni.firewall.firewall import Firewall
from pycni.kernel.memory import MemoryKernel, MemoryNamespace
from pycni.kernel.model import Link
from pycni.plan.transaction import Transaction
from pycni.spec.address import Prefix
from pycni.spec.errors import KernelError

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


def bridge_with(machine: Machine, *addresses: str) -> int:
    made = machine.host_namespace.create_bridge("br0")
    machine.host_namespace.set_link(made.index, up=True)
    for each in addresses:
        machine.host_namespace.add_address(made.index, Prefix.parse(each))
    return made.index


def held(machine: Machine, index: int) -> list[str]:
    return [str(each.prefix) for each in machine.host_namespace.addresses(index)]
