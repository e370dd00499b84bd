"""Links that DEL has retired: nobody counts them any more, and the reaper ends them in order."""

from __future__ import annotations

from errno import EIO, EXFULL
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine

from netd.engine.reaper import Reaper
from pycni.kernel.memory import MemoryNamespace
from pycni.kernel.namespace import TRASH_GROUP
from pycni.plan.teardown import Unplugged
from pycni.spec.address import Prefix
from pycni.spec.errors import KernelError

GATEWAY = Prefix.parse("10.1.2.1/24")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def config(machine: Machine, **values: Any) -> dict[str, Any]:
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24", "dataDir": str(machine.directory / "leases")}
    return {"name": "net", "cniVersion": "1.1.0", "bridge": "br0", "isGateway": True, "ipam": ipam, **values}


def retired(machine: Machine) -> None:
    machine.add("bridge", config(machine))
    machine.succeeds("bridge", "DEL", config(machine), defer=True)
    assert any(link.group == TRASH_GROUP and link.master for link in machine.host_namespace.links())


def test_a_retired_port_is_nobody_for_whom_a_gateway_would_stay(machine: Machine) -> None:
    retired(machine)
    bridge = machine.host_namespace.link("br0")
    assert bridge is not None
    machine.host_namespace.remove_address(bridge.index, GATEWAY)
    machine.firewall.failing = {"install"}
    machine.error("bridge", "ADD", config(machine, ipMasq=True))
    assert [each.prefix for each in machine.host_namespace.addresses(bridge.index)] == []


def test_retired_ports_make_room_on_a_full_bridge(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    create = MemoryNamespace.create_veth
    full = False

    def create_veth(namespace: MemoryNamespace, *arguments: Any, **options: Any) -> Any:
        if full or any(link.group == TRASH_GROUP for link in namespace.links()):
            raise KernelError("exchange full", EXFULL)
        return create(namespace, *arguments, **options)

    retired(machine)
    monkeypatch.setattr(MemoryNamespace, "create_veth", create_veth)
    machine.add("bridge", config(machine))
    machine.succeeds("bridge", "DEL", config(machine))
    full = True
    assert machine.error("bridge", "ADD", config(machine))["msg"] == "failed to make veth pair: exchange full"


def test_a_link_that_is_gone_needs_no_unplugging(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    Unplugged(4711)(machine.host_namespace)

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise KernelError("input/output error", EIO)

    monkeypatch.setattr(MemoryNamespace, "set_link", refuse)
    with pytest.raises(KernelError):
        Unplugged(1)(machine.host_namespace)


class Somewhere:
    """What the reaper asks of its places, for one place that is always there."""

    def __init__(self, namespace: MemoryNamespace) -> None:
        self.namespace = namespace

    def keep(self, place: object) -> None: ...
    def leave(self, place: object) -> None: ...
    def give_back(self, place: object, namespace: object) -> None: ...

    def borrow(self, _place: object) -> MemoryNamespace:
        return self.namespace

    def take_idle(self) -> list[object]:
        return []

    def seconds_to_idle(self) -> None:
        return None


def test_what_is_asked_for_twice_is_done_once_and_last(machine: Machine) -> None:
    done: list[str] = []
    works = {name: lambda _host, name=name: done.append(name) for name in ("unplug 1", "unplug 2", "empty")}
    reaper = Reaper(Somewhere(machine.host_namespace), done.append)  # type: ignore[arg-type]
    for name in ("unplug 1", "empty", "unplug 2", "empty"):
        reaper.defer("here", works[name])  # type: ignore[arg-type]
    reaper.start()
    assert reaper.wait(10)
    reaper.stop()
    assert done == ["unplug 1", "unplug 2", "empty"]
    assert reaper.pending == 0
