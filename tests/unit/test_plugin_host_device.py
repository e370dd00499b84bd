"""host-device: which device is meant, and the whole plugin on the in-memory machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine
from hypothesis import given
from hypothesis import strategies as st

from pycni.kernel.memory import MemoryKernel, MemoryNamespace
from pycni.kernel.model import Link
from pycni.spec.errors import CniError
from pycni.spec.request import parse_config
from pycni_plugins.host_device.config import Wanted, parse
from pycni_plugins.host_device.devices import Place, is_name, original_name

MAC = "0a:00:00:00:00:01"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    card(made)
    return made


def card(machine: Machine, name: str = "ens5") -> Link:
    """A device of the host, up, with what is behind it in a namespace of its own."""
    host = machine.host_namespace
    near, _ = host.create_veth(name, "far", machine.kernel.create())
    host.set_link(near.index, mac=bytes.fromhex(MAC.replace(":", "")))
    return near


def config(**keys: Any) -> dict[str, Any]:
    return {"cniVersion": "1.1.0", "name": "net", "type": "host-device", "device": "ens5", **keys}


def addressed(machine: Machine, **keys: Any) -> dict[str, Any]:
    leases = str(machine.directory / "leases")
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24", "routes": [{"dst": "0.0.0.0/0"}], "dataDir": leases}
    return config(ipam=ipam, **keys)


# --- which device ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """A machine with cards on the PCI bus, one of them on virtio, one of DPDK's, and a scalable function."""
    root = tmp_path / "sys"
    drivers, pci = root / "drivers", root / "bus/pci/devices"
    for slot, driver, below in (
        ("1", "e1000e", "net/ens5"),
        ("2", "virtio-pci", "virtio3/net/ens5"),
        ("3", "vfio-pci", ""),
        ("4", "e1000e", ""),
        ("5", "e1000e", "net"),
        ("6", "e1000e", "net/gone"),
        ("7", "", "net/ens5"),
    ):
        device = pci / f"0000:00:0{slot}.0"
        (device / below).mkdir(parents=True)
        if driver:
            (drivers / driver).mkdir(parents=True, exist_ok=True)
            (device / "driver").symlink_to(drivers / driver)
    for path in ("bus/auxiliary/devices/mlx5_core.sf.2/net/ens5", "bus/auxiliary/devices/mlx5_core.sf.3"):
        (root / path).mkdir(parents=True)
    for path in ("devices/pci0000:00/net/ens5", "devices/empty/net", "devices/bare", "etc/net/ens5"):
        (root / path).mkdir(parents=True)
    return root


@pytest.fixture
def host() -> MemoryNamespace:
    kernel = MemoryKernel()
    made = kernel.create()
    link, _ = made.create_veth("ens5", "far", kernel.create())
    made.set_link(link.index, mac=bytes.fromhex(MAC.replace(":", "")))
    made.create_bridge("other")
    return made


def wanted(sysfs: Path | str = "", **keys: Any) -> Wanted:
    whole = {"name": "net", **keys}
    if "kernelpath" in whole:
        whole["kernelpath"] = whole["kernelpath"].replace("/sys", str(sysfs), 1)
    return parse(parse_config(json.dumps(whole).encode()))


FOUND: list[dict[str, Any]] = [
    {"device": "ens5"},
    {"hwaddr": MAC},
    {"hwaddr": "0A-00-00-00-00-01"},
    {"kernelpath": "/sys/devices/pci0000:00"},
    {"kernelpath": "/sys/devices/bare/../pci0000:00/"},
    {"pciBusID": "0000:00:01.0"},
    {"pciBusID": "0000:00:02.0"},
    {"runtimeConfig": {"deviceID": "0000:00:02.0"}, "pciBusID": "0000:00:03.0"},
    {"runtimeConfig": {"deviceID": "mlx5_core.sf.2"}, "pciBusID": "0000:00:03.0"},
    {"device": "ens5", "hwaddr": "zz", "kernelpath": "/etc", "pciBusID": "0000:00:06.0"},
    {"hwaddr": MAC, "kernelpath": "/etc", "pciBusID": "0000:00:06.0"},
]


