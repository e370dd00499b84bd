"""tap: its keys, and what it makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.kernel.kinds import Tap
from pycni.spec.request import parse_config
from pycni_plugins.tap.config import Keys, mac_of, parse


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def config(**values: Any) -> dict[str, Any]:
    return {"name": "net", "cniVersion": "1.1.0", **values}


def keys(cni_args: str = "", **values: Any) -> Keys:
    return parse(parse_config(json.dumps({"name": "net", **values}).encode()), cni_args)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Tap()),
        ({"multiQueue": True, "owner": 0, "group": 4294967295}, Tap(True, 0, 4294967295)),
        ({"selinuxContext": "a:b:c:s0", "owner": None}, Tap(selinux_context="a:b:c:s0")),
    ],
)
def test_keys(values: dict[str, Any], expected: Tap) -> None:
    assert keys(**values) == Keys(expected, 0, "", "")
    assert mac_of(keys(**values)) is None


def test_the_mac_comes_from_the_last_source() -> None:
    """The key, then CNI_ARGS, then runtimeConfig (contract 2.18)."""
    own, given, runtime = (f"0a:00:00:00:00:0{number}" for number in range(3))
    assert keys(mac=own).mac == own
    assert keys(f"MAC={given}", mac=own).mac == given
    assert keys(f"MAC={given}", mac=own, runtimeConfig={"mac": runtime}).mac == runtime


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"owner": -1}, "invalid configuration: key 'owner': -1 is negative"),
        ({"group": 4294967296}, "invalid configuration: key 'group': 4294967296 does not fit 32 bits"),
        ({"multiQueue": 1}, "invalid configuration: key 'multiQueue': expected a boolean, got an integer"),
        ({"mac": "zz"}, "invalid args zz for MAC addr: address zz: invalid MAC address"),
        (
            {"mac": "0a:00:00:00:00:01:02:03"},
            "failed to run command Invalid address length 8 - must be 6 bytes\n: exit status 1",
        ),
        ({"mtu": -1}, "invalid configuration: key 'mtu': -1 is negative"),
        ({"bridge": "br0"}, "failed to get bridge br0: Link not found"),
    ],
)
def test_refused_keys(machine: Machine, values: dict[str, Any], message: str) -> None:
    before = machine.state()
    assert machine.error("tap", "ADD", config(**values))["msg"] == message
    assert machine.state() == before


def test_what_is_made(machine: Machine) -> None:
    machine.container.create_bridge("br0")
    result = machine.add("tap", config(owner=5, mtu=1400, bridge="br0", mac="0a:00:00:00:00:01"))
    assert result == {
        "cniVersion": "1.1.0",
        "interfaces": [{"mac": "0a:00:00:00:00:01", "name": "eth0", "sandbox": NETNS}],
    }
    link, bridge = machine.container.link("eth0"), machine.container.link("br0")
    assert link is not None and bridge is not None
    assert (link.kind, link.mtu, link.master, link.is_up) == ("tun", 1400, bridge.index, True)
    assert machine.container.state.devices[link.index].tap == Tap(owner=5)


def test_check_of_an_interface_that_is_gone(machine: Machine) -> None:
    """The reference is content when there are no addresses to look for."""
    result = machine.add("tap", config())
    machine.container.delete_link(machine.container.link("eth0").index)  # type: ignore[union-attr]
    assert machine.error("tap", "CHECK", config(prevResult=result))["msg"] == "Cannot find container link eth0"
    assert machine.error("tap", "CHECK", config())["msg"] == "Required prevResult missing"


def test_what_somebody_else_made_stays(machine: Machine) -> None:
    machine.container.create_bridge("eth0")
    assert machine.error("tap", "ADD", config())["msg"] == 'failed to rename tap to "eth0": file exists'
    assert machine.container.link("eth0") is not None
