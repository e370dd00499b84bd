"""What macvlan, ipvlan, vlan, dummy and tap have in common, through the real dispatcher on the in-memory machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import Owner
from pycni.kernel.kinds import Dummy
from pycni.kernel.memory import MemoryNamespace
from pycni.kernel.memory_virtual import MemoryVirtualLinks
from pycni.kernel.namespace import TRASH_GROUP
from pycni.plan.layer import temporary_name
from pycni.spec.errors import KernelError

PLUGINS = ("macvlan", "ipvlan", "vlan", "dummy", "tap")
ON_TOP = ("macvlan", "ipvlan", "vlan")
LAYER_2 = ("macvlan", "tap")
_CHANGES = ("set_link", "configure", "write_sysctl", "replace_sysctl")
_MAKES = ("create", "create_tap")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.host_namespace.create_veth("wan", "lan", made.kernel.create())
    return made


def config(machine: Machine, **keys: Any) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(machine.directory / "leases"),
    }
    return {"name": "net", "cniVersion": "1.1.0", "master": "wan", "ipam": ipam, **keys}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_whole_life(machine: Machine, plugin: str) -> None:
    before = machine.state()
    whole = config(machine, dns={"domain": "d"})
    result = machine.add(plugin, whole)
    link = machine.container.link("eth0")
    assert link is not None and link.is_up
    assert result["interfaces"] == [{"name": "eth0", "mac": link.mac.hex(":"), "sandbox": NETNS}]
    assert [each["interface"] for each in result["ips"]] == [0, 0]
    assert result.get("dns") == (None if plugin == "dummy" else {"domain": "d"})
    for command in ("CHECK", "STATUS"):
        machine.succeeds(plugin, command, {**whole, "prevResult": result})
    for _ in range(2):
        machine.succeeds(plugin, "DEL", whole)
    assert machine.state() == before


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("netns", ["", "/run/netns/gone"])
def test_del_without_a_namespace_gives_the_addresses_back(machine: Machine, plugin: str, netns: str) -> None:
    machine.add(plugin, config(machine))
    machine.succeeds(plugin, "DEL", config(machine), netns=netns)
    assert not list((machine.directory / "leases").rglob("1*"))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_del_goes_on_after_a_failure(machine: Machine, plugin: str) -> None:
    machine.add(plugin, config(machine))
    body = machine.error(plugin, "DEL", config(machine, ipam={"type": "nowhere"}))
    assert body["msg"].startswith('failed to find plugin "nowhere"')
    assert machine.container.link("eth0") is None


@pytest.mark.parametrize("plugin", PLUGINS)
def test_del_removes_what_has_not_got_its_name_yet(machine: Machine, plugin: str) -> None:
    machine.container.virtual().create(Dummy(), temporary_name(Owner("net", "c1", "eth0")), machine.container)
    machine.succeeds(plugin, "DEL", config(machine))
    assert [each.name for each in machine.container.links()] == ["lo"]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_del_removes_what_a_killed_engine_had_retired(machine: Machine, plugin: str) -> None:
    machine.add(plugin, config(machine))
    link = machine.container.link("eth0")
    assert link is not None
    machine.container.set_link(link.index, group=TRASH_GROUP)
    machine.container.discard_name(link.index)
    machine.succeeds(plugin, "DEL", config(machine))
    assert {each.name for each in machine.container.links()} == {"lo"}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_gc_frees_the_leases_of_the_invalid(machine: Machine, plugin: str) -> None:
    machine.add(plugin, config(machine))
    keep = {"cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    machine.succeeds(plugin, "GC", config(machine, **keep), netns="")
    assert (machine.directory / "leases/net/10.1.2.2").exists()
    machine.succeeds(plugin, "GC", config(machine, **{"cni.dev/valid-attachments": []}), netns="")
    assert not (machine.directory / "leases/net/10.1.2.2").exists()


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_missing_namespace_is_named(machine: Machine, plugin: str) -> None:
    """The reference prints a nil in its place in some of these."""
    for command in ("ADD", "CHECK"):
        body = machine.error(plugin, command, config(machine), netns="/run/none")
        reason = 'failed to Statfs "/run/none": no such file or directory'
        assert body["msg"] == f'failed to open netns "/run/none": {reason}'


@pytest.mark.parametrize("plugin", LAYER_2)
def test_layer_2(machine: Machine, plugin: str) -> None:
    before = machine.state()
    for ipam in ({}, None):
        whole = config(machine, ipam=ipam)
        result = machine.add(plugin, whole)
        assert "ips" not in result
        for command in ("CHECK", "STATUS"):
            machine.succeeds(plugin, command, {**whole, "prevResult": result})
        machine.succeeds(plugin, "DEL", whole)
    body = machine.error(plugin, "ADD", config(machine, ipam={}, cniVersion="0.2.0"))
    assert body["msg"] == "cannot convert: no valid IP addresses"
    assert machine.state() == before


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("ipvlan", "no plugin name provided"),
        ("vlan", "failed to execute IPAM delegate: no plugin name provided"),
        ("dummy", "dummy interface requires an IPAM configuration"),
    ],
)
def test_addresses_are_required(machine: Machine, plugin: str, message: str) -> None:
    before = machine.state()
    whole = config(machine, ipam={})
    assert machine.error(plugin, "ADD", whole)["msg"] == message
    assert machine.state() == before
    machine.succeeds(plugin, "DEL", whole)


@pytest.mark.parametrize("plugin", ON_TOP)
def test_del_and_gc_need_no_master(machine: Machine, plugin: str) -> None:
    machine.add(plugin, config(machine))
    for master in ("nowhere", ""):
        whole = config(machine, master=master, **{"cni.dev/valid-attachments": []})
        machine.succeeds(plugin, "DEL", whole)
        machine.succeeds(plugin, "GC", whole, netns="")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_an_address_plugin_that_gives_nothing(machine: Machine, plugin: str) -> None:
    log = machine.directory / "calls"
    program = machine.bin / "empty"
    program.write_text(f'#!/bin/sh\necho "$CNI_COMMAND" >> {log}\n[ "$CNI_COMMAND" = DEL ] || echo null\n')
    program.chmod(0o755)
    before = machine.state()
    body = machine.error(plugin, "ADD", config(machine, ipam={"type": "empty"}))
    assert body["msg"] == "IPAM plugin returned missing IP config"
    assert log.read_text() == "ADD\nDEL\n"
    log.unlink()
    assert machine.state() == before


@pytest.mark.parametrize("plugin", PLUGINS)
def test_an_address_plugins_own_error(machine: Machine, plugin: str) -> None:
    """It passes through, but in vlan's ADD, which puts it into words of its own (contract 1.7)."""
    program = machine.bin / "angry"
    program.write_text('#!/bin/sh\necho \'{"code": 11, "msg": "later", "details": "why"}\'\nexit 1\n')
    program.chmod(0o755)
    for command in ("ADD", "DEL", "CHECK", "STATUS"):
        body = machine.error(plugin, command, config(machine, ipam={"type": "angry"}))
        if (plugin, command) == ("vlan", "ADD"):
            assert body == {"code": 999, "msg": "failed to execute IPAM delegate: later; why"}
        else:
            assert body == {"code": 11, "msg": "later", "details": "why"}


