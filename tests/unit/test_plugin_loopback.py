"""loopback on the in-memory machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.spec import version
from pycni.spec.address import Prefix


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    for address in ("127.0.0.1/8", "::1/128"):
        made.container.add_address(1, Prefix.parse(address))
    return made


def config(label: str = "1.1.0", **values: Any) -> dict[str, Any]:
    return {"name": "net", "cniVersion": label, **values}


def is_up(machine: Machine) -> bool:
    link = machine.container.link("lo")
    assert link is not None
    return link.is_up


@pytest.mark.parametrize("label", version.ALL)
def test_the_result_is_laid_out_as_its_version_says(machine: Machine, label: str) -> None:
    """The reference prints the newest layout whatever the version (appendix A.13)."""
    added = machine.add("loopback", config(label), ifname="anything")
    assert is_up(machine)
    assert added["cniVersion"] == label
    if label in ("0.1.0", "0.2.0"):
        assert (added["ip4"], added["ip6"]) == ({"ip": "127.0.0.1/8"}, {"ip": "::1/128"})
        return
    assert added["interfaces"] == [{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": NETNS}]
    assert [(each["address"], each["interface"]) for each in added["ips"]] == [("127.0.0.1/8", 0), ("::1/128", 0)]


def test_a_previous_result_is_passed_through(machine: Machine) -> None:
    previous = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "mtu": 9}]}
    assert machine.add("loopback", config(prevResult=previous)) == previous
    assert is_up(machine)


def test_a_previous_result_that_cannot_be_read_changes_nothing(machine: Machine) -> None:
    body = machine.error("loopback", "ADD", config(prevResult={"cniVersion": "0.2.0"}))
    assert body["msg"].startswith("failed to parse prevResult: could not parse prevResult: ")
    assert not is_up(machine)


def test_cni_args_are_not_looked_at(machine: Machine) -> None:
    machine.add("loopback", config(), CNI_ARGS="none")


def test_a_foreign_address(machine: Machine) -> None:
    machine.container.add_address(1, Prefix.parse("10.0.0.1/32"))
    body = machine.error("loopback", "ADD", config())
    assert body["msg"] == 'loopback interface found with non-loopback address "10.0.0.1"'
    assert not is_up(machine)


def test_check_and_del(machine: Machine) -> None:
    assert machine.error("loopback", "CHECK", config())["msg"] == "loopback interface is down"
    machine.add("loopback", config())
    machine.succeeds("loopback", "CHECK", config())
    for netns in (NETNS, NETNS, "", "/run/netns/none"):
        machine.succeeds("loopback", "DEL", config(), netns=netns)
    assert not is_up(machine)


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
def test_a_missing_namespace(machine: Machine, command: str) -> None:
    body = machine.error("loopback", command, config(), netns="/run/netns/none")
    assert body["msg"] == 'failed to Statfs "/run/netns/none": no such file or directory'


def test_gc_and_status_have_nothing_to_do(machine: Machine) -> None:
    before = machine.state()
    machine.succeeds("loopback", "GC", config(), netns="")
    machine.succeeds("loopback", "STATUS", config(), netns="")
    assert machine.state() == before
