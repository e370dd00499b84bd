"""`--network`: what each mode is and what it does not go with."""

from __future__ import annotations

from typing import Any

import pytest

from netd.failure import InvalidParameter
from netd.runtime.model import ContainerConfig, HostConfig, PortBinding
from netd.sandbox.modes import DISCARDED, Mode, parse, refuse_contradictions, warnings

PORTS: dict[str, list[PortBinding] | None] = {"80/tcp": [PortBinding()]}


@pytest.mark.parametrize(
    ("text", "kind", "written"),
    [
        ("", "bridge", "bridge"),
        ("default", "bridge", "bridge"),
        ("bridge", "bridge", "bridge"),
        ("host", "host", "host"),
        ("none", "none", "none"),
        ("container:web", "container", "container:web"),
        ("mynet", "network", "mynet"),
        ("a b/c", "network", "a b/c"),
    ],
)
def test_parse(text: str, kind: str, written: str) -> None:
    mode = parse(text)
    assert (mode.kind, str(mode)) == (kind, written)
    assert parse(str(mode)) == mode


@pytest.mark.parametrize("text", ["container:", "container", " "])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(InvalidParameter, match="--network"):
        parse(text)


@pytest.mark.parametrize(
    ("config", "host_config", "flag"),
    [
        ({"hostname": "web"}, {}, "--hostname"),
        ({}, {"links": ["db"]}, "--link"),
        ({}, {"dns": ["192.0.2.1"]}, "--dns"),
        ({}, {"extra_hosts": ["a:192.0.2.1"]}, "--add-host"),
        ({}, {"port_bindings": PORTS}, "-p"),
        ({}, {"publish_all_ports": True}, "-P"),
    ],
)
def test_a_joiner_has_what_the_joined_has(config: dict[str, Any], host_config: dict[str, Any], flag: str) -> None:
    settings = ContainerConfig(**config), HostConfig(**host_config)
    with pytest.raises(InvalidParameter, match="conflicting options: .*" + flag):
        refuse_contradictions(Mode("container", "x"), *settings)
    refuse_contradictions(Mode("bridge"), *settings)


def test_what_a_joiner_may_have_all_the_same() -> None:
    config = ContainerConfig(domainname="example.org", mac_address="02:00:00:00:00:01", exposed_ports={"80/tcp": {}})
    host_config = HostConfig(dns_search=["x"], dns_options=["ndots:1"], sysctls={"net.ipv4.ip_forward": "1"})
    refuse_contradictions(Mode("container", "x"), config, host_config)
    with pytest.raises(InvalidParameter, match="--expose"):
        refuse_contradictions(Mode("container", "x"), config, host_config, ["80/tcp"])


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidParameter) as caught:
        refuse_contradictions(
            Mode("container", "x"), ContainerConfig(hostname="web"), HostConfig(dns=["192.0.2.1"], port_bindings=PORTS)
        )
    assert all(flag in str(caught.value) for flag in ("--hostname", "--dns", "-p, -P"))


def test_host() -> None:
    with pytest.raises(InvalidParameter, match="--link"):
        refuse_contradictions(Mode("host"), ContainerConfig(), HostConfig(links=["db"]))
    with pytest.raises(InvalidParameter, match=r"--sysctl net\.ipv4\.ip_forward"):
        refuse_contradictions(Mode("host"), ContainerConfig(), HostConfig(sysctls={"net.ipv4.ip_forward": "1"}))
    refuse_contradictions(Mode("host"), ContainerConfig(hostname="web"), HostConfig(sysctls={"kernel.msgmax": "1"}))
    with pytest.raises(InvalidParameter, match="--uts host"):
        refuse_contradictions(Mode("host"), ContainerConfig(hostname="web"), HostConfig(uts_mode="host"))
    assert warnings(Mode("host"), HostConfig(port_bindings=PORTS)) == [DISCARDED]
    assert warnings(Mode("host"), HostConfig()) == warnings(Mode("bridge"), HostConfig(port_bindings=PORTS)) == []