@pytest.mark.parametrize("keys", FOUND)
def test_found(sysfs: Path, host: MemoryNamespace, keys: dict[str, Any]) -> None:
    place = Place(wanted(sysfs, **keys), str(sysfs))
    assert not place.dpdk
    assert place.find(host, "eth0") == host.link("ens5")


@pytest.mark.parametrize(
    "keys",
    [
        {"pciBusID": "0000:00:03.0"},
        {"runtimeConfig": {"deviceID": "0000:00:03.0"}},
        {"device": "ens5", "DPDKMode": True},
        # where there is a PCI address it is its driver that decides
        {"device": "ens5", "pciBusID": "0000:00:03.0", "DPDKMode": False},
    ],
)
def test_dpdk(sysfs: Path, keys: dict[str, Any]) -> None:
    assert Place(wanted(**keys), str(sysfs)).dpdk


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, 'specify either "device", "hwaddr", "kernelpath" or "pciBusID"'),
        ({"device": "none"}, "failed to find host device: Link not found"),
        (
            {"hwaddr": "zz"},
            'failed to find host device: failed to parse MAC address "zz": address zz: invalid MAC address',
        ),
        ({"hwaddr": "0a:00:00:00:00:09"}, "failed to find host device: failed to find physical interface"),
        (
            {"kernelpath": "/etc"},
            'failed to find host device: kernel device path "/etc" must be absolute and begin with SYS/devices/',
        ),
        (
            {"kernelpath": "/sys/devices/../etc"},
            'failed to find host device: kernel device path "SYS/devices/../etc" must be absolute and begin with '
            "SYS/devices/",
        ),
        (
            {"kernelpath": "/sys/devices/bare"},
            "failed to find host device: failed to read directory SYS/devices/bare/net: "
            '"open SYS/devices/bare/net: no such file or directory"',
        ),
        (
            {"kernelpath": "/sys/devices/empty"},
            "failed to find host device: failed to find network device in path SYS/devices/empty/net",
        ),
        ({"pciBusID": "0000:00:04.0"}, "failed to find host device: no net directory under pci device 0000:00:04.0"),
        (
            {"pciBusID": "0000:00:05.0"},
            "failed to find host device: failed to find network device in path SYS/bus/pci/devices/0000:00:05.0/net",
        ),
        ({"pciBusID": "0000:00:06.0"}, "failed to find host device: Link not found"),
        (
            {"pciBusID": "0000:00:07.0"},
            "error with host device: lstat SYS/bus/pci/devices/0000:00:07.0/driver: no such file or directory",
        ),
        (
            {"pciBusID": "0000:00:09.0"},
            "error with host device: lstat SYS/bus/pci/devices/0000:00:09.0: no such file or directory",
        ),
        ({"pciBusID": "../x"}, "error with host device: '../x' is not a PCI address"),
        ({"runtimeConfig": {"deviceID": "none"}}, "runtime config DeviceID none not found or unsupported"),
        ({"runtimeConfig": {"deviceID": "../.."}}, "runtime config DeviceID ../.. not found or unsupported"),
        ({"runtimeConfig": {"deviceID": ".."}}, "runtime config DeviceID .. not found or unsupported"),
        (
            {"runtimeConfig": {"deviceID": "mlx5_core.sf.3"}},
            "failed to find host device: failed to read directory SYS/bus/auxiliary/devices/mlx5_core.sf.3/net: "
            '"open SYS/bus/auxiliary/devices/mlx5_core.sf.3/net: no such file or directory"',
        ),
    ],
)
def test_not_found(sysfs: Path, host: MemoryNamespace, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as caught:
        Place(wanted(sysfs, **keys), str(sysfs)).find(host, "eth0")
    assert caught.value.msg == message.replace("SYS", str(sysfs))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ens5", True), ("a" * 15, True), ("a" * 16, False), ("", False), ("..", False), ("a/b", False), ("a b", False)],
)
def test_names(text: str, expected: bool) -> None:
    assert is_name(text) is expected


