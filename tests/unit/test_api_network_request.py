"""POST /networks/create: what docker's clients send, as a request for a network."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from netd.api.network_request import CreateNetwork, request_of
from netd.networks.request import Request
from pycni.spec.errors import CniError


def request(**body: Any) -> Request:
    return request_of(msgspec.convert({"Name": "web", **body}, CreateNetwork))


def test_what_the_docker_command_line_sends() -> None:
    body = {
        "CheckDuplicate": True,
        "Driver": "bridge",
        "Scope": "",
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": {}, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigOnly": False,
        "ConfigFrom": None,
        "Options": {},
        "Labels": {},
    }
    made = request(**body)
    assert (made.name, made.automatic, made.subnets, made.internal, made.dns) == ("web", (4,), (), False, True)


def test_an_empty_entry_is_none() -> None:
    assert request(IPAM={"Config": [{}]}).automatic == (4,)


def test_subnets_gateways_and_ranges() -> None:
    config = [
        {"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.9", "IPRange": "10.9.0.128/25", "AuxiliaryAddresses": {}},
        {"Subnet": "fd00:9::/64"},
    ]
    made = request(EnableIPv6=True, IPAM={"Config": config})
    first, second = made.subnets
    assert (str(first.prefix), str(first.gateway), str(first.ip_range)) == ("10.9.0.0/24", "10.9.0.9", "10.9.0.128/25")
    assert str(second.prefix) == "fd00:9::/64"
    assert made.automatic == ()


def test_each_enabled_family_has_a_subnet() -> None:
    assert request(EnableIPv6=True).automatic == (4, 6)
    assert request(EnableIPv6=True, EnableIPv4=False).automatic == (6,)
    assert request(EnableIPv6=True, IPAM={"Config": [{"Subnet": "fd00:9::/64"}]}).automatic == (4,)
    assert request(EnableIPv6=True, IPAM={"Config": [{"Subnet": "10.9.0.0/24"}]}).automatic == (6,)


def test_a_subnet_of_a_family_that_is_off_is_ignored() -> None:
    made = request(IPAM={"Config": [{"Subnet": "fd00:9::/64"}, {"Subnet": "10.9.0.0/24"}]})
    assert [str(each.prefix) for each in made.subnets] == ["10.9.0.0/24"]
    assert made.automatic == ()


def test_options_are_kept_as_they_came_and_understood() -> None:
    options = {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.driver.mtu": "1400",
        "com.docker.network.bridge.gateway_mode_ipv4": "nat",
    }
    made = request(Options=options, Labels={"a": "b", "c": ""})
    assert dict(made.options) == options
    assert (made.isolation, made.mtu, dict(made.labels)) == ("isolated", 1400, {"a": "b", "c": ""})


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"Name": " "}, 400, "network name is empty"),
        ({"Name": "bridge"}, 403, "network name 'bridge' is reserved"),
        ({"Name": "a/b"}, 400, "network name 'a/b'"),
        ({"Driver": "host"}, 403, "only one instance of 'host' network is allowed"),
        ({"Driver": "overlay"}, 404, "driver 'overlay': could not find plugin"),
        ({"Scope": "swarm"}, 403, "this engine is not part of a swarm"),
        ({"Scope": "moon"}, 400, "scope 'moon': must be local"),
        ({"ConfigOnly": True}, 501, "--config-only, --config-from"),
        ({"ConfigFrom": {"Network": "x"}}, 501, "--config-only, --config-from"),
        ({"EnableIPv4": False}, 400, "IPv4 or IPv6 must be enabled"),
        ({"IPAM": {"Driver": "moon"}}, 404, "IPAM driver 'moon': not found"),
        ({"IPAM": {"Config": [{"Gateway": "10.9.0.1"}]}}, 400, "IPAM: 10.9.0.1: needs a Subnet"),
        ({"IPAM": {"Config": [{"Subnet": "10.9.0.1/24"}]}}, 400, "--subnet 10.9.0.1/24: host bits are set"),
        (
            {"IPAM": {"Config": [{"Subnet": "10.9.0.0/24", "AuxiliaryAddresses": {"router": "10.9.0.2"}}]}},
            501,
            "--aux-address router",
        ),
        ({"Options": {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}}, 400, "gateway_mode_ipv4: 'routed'"),
        ({"Options": {"com.docker.network.driver.mtu": "-1"}}, 400, "option com.docker.network.driver.mtu: '-1'"),
        ({"Options": {"moon": "1"}}, 400, "option 'moon' is unknown"),
    ],
)
def test_what_is_refused(body: dict[str, Any], status: int, message: str) -> None:
    with pytest.raises(CniError) as raised:
        request(**body)
    assert raised.value.status == status  # type: ignore[attr-defined]
    assert message in raised.value.msg
