"""What a create makes of modes and networks in the spellings that docker's clients use (contract docker 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_town import Town

from netd.failure import InvalidParameter
from netd.networks.names import network_id
from netd.runtime.model import Endpoint, PortBinding


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(netns, tmp_path, dns=False)
    made.network("mynet", subnet="10.1.0.0/24")
    made.network("other", subnet="10.2.0.0/24")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("mode", "asked", "stored", "networks"),
    [
        ("", [], "bridge", ["bridge"]),
        ("default", ["default"], "bridge", ["bridge"]),
        ("", ["mynet"], "bridge", ["mynet"]),
        ("bridge", ["mynet", "bridge"], "bridge", ["bridge", "mynet"]),
        ("mynet", [], "mynet", ["mynet"]),
        ("mynet", ["other"], "mynet", ["mynet", "other"]),
        (network_id("mynet"), [network_id("mynet")[:12]], "mynet", ["mynet"]),
        ("later", ["later"], "later", ["later"]),
        ("host", ["host"], "host", ["host"]),
        ("none", [], "none", ["none"]),
    ],
)
def test_networks_by_name(town: Town, mode: str, asked: list[str], stored: str, networks: list[str]) -> None:
    web = town.create("web", mode, networks={name: Endpoint() for name in asked}).container
    assert web.host_config.network_mode == stored
    assert list(web.networks) == networks


def test_what_a_client_sends_as_if_it_had_got_it_is_forgotten(town: Town) -> None:
    sent = Endpoint(network_id="x", endpoint_id="y", gateway="1.2.3.4", ip_address="1.2.3.5", ip_prefix_len=8)
    web = town.create("web", "mynet", networks={"mynet": sent}).container
    endpoint = web.networks["mynet"]
    assert (endpoint.network_id, endpoint.endpoint_id) == (network_id("mynet"), "")
    assert (endpoint.gateway, endpoint.ip_address, endpoint.ip_prefix_len) == ("", "", 0)
    assert endpoint.dns_names == ["web", web.short_id]


def test_a_mac_address_for_the_whole_container(town: Town) -> None:
    given = {"mac_address": "02:00:00:00:00:01"}
    web = town.create("web", "mynet", networks={"mynet": Endpoint(), "other": Endpoint()}, config=given).container
    assert [each.mac_address for each in web.networks.values()] == ["02:00:00:00:00:01", ""]
    same = {"mynet": Endpoint(mac_address="02:00:00:00:00:01".upper())}
    town.create("same", "mynet", networks=same, config=given)
    with pytest.raises(InvalidParameter, match="conflicting MAC addresses"):
        town.create("bad", "mynet", networks={"mynet": Endpoint(mac_address="02:00:00:00:00:02")}, config=given)


@pytest.mark.parametrize(
    ("config", "host_config", "words"),
    [
        ({"hostname": "h" * 65}, {}, f"--hostname {'h' * 65}: longer than 64 bytes"),
        ({"hostname": "a b"}, {}, "--hostname 'a b': a name has no white space"),
        ({"domainname": "x\n1.2.3.4"}, {}, r"--domainname 'x\\n1.2.3.4': a name has no white space"),
        ({"exposed_ports": {"99999/tcp": {}}}, {}, "99999/tcp"),
        ({}, {"port_bindings": {"80/foo": None}}, 'invalid port specification: "80/foo": container port'),
        ({}, {"port_bindings": {"80/tcp": [PortBinding("", "x")]}}, 'invalid port specification: "x": host port of 80'),
        ({}, {"port_bindings": {"80/tcp": [PortBinding("bad")]}}, 'invalid port specification: "bad": host address of'),
    ],
)
def test_names_and_ports_that_are_none_are_refused_at_once(
    town: Town, config: dict[str, Any], host_config: dict[str, Any], words: str
) -> None:
    for mode in ("mynet", "host"):
        with pytest.raises(InvalidParameter, match=words):
            town.create("web", mode, config=config, **host_config)
    assert town.boxes == {}


def test_ports_of_the_image_do_not_keep_a_container_from_joining(town: Town) -> None:
    town.started("donor")
    exposes = {"exposed_ports": {"80/tcp": {}}}
    with pytest.raises(InvalidParameter, match="--expose"):
        town.create("asked", "container:donor", config=exposes)
    inherits = town.create("inherits", "bridge", config=exposes)
    inherits.container.host_config.network_mode = "container:donor"
    inherits.container.networks, inherits.container.config.hostname = {}, ""
    assert town.sandboxes.check(inherits.container, ()) == []


@pytest.mark.parametrize(
    ("wish", "flag"),
    [
        ({"dns": ["nonsense"]}, "--dns"),
        ({"dns_search": ["a b"]}, "--dns-search"),
        ({"extra_hosts": ["db=192.0.2.1"]}, "--add-host"),
        ({"sysctls": {"net..x": "1"}}, "--sysctl"),
        ({"links": [":x"]}, "--link"),
    ],
)
def test_flags_that_are_wrong_whatever_the_mode(town: Town, wish: dict[str, Any], flag: str) -> None:
    with pytest.raises(InvalidParameter, match=flag):
        town.create("web", **wish)