@given(
    name=st.sampled_from(["eth0", "dev2", "dev3", "ens5", "other"]),
    alias=st.sampled_from(["", "ens5", "other", "eth0", "a link to the core", "dev2"]),
    up=st.booleans(),
)
def test_a_device_keeps_its_name_unless_it_surely_came_back(name: str, alias: str, up: bool) -> None:
    """It is down, called as in the container or by its index, and its alias is a name that is free."""
    kernel = MemoryKernel()
    host = kernel.create()
    link, _ = host.create_veth(name, "far", kernel.create())
    host.set_link(link.index, up=up, alias=alias)
    link = link.replace(flags=link.flags if up else 0, alias=alias)
    found = original_name(host, link, "eth0")
    came_back = not up and name in ("eth0", f"dev{link.index}") and alias in ("ens5", "other", "eth0", "dev2")
    assert found == (alias if came_back and alias != name else name)


# --- the plugin ------------------------------------------------------------------------------------------------------


def test_there_and_back(machine: Machine) -> None:
    before = machine.state()
    host, container = machine.host_namespace, machine.container
    result = machine.add("host-device", config())
    assert result == {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "mac": MAC, "sandbox": NETNS}]}
    moved = container.link("eth0")
    assert moved is not None and host.link("ens5") is None
    assert (moved.is_up, moved.alias, moved.mac.hex(":")) == (True, "ens5", MAC)
    checked = config(prevResult=result)
    machine.succeeds("host-device", "CHECK", checked)
    for _ in range(2):
        machine.succeeds("host-device", "DEL", checked)
    back = host.link("ens5")
    assert back is not None and not back.is_up
    host.set_link(back.index, up=True)
    assert machine.state() == before


def test_dns_of_a_wrong_type_is_refused_of_a_device_alone_too(machine: Machine) -> None:
    before = machine.state()
    error = machine.error("host-device", "ADD", config(dns=""))
    assert "'dns'" in error["msg"]
    assert machine.state() == before


def test_with_addresses(machine: Machine) -> None:
    before = machine.state()
    whole = addressed(machine, dns={"domain": "example.org"})
    result = machine.add("host-device", whole)
    assert result["ips"] == [{"address": "10.1.2.2/24", "gateway": "10.1.2.1", "interface": 0}]
    assert result["dns"] == {"domain": "example.org"}
    checked = {**whole, "prevResult": result}
    machine.succeeds("host-device", "CHECK", checked)
    link = machine.container.link("eth0")
    assert link is not None
    machine.container.set_link(link.index, mac=bytes.fromhex("0a0000000009"))
    assert machine.error("host-device", "CHECK", checked)["msg"] == (
        f"Interface eth0 Mac {MAC} doesn't match container Mac: 0a:00:00:00:00:09"
    )
    machine.container.set_link(link.index, mac=link.mac)
    machine.succeeds("host-device", "DEL", whole)
    assert machine.error("host-device", "CHECK", checked)["code"] == 999
    back = machine.host_namespace.link("ens5")
    assert back is not None
    machine.host_namespace.set_link(back.index, up=True)
    assert machine.state() == before


@pytest.mark.parametrize("keys", [{"cniVersion": "0.2.0"}, {"ipam": {"type": "static"}}, {"ipam": {"type": "none"}}])
@pytest.mark.parametrize("up", [True, False])
def test_a_failed_add_gives_the_device_back(machine: Machine, keys: dict[str, Any], up: bool) -> None:
    link = machine.host_namespace.link("ens5")
    assert link is not None
    machine.host_namespace.set_link(link.index, up=up, alias="uplink")
    before = machine.state()
    machine.error("host-device", "ADD", config(**keys))
    assert machine.state() == before


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"device": ""}, 'specify either "device", "hwaddr", "kernelpath" or "pciBusID"'),
        ({"device": "none"}, "failed to find host device: Link not found"),
        ({"runtimeConfig": {"deviceID": "none"}}, "runtime config DeviceID none not found or unsupported"),
        ({"device": "lo"}, 'failed to move link failed to move "eth0" (host: "lo") to container NS: invalid argument'),
    ],
)
def test_refused_adds(machine: Machine, keys: dict[str, Any], message: str) -> None:
    before = machine.state()
    whole = addressed(machine, **keys)
    assert machine.error("host-device", "ADD", whole)["msg"] == message
    machine.succeeds("host-device", "DEL", whole)
    assert machine.state() == before


