"""static: where its addresses come from, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import Machine

from pycni.spec.errors import CniError
from pycni.spec.request import parse_config
from pycni_plugins.static.config import Static, parse

ADDRESSES = [{"address": "10.1.2.9/24", "gateway": "10.1.2.1"}, {"address": "fd00:1::9/64"}]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def keys(cni_args: str = "", version: str = "1.1.0", ipam: Any = None, **values: Any) -> Static:
    whole = {"cniVersion": version, "name": "net", "ipam": {"addresses": ADDRESSES} if ipam is None else ipam, **values}
    return parse(parse_config(json.dumps(whole).encode()), cni_args)


def shown(found: Static) -> list[tuple[str, str]]:
    return [(str(each.address), str(each.gateway or "")) for each in found.ips]


@pytest.mark.parametrize(
    ("values", "cni_args", "expected"),
    [
        ({}, "", [("10.1.2.9/24", "10.1.2.1"), ("fd00:1::9/64", "")]),
        ({"ipam": {}}, "", []),
        ({"ipam": {}}, "IP=10.0.0.5/8, fd00::5/64 ", [("10.0.0.5/8", ""), ("fd00::5/64", "")]),
        (
            {},
            "IP=10.0.0.5/8;GATEWAY=10.0.0.1 ,fd00:1::1,10.1.2.7",
            [("10.1.2.9/24", "10.1.2.7"), ("fd00:1::9/64", "fd00:1::1"), ("10.0.0.5/8", "10.1.2.7")],
        ),
        ({"args": {"cni": {"ips": ["10.0.0.5/8"]}}}, "IP=10.0.0.6/8;GATEWAY=10.0.0.1", [("10.0.0.5/8", "")]),
        (
            {"args": {"cni": {"ips": ["10.0.0.5/8"]}}, "RuntimeConfig": {"ips": ["fd00::5/64", "10.0.0.7/8"]}},
            "",
            [("fd00::5/64", ""), ("10.0.0.7/8", "")],
        ),
        ({"runtimeConfig": {"ips": []}}, "", [("10.1.2.9/24", "10.1.2.1"), ("fd00:1::9/64", "")]),
        (
            {"ipam": {"addresses": [{"address": "bad"}]}, "runtimeConfig": {"ips": ["10.0.0.7/8"]}},
            "",
            [("10.0.0.7/8", "")],
        ),
    ],
)
def test_where_addresses_come_from(values: dict[str, Any], cni_args: str, expected: list[tuple[str, str]]) -> None:
    assert shown(keys(cni_args, **values)) == expected


@pytest.mark.parametrize(
    ("values", "cni_args", "message"),
    [
        (
            {"ipam": {"addresses": [{"address": "10.0.0.1"}]}},
            "",
            "the 'address' field is expected to be in CIDR notation, got: '10.0.0.1'",
        ),
        ({"ipam": {"addresses": [{}]}}, "", "the 'address' field is expected to be in CIDR notation, got: ''"),
        ({}, "IP=10.0.0.1", "the 'ip' field is expected to be in CIDR notation, got: '10.0.0.1'"),
        ({}, "IP=10.0.0.1/8,", "the 'ip' field is expected to be in CIDR notation, got: ''"),
        ({}, "GATEWAY=10.0.0.300", "invalid gateway address: 10.0.0.300"),
        ({}, "ADDRESS=1", 'ARGS: unknown args ["ADDRESS=1"]'),
        (
            {"args": {"cni": {"ips": ["10.0.0.1"]}}, "runtimeConfig": {"ips": ["10.0.0.7/8"]}},
            "",
            "an entry in the 'ips' field is NOT in CIDR notation, got: '10.0.0.1'",
        ),
        (
            {"version": "0.2.0"},
            "IP=10.0.0.1/8",
            "CNI version 0.2.0 does not support more than 1 address per family",
        ),
        ({"version": ""}, "IP=10.0.0.1/8", "CNI version  does not support more than 1 address per family"),
        (
            {"ipam": {"addresses": [{"address": "10.0.0.1/8", "gateway": "x"}]}},
            "",
            "invalid configuration: key 'ipam.addresses[0].gateway': invalid IP address: x",
        ),
    ],
)
def test_refused(values: dict[str, Any], cni_args: str, message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(cni_args, **values)
    assert caught.value.msg == message


def config(**values: Any) -> dict[str, Any]:
    return {"cniVersion": "1.1.0", "name": "net", "ipam": {"type": "static", "addresses": ADDRESSES}, **values}


def test_without_ipam(machine: Machine) -> None:
    whole = {**config(runtimeConfig={"ips": ["10.0.0.7/8"]}), "ipam": None}
    for command in ("ADD", "CHECK", "STATUS"):
        assert machine.error("static", command, whole)["msg"] == "IPAM config missing 'ipam' key"
    machine.succeeds("static", "DEL", whole)


def test_what_is_reported(machine: Machine) -> None:
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "gw": "10.1.2.5", "mtu": 1400, "table": 0}]
    dns = {"nameservers": ["10.1.2.1"], "domain": "example.org"}
    ipam = {**config()["ipam"], "routes": routes, "dns": dns}
    assert machine.add("static", config(ipam=ipam)) == {
        "cniVersion": "1.1.0",
        "ips": ADDRESSES,
        "routes": routes,
        "dns": dns,
    }
    # no address is allowed, as far as the version can say it
    assert machine.add("static", config(ipam={})) == {"cniVersion": "1.1.0"}
    refused = machine.error("static", "ADD", config(ipam={}, cniVersion="0.2.0"))
    assert refused["msg"] == "cannot convert: no valid IP addresses"


def test_check_compares_gateways(machine: Machine) -> None:
    def previous(*ips: dict[str, str]) -> dict[str, Any]:
        return config(prevResult={"cniVersion": "1.1.0", "ips": list(ips)})

    assert machine.error("static", "CHECK", config())["msg"] == "Required prevResult missing"
    for fine in (previous(*ADDRESSES), previous(), previous({"address": "10.1.2.9/16", "gateway": "10.1.2.1"})):
        machine.succeeds("static", "CHECK", fine)
    # an address without a configured gateway may have any
    machine.succeeds("static", "CHECK", previous({"address": "fd00:1::9/64", "gateway": "fd00:1::1"}))
    for wrong in ({"address": "10.1.2.9/24", "gateway": "10.1.2.2"}, {"address": "10.1.2.9/24"}):
        error = machine.error("static", "CHECK", previous(wrong))
        assert error == {"code": 999, "msg": "static: Failed to match addr 10.1.2.9 on interface eth0"}


def test_nothing_to_give_back(machine: Machine) -> None:
    before = machine.state()
    machine.add("static", config())
    for _ in range(2):
        machine.succeeds("static", "DEL", config(), netns="")
    machine.succeeds("static", "DEL", config(ipam={"addresses": [{"address": "bad"}]}), CNI_ARGS="bad")
    machine.succeeds("static", "GC", config(**{"cni.dev/valid-attachments": []}))
    machine.succeeds("static", "STATUS", config())
    assert machine.error("static", "STATUS", config(ipam={"addresses": [{}]}))["code"] == 999
    assert machine.state() == before