# --- failing at each step --------------------------------------------------------------------------------------------


class Trap:
    """Makes the call number `at` that changes the kernel fail; `late`: after it was done."""

    def __init__(self, at: int, late: bool) -> None:
        self.at, self.late, self.seen = at, late, 0

    def spring(self, call: Any) -> Any:
        def counted(*values: Any, **named: Any) -> Any:
            self.seen += 1
            if self.seen != self.at:
                return call(*values, **named)
            if self.late and call.__name__ in ("set_link", "configure"):
                call(*values, **named)
            if "sysctl" in call.__name__:
                raise OSError(5, "Input/output error")
            raise KernelError("told to fail", 5)

        return counted


class Trapped(MemoryNamespace):
    def __init__(self, machine: Machine, inner: MemoryNamespace, trap: Trap) -> None:
        super().__init__(machine.kernel, inner.state)
        self._trap = trap
        for name in _CHANGES:
            setattr(self, name, trap.spring(getattr(self, name)))

    def virtual(self) -> MemoryVirtualLinks:
        found = MemoryVirtualLinks(self)
        for name in _MAKES:
            setattr(found, name, self._trap.spring(getattr(found, name)))
        return found


def springing(machine: Machine, trap: Trap) -> Iterator[None]:
    plain, plain_open = machine.host_namespace, machine.kernel.open
    machine.host_namespace = Trapped(machine, plain, trap)
    machine.kernel.open = lambda path: Trapped(machine, plain_open(path), trap)  # type: ignore[method-assign]
    yield
    machine.host_namespace, machine.kernel.open = plain, plain_open  # type: ignore[method-assign]


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("late", [False, True])
def test_an_add_that_fails_at_any_step_leaves_nothing(machine: Machine, plugin: str, late: bool) -> None:
    before = machine.state()
    keys = {"mac": "0a:00:00:00:00:01", "mtu": 1400} if plugin == "tap" else {}
    failures = 0
    for at in range(1, 30):
        trap = Trap(at, late)
        for _ in springing(machine, trap):
            answer = machine.call(plugin, "ADD", config(machine, **keys))
        if trap.seen < at:
            break
        if answer.status:
            failures += 1
            assert machine.state() == before, f"step {at}"
        else:  # a sysctl that is not required
            machine.succeeds(plugin, "DEL", config(machine, **keys))
    assert failures >= 3 and answer.status == 0