def test_a_taken_name_in_the_container(machine: Machine) -> None:
    machine.container.create_bridge("eth0")
    before = machine.state()
    whole = addressed(machine)
    assert machine.error("host-device", "ADD", whole)["msg"] == (
        'failed to move link failed to move "eth0" (host: "ens5") to container NS: file exists'
    )
    # what is there is somebody else's
    warning = machine.succeeds("host-device", "DEL", whole)
    assert warning == '"eth0" stays in the container: its alias does not say what it was called\n'
    assert machine.state() == before


def test_a_taken_name_on_the_host(machine: Machine) -> None:
    whole = addressed(machine)
    machine.add("host-device", whole)
    blocker = machine.host_namespace.create_bridge("ens5")
    assert machine.error("host-device", "DEL", whole)["msg"] == 'failed to move "ens5" to hostNS: file exists'
    link = machine.container.link("eth0")
    assert link is not None and link.is_up and link.alias == "ens5"
    machine.host_namespace.delete_link(blocker.index)
    machine.succeeds("host-device", "DEL", whole)
    assert machine.host_namespace.link("ens5") is not None


@pytest.mark.parametrize("netns", ["", "/run/netns/none"])
def test_del_without_a_namespace_frees_the_addresses(machine: Machine, netns: str) -> None:
    whole = addressed(machine)
    machine.add("host-device", whole)
    machine.succeeds("host-device", "DEL", whole, netns=netns)
    assert not [path for path in machine.state()["files"] if path.startswith("leases")]
    assert machine.container.link("eth0") is not None
    machine.succeeds("host-device", "DEL", whole)
    assert machine.host_namespace.link("ens5") is not None


def come_back(machine: Machine, name: str = "eth0") -> None:
    """What the kernel does with hardware when the namespace ends that it is in."""
    link = machine.container.link("eth0")
    assert link is not None
    machine.container.virtual().move(link.index, machine.host_namespace, name)


@pytest.mark.parametrize("keys", [{"device": "ens5"}, {"device": "", "hwaddr": MAC}])
def test_a_device_that_came_back_by_itself_gets_its_name(machine: Machine, keys: dict[str, Any]) -> None:
    machine.add("host-device", config(**keys))
    come_back(machine)
    machine.succeeds("host-device", "DEL", config(**keys), netns="/run/netns/none")
    back = machine.host_namespace.link("ens5")
    assert back is not None and (back.alias, back.is_up) == ("", False)


@pytest.mark.parametrize("keys", [{"device": "ens5"}, {"device": "", "hwaddr": MAC}])
def test_an_add_finds_a_device_that_came_back_by_itself(machine: Machine, keys: dict[str, Any]) -> None:
    machine.add("host-device", config(**keys))
    come_back(machine)
    machine.add("host-device", config(**keys))
    moved = machine.container.link("eth0")
    assert moved is not None and moved.alias == "ens5"


def test_dpdk_moves_nothing(machine: Machine) -> None:
    before = machine.state()
    whole = addressed(machine, DPDKMode=True)
    result = machine.add("host-device", whole)
    assert result["interfaces"] == [{"name": "eth0", "sandbox": NETNS}]
    assert [each["interface"] for each in result["ips"]] == [0]
    checked = {**whole, "prevResult": result}
    machine.succeeds("host-device", "CHECK", checked)
    assert machine.error("host-device", "CHECK", whole)["msg"] == "Required prevResult missing"
    machine.succeeds("host-device", "DEL", whole)
    assert machine.state() == before
    alone = config(DPDKMode=True, dns={"domain": "d"})
    assert machine.add("host-device", alone) == {"cniVersion": "1.1.0", "interfaces": result["interfaces"]}


def test_gc_and_status(machine: Machine) -> None:
    whole = addressed(machine)
    machine.add("host-device", whole)
    kept = machine.state()
    machine.succeeds("host-device", "STATUS", whole, netns="")  # while a container has the device
    machine.succeeds(
        "host-device", "GC", {**whole, "cni.dev/valid-attachments": [{"containerID": "c1", "ifname": "eth0"}]}
    )
    assert machine.state() == kept
    machine.succeeds("host-device", "GC", {**whole, "cni.dev/valid-attachments": []}, netns="")
    assert not [path for path in machine.state()["files"] if path.startswith("leases")]
    nothing = config(device="")
    assert machine.error("host-device", "STATUS", nothing, netns="")["code"] == 999
    machine.succeeds("host-device", "STATUS", {**nothing, "capabilities": {"deviceID": True}}, netns="")
