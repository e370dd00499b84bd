"""host-device on the real kernel, as a runtime executes it, through an engine, without one, and the reference's: moving
devices that are named in every way, with a sysfs of its own mounted where the buses are looked at."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from launchers import ROOT
from plugin_callers import OURS, WAYS, Caller
from real_machine import ping

MAC = "0a:00:00:00:00:01"
SLOT = "/sys/bus/pci/devices/0000:00:0{}.0"

_SYSFS = f"""
set -e
mount -t tmpfs none /sys
card() {{
    mkdir -p "$1/$3" "/sys/drivers/$2"
    ln -s "/sys/drivers/$2" "$1/driver"
}}
card {SLOT.format(1)} e1000e net/ens5
card {SLOT.format(2)} virtio-pci virtio3/net/ens5
card {SLOT.format(3)} vfio-pci
card {SLOT.format(4)} e1000e
card {SLOT.format(5)} e1000e net
card {SLOT.format(6)} e1000e net/gone
mkdir -p {SLOT.format(7)}/net/ens5 /sys/bus/auxiliary/devices/mlx5_core.sf.{{2/net/ens5,3}}
mkdir -p /sys/devices/pci0000:00/0000:00:04.0/net/ens5 /sys/devices/empty/net
echo ready
exec sleep infinity
"""


class Rack:
    """A caller's host with a card `ens5`, behind which 192.0.2.1 is, and a container."""

    def __init__(self, way: str, netns: Callable[[], Any], directory: Path) -> None:
        self.host, self.container, self.wire = netns(), netns(), netns()
        self.way = way
        self.wire.run(["ip", "link", "add", "far", "type", "veth", "peer", "name", "ens5", "netns", self.host.path])
        self.wire.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "far"])
        self.wire.run(["ip", "link", "set", "far", "up"])
        self.host.run(["ip", "link", "set", "ens5", "address", MAC, "up"])
        # mounts made later would not be seen inside, so all namespaces are there by now
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", _SYSFS], stdout=subprocess.PIPE, text=True
        )
        enter = (f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--wd={ROOT}")
        try:
            assert self._holder.stdout is not None
            assert self._holder.stdout.readline() == "ready\n"
            self.caller = Caller(way, netns, directory, self.host, enter)
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        self.caller.close()
        self._end()

    def _end(self) -> None:
        self._holder.kill()
        self._holder.communicate()

    def config(self, **keys: Any) -> dict[str, Any]:
        return {"cniVersion": "1.0.0", "name": "net", "type": "host-device", **keys}

    def ok(self, command: str, netns: str | None = None, **keys: Any) -> Any:
        path = self.container.path if netns is None else netns
        return self.caller.ok("host-device", command, self.config(**keys), path)

    def error(self, command: str, netns: str | None = None, **keys: Any) -> str:
        path = self.container.path if netns is None else netns
        return str(self.caller.error("host-device", command, self.config(**keys), path)["msg"])

    def devices(self, space: Any) -> dict[str, tuple[bool, str]]:
        """All but lo: whether up, alias."""
        links = json.loads(space.run(["ip", "-j", "link"]).stdout)
        return {
            each["ifname"]: ("UP" in each["flags"], each.get("ifalias", "")) for each in links if each["ifname"] != "lo"
        }


def racks(ways: tuple[str, ...]) -> Any:
    @pytest.fixture(params=ways)
    def rack(request: pytest.FixtureRequest, netns: Callable[[], Any], tmp_path: Path) -> Iterator[Rack]:
        made = Rack(request.param, netns, tmp_path)
        yield made
        made.close()

    return rack


rack = racks(WAYS)
ours = racks(OURS)


def test_a_device_is_found_in_every_way_and_comes_back(rack: Rack) -> None:
    for keys in (
        {"device": "ens5"},
        {"hwaddr": MAC.upper().replace(":", "-")},
        {"kernelpath": "/sys/devices/pci0000:00/0000:00:04.0"},
        {"pciBusID": "0000:00:01.0"},
        {"pciBusID": "0000:00:02.0"},
        {"runtimeConfig": {"deviceID": "0000:00:02.0"}},
        {"runtimeConfig": {"deviceID": "mlx5_core.sf.2"}, "pciBusID": "0000:00:03.0"},
        {"device": "ens5", "hwaddr": "zz", "kernelpath": "/etc"},
    ):
        rack.host.run(["ip", "link", "set", "ens5", "up"])
        interface = {"name": "eth0", "mac": MAC, "sandbox": rack.container.path}
        result = rack.ok("ADD", **keys, dns={"domain": "example.org"})
        assert result == {"cniVersion": "1.0.0", "interfaces": [interface]}, keys
        assert (rack.devices(rack.host), rack.devices(rack.container)) == ({}, {"eth0": (True, "ens5")})
        rack.ok("CHECK", **keys, prevResult=result)
        rack.ok("DEL", **keys)
        assert (rack.devices(rack.host), rack.devices(rack.container)) == ({"ens5": (False, "")}, {})


def test_what_cannot_be_found(rack: Rack) -> None:
    here = "failed to find host device: "
    for message, keys in {
        'specify either "device", "hwaddr", "kernelpath" or "pciBusID"': {},
        here + "Link not found": {"device": "nope"},
        here + 'failed to parse MAC address "zz": address zz: invalid MAC address': {"hwaddr": "zz"},
        here + "failed to find physical interface": {"hwaddr": "0a:00:00:00:00:77"},
        here + 'kernel device path "/etc" must be absolute and begin with /sys/devices/': {"kernelpath": "/etc"},
        here + 'failed to read directory /sys/devices/x/net: "open /sys/devices/x/net: no such file or directory"': {
            "kernelpath": "/sys/devices/x"
        },
        here + "failed to find network device in path /sys/devices/empty/net": {"kernelpath": "/sys/devices/empty"},
        here + "no net directory under pci device 0000:00:04.0": {"pciBusID": "0000:00:04.0"},
        here + f"failed to find network device in path {SLOT.format(5)}/net": {"pciBusID": "0000:00:05.0"},
        f"error with host device: lstat {SLOT.format(7)}/driver: no such file or directory": {
            "pciBusID": "0000:00:07.0"
        },
        f"error with host device: lstat {SLOT.format(9)}: no such file or directory": {"pciBusID": "0000:00:09.0"},
        "runtime config DeviceID nope not found or unsupported": {"runtimeConfig": {"deviceID": "nope"}},
        "cannot convert: no valid IP addresses": {"pciBusID": "0000:00:03.0", "cniVersion": "0.2.0"},
    }.items():
        assert rack.error("ADD", **keys) == message
    assert rack.error("ADD", netns="/nope", device="ens5") == (
        'failed to open netns "/nope": failed to Statfs "/nope": no such file or directory'
    )
    assert rack.error("ADD", pciBusID="0000:00:06.0") == here + "Link not found"
    assert rack.devices(rack.host) == {"ens5": (True, "")}


def test_dpdk(rack: Rack) -> None:
    """The kernel has no interface of such a device."""
    slot = {"pciBusID": "0000:00:03.0", "dns": {"domain": "example.org"}}
    interface = {"name": "eth0", "sandbox": rack.container.path}
    alone = {"cniVersion": "1.0.0", "interfaces": [interface]}
    assert rack.ok("ADD", **slot) == alone
    ipam = {"type": "static", "addresses": [{"address": "192.0.2.9/24"}]}
    assert rack.ok("ADD", **slot, ipam=ipam) == {
        **alone,
        "dns": {"domain": "example.org"},
        "ips": [{"address": "192.0.2.9/24", "interface": 0}],
    }
    rack.ok("CHECK", **slot, prevResult=alone)
    assert rack.error("CHECK", **slot) == "Required prevResult missing"
    rack.ok("DEL", **slot)
    assert rack.ok("ADD", device="ens5", DPDKMode=True) == alone
    assert (rack.devices(rack.host), rack.devices(rack.container)) == ({"ens5": (True, "")}, {})


def test_traffic(rack: Rack) -> None:
    ipam = {
        "type": "static",
        "addresses": [{"address": "192.0.2.9/24", "gateway": "192.0.2.1"}, {"address": "fd00::9/64"}],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dns": {"domain": "ipam"},
    }
    keys = {"device": "ens5", "ipam": ipam, "dns": {"domain": "example.org"}}
    # of the same name as the device had: that one's is not taken yet
    rack.container.run(["ip", "link", "add", "ens5", "type", "bridge"])
    result = rack.ok("ADD", **keys)
    assert result["dns"] == {"domain": "example.org"}
    assert result["ips"] == [
        {"address": "192.0.2.9/24", "gateway": "192.0.2.1", "interface": 0},
        {"address": "fd00::9/64", "interface": 0},
    ]
    assert "default via 192.0.2.1 dev eth0" in rack.container.run(["ip", "route"]).stdout
    assert ping(rack.container, "192.0.2.1")
    rack.ok("CHECK", **keys, prevResult=result)
    rack.container.run(["ip", "route", "del", "default"])
    assert rack.error("CHECK", **keys, prevResult=result).startswith("Expected Route ")
    rack.container.run(["ip", "addr", "del", "192.0.2.9/24", "dev", "eth0"])
    assert rack.error("CHECK", **keys, prevResult=result) == "Failed to match addr 192.0.2.9/24 on interface eth0"
    result["interfaces"][0]["mac"] = "0a:00:00:00:00:09"
    assert rack.error("CHECK", **keys, prevResult=result) == (
        f"Interface eth0 Mac 0a:00:00:00:00:09 doesn't match container Mac: {MAC}"
    )
    rack.ok("DEL", **keys)
    assert rack.devices(rack.host) == {"ens5": (False, "")}
    assert set(rack.devices(rack.container)) == {"ens5"}


def test_taken_names(rack: Rack) -> None:
    rack.container.run(["ip", "link", "add", "eth0", "type", "bridge"])
    assert rack.error("ADD", device="ens5") == (
        'failed to move link failed to move "eth0" (host: "ens5") to container NS: file exists'
    )
    assert rack.devices(rack.host) == {"ens5": (True, "")}
    rack.container.run(["ip", "link", "del", "eth0"])
    rack.ok("ADD", device="ens5")
    rack.host.run(["ip", "link", "add", "ens5", "type", "bridge"])
    assert rack.error("DEL", device="ens5") == 'failed to move "ens5" to hostNS: file exists'
    assert rack.devices(rack.container) == {"eth0": (True, "ens5")}
    rack.host.run(["ip", "link", "del", "ens5"])
    rack.ok("DEL", device="ens5")
    assert rack.devices(rack.host) == {"ens5": (False, "")}


def test_an_alias_survives_a_failed_add(ours: Rack) -> None:
    ours.host.run(["ip", "link", "set", "ens5", "alias", "to the core"])
    before = ours.devices(ours.host)
    assert ours.error("ADD", device="ens5", ipam={"type": "static"}) == "IPAM plugin returned missing IP config"
    assert ours.error("ADD", device="ens5", cniVersion="0.2.0") == "cannot convert: no valid IP addresses"
    assert ours.error("ADD", device="lo").startswith("failed to move link failed to move ")
    assert (ours.devices(ours.host), ours.devices(ours.container)) == (before, {})


def test_del_is_tolerant(ours: Rack, tmp_path: Path) -> None:
    leases = tmp_path / "leases"
    ipam = {"type": "host-local", "subnet": "192.0.2.0/24", "dataDir": str(leases)}
    keys = {"device": "ens5", "ipam": ipam}
    for netns in ("", "/run/netns/none", None, None):
        ours.ok("DEL", netns=netns, **keys)
    ours.ok("ADD", **keys)
    # the addresses are free also when nobody says where the device is
    ours.ok("DEL", netns="", **keys)
    assert not list(leases.rglob("192.0.2.*"))
    assert ours.devices(ours.container) == {"eth0": (True, "ens5")}
    ours.ok("DEL", device="", pciBusID="0000:00:09.0")  # a bus on which it is not any more
    assert ours.devices(ours.host) == {"ens5": (False, "")}
    # what is called like ours and is not
    ours.container.run(["ip", "link", "add", "eth0", "type", "bridge"])
    ours.ok("DEL", **keys)
    assert ours.devices(ours.container) == {"eth0": (False, "")}


def test_a_device_that_came_back_by_itself(ours: Rack) -> None:
    """The kernel puts hardware back under the name that it had in the namespace that ended; here we do."""
    for give_back in ("DEL", "ADD"):
        ours.ok("ADD", device="ens5")
        ours.container.run(["ip", "link", "set", "eth0", "netns", ours.host.path, "down"])
        assert ours.devices(ours.host) == {"eth0": (False, "ens5")}
        if give_back == "DEL":
            ours.ok("DEL", netns="/run/netns/none", device="ens5")
        else:
            ours.ok("ADD", device="ens5")
            assert ours.devices(ours.container) == {"eth0": (True, "ens5")}
            ours.ok("DEL", device="ens5")
        assert ours.devices(ours.host) == {"ens5": (False, "")}


@pytest.mark.parametrize(("makes", "removes"), [("in-process", "reference"), ("reference", "in-process")])
def test_each_implementation_puts_back_what_the_other_took(
    netns: Callable[[], Any], tmp_path: Path, makes: str, removes: str
) -> None:
    """An upgrade, or a step back."""
    rack = Rack(makes, netns, tmp_path)
    result = rack.ok("ADD", device="ens5")
    other = Caller(removes, netns, tmp_path, rack.host)
    other.ok("host-device", "CHECK", rack.config(device="ens5", prevResult=result), rack.container.path)
    other.ok("host-device", "DEL", rack.config(device="ens5"), rack.container.path)
    assert rack.devices(rack.host) == {"ens5": (False, "")}
    rack.close()
