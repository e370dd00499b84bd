"""Networks as docker's users name them, as its API shows them, and which addresses their containers get."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from netd.failure import Failure, Forbidden, InvalidParameter
from netd.networks.conflist import read
from netd.networks.errors import Ambiguous, NotFound
from netd.networks.names import network_id
from netd.networks.places import Places
from netd.runtime.model import Container, ContainerConfig, Endpoint, EndpointAddresses, HostConfig
from netd.runtime.places import RuntimePlaces
from netd.sandbox import default_bridge
from netd.sandbox.allocation import Allocator, asking, pool
from netd.sandbox.catalog import BRIDGE_ID, Catalog
from netd.sandbox.network_view import NetworkView
from pycni.ipam.leases import LeaseBook
from pycni.ipam.store import LeaseStore
from pycni.netlist import NetworkList, parse_list
from pycni.spec.address import Address, Prefix


def conflist(name: str, subnets: tuple[str, ...] = ("10.1.0.0/29",), **ipam: Any) -> dict[str, Any]:
    section = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets], **ipam}
    bridge = {"type": "bridge", "bridge": f"br-{name}", "isGateway": True, "ipam": section}
    own = {"created": "2026-01-01T00:00:00Z", "labels": {"team": "a"}, "options": {"k": "v"}}
    return {"cniVersion": "1.0.0", "name": name, "pynet": own, "plugins": [bridge, {"type": "firewall"}]}


class Machine:
    """Files of networks and containers."""

    def __init__(self, directory: Path) -> None:
        self.places = Places(
            netconf_dir=f"{directory}/net.d", cache_dir=f"{directory}/cache", lease_dir=f"{directory}/leases"
        )
        self.runtime = RuntimePlaces(root=f"{directory}/root", run=f"{directory}/run")
        Path(self.places.netconf_dir).mkdir()
        self.put("mynet")
        self.put("other", ("10.2.0.0/24", "fd00:2::/64"))
        path = Path(default_bridge.path_of(self.runtime))
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(default_bridge.build(Prefix.parse("172.17.0.0/16"), "2026-01-01T00:00:00Z")))
        self.containers: list[Container] = []
        self.catalog = Catalog(self.places, self.runtime)
        self.view = NetworkView(self.places, self.catalog, lambda: self.containers)

    def put(self, name: str, subnets: tuple[str, ...] = ("10.1.0.0/29",), **ipam: Any) -> None:
        value = conflist(name, subnets, dataDir=self.places.lease_dir, **ipam)
        Path(f"{self.places.netconf_dir}/{name}.conflist").write_text(json.dumps(value))

    def container(self, name: str, network: str = "mynet", address: str = "", running: bool = False) -> Container:
        wish = EndpointAddresses(address) if address else None
        made = Container(
            network_id(name), name, "", ContainerConfig(), HostConfig(), networks={network: Endpoint(ipam_config=wish)}
        )
        if running:
            made.state.status = "running"
            endpoint = made.networks[network]
            endpoint.endpoint_id, endpoint.ip_address, endpoint.ip_prefix_len = "e1", "10.1.0.3", 29
        self.containers.append(made)
        return made


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_find(machine: Machine) -> None:
    find = machine.catalog.find
    for wanted in ("mynet", network_id("mynet"), network_id("mynet")[:8]):
        assert find(wanted).name == "mynet"
    bridge = find("bridge")
    assert (bridge.list_name, bridge.is_predefined, bridge.id) == ("pynet-bridge", True, BRIDGE_ID)
    assert find(BRIDGE_ID) == find(BRIDGE_ID[:12]) == bridge
    assert (find("host").network, find("none").list_name) == (None, "")
    for wanted in ("nosuch", "", "zz"):
        with pytest.raises(NotFound):
            find(wanted)
    assert [known.name for known in machine.catalog.all()] == ["bridge", "host", "none", "mynet", "other"]


def test_ids_that_begin_alike(machine: Machine) -> None:
    names: dict[str, str] = {}
    number = 0
    while True:
        digits = network_id(f"n{number}")[:3]
        if digits in names:
            break
        names[digits] = f"n{number}"
        number += 1
    for name in (names[digits], f"n{number}"):
        machine.put(name)
    with pytest.raises(Ambiguous):
        machine.catalog.find(digits)


def test_nerdctls_network_of_the_same_name_is_another_one(machine: Machine) -> None:
    machine.put("bridge", ("10.4.0.0/24",))
    assert machine.catalog.find("bridge").list_name == "pynet-bridge"
    assert [known.name for known in machine.catalog.all()].count("bridge") == 1


def test_changes_are_seen(machine: Machine) -> None:
    catalog = machine.catalog
    with pytest.raises(NotFound):
        catalog.find("new")
    machine.put("new")
    assert catalog.plugins(catalog.find("new")).plugins[0].body["bridge"] == "br-new"
    machine.put("new", ("10.9.0.0/24",))
    assert str(catalog.find("new").network.subnets[0].prefix) == "10.9.0.0/24"  # type: ignore[union-attr]
    assert catalog.plugins(catalog.find("new")).plugins[0].body["ipam"]["ranges"] == [[{"subnet": "10.9.0.0/24"}]]
    os.unlink(f"{machine.places.netconf_dir}/new.conflist")
    with pytest.raises(NotFound):
        catalog.find("new")
    os.unlink(default_bridge.path_of(machine.runtime))
    with pytest.raises(NotFound, match="no subnet left"):
        catalog.find("bridge")


def test_an_item_of_the_api(machine: Machine) -> None:
    (mynet,) = machine.view.listed({"name": ["mynet"]})
    assert mynet == {
        "Name": "mynet",
        "Id": network_id("mynet"),
        "Created": "2026-01-01T00:00:00Z",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "10.1.0.0/29", "Gateway": "10.1.0.1"}]},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Options": {"k": "v"},
        "Labels": {"team": "a"},
    }
    bridge = machine.view.inspected("bridge")
    assert bridge["Options"]["com.docker.network.bridge.name"] == "pynet0"
    host = machine.view.inspected("host")
    assert (host["Driver"], host["IPAM"]["Config"], host["Containers"]) == ("host", None, {})
    assert machine.view.inspected("none")["Driver"] == "null"
    assert machine.view.inspected("other")["EnableIPv6"]


def test_who_is_attached(machine: Machine) -> None:
    running = machine.container("web", running=True)
    machine.container("stopped")
    LeaseBook(machine.places.lease_dir, "mynet").allocate(
        "foreign", "eth0", read_sets(machine), (Address.parse("10.1.0.5"),)
    )
    assert machine.view.inspected("mynet")["Containers"] == {
        running.id: {
            "Name": "web",
            "EndpointID": "e1",
            "MacAddress": "",
            "IPv4Address": "10.1.0.3/29",
            "IPv6Address": "",
        },
        "foreign": {
            "Name": "foreign",
            "EndpointID": "",
            "MacAddress": "",
            "IPv4Address": "10.1.0.5/29",
            "IPv6Address": "",
        },
    }
    names = [each["Name"] for each in machine.view.listed({"dangling": ["true"]})]
    assert names == ["other"]
    assert len(machine.view.listed({"dangling": ["0"]})) == 4


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["bridge", "host", "none", "mynet", "other"]),
        ({"name": ["net"]}, ["mynet"]),
        ({"name": ["^o"]}, ["other"]),
        ({"name": ["mynet", "other"], "driver": ["bridge"]}, ["mynet", "other"]),
        ({"driver": ["null", "host"]}, ["host", "none"]),
        ({"type": ["custom"]}, ["mynet", "other"]),
        ({"type": ["builtin"]}, ["bridge", "host", "none"]),
        ({"id": [network_id("mynet")[:10]]}, ["mynet"]),
        ({"label": ["team"]}, ["mynet", "other"]),
        ({"label": ["team=a", "team=b"]}, []),
        ({"scope": ["swarm"]}, []),
        ({"scope": []}, ["bridge", "host", "none", "mynet", "other"]),
    ],
)
def test_filters(machine: Machine, filters: dict[str, list[str]], names: list[str]) -> None:
    assert [each["Name"] for each in machine.view.listed(filters)] == names


def test_bad_filters(machine: Machine) -> None:
    with pytest.raises(InvalidParameter, match="invalid filter 'colour'"):
        machine.view.listed({"colour": ["x"]})
    with pytest.raises(InvalidParameter, match="dangling=maybe"):
        machine.view.listed({"dangling": ["maybe"]})
    with pytest.raises(Failure) as caught:
        machine.view.listed({"type": ["x"]})
    assert caught.value.status == 500


def plugins_of(machine: Machine, name: str = "mynet") -> NetworkList:
    return machine.catalog.plugins(machine.catalog.find(name))


def read_sets(machine: Machine, name: str = "mynet") -> Any:
    source = pool(plugins_of(machine, name))
    assert source is not None
    return source.sets


def choose(machine: Machine, container: Container, wanted: str = "", name: str = "mynet", tried: str = "") -> list[str]:
    allocator = Allocator(lambda: machine.containers, LeaseStore())
    source = pool(plugins_of(machine, name))
    assert source is not None
    wishes = (Address.parse(wanted),) if wanted else ()
    refused = (Address.parse(tried),) if tried else ()
    with allocator.choose(machine.catalog.find(name), source, container, wishes, refused) as found:
        return [str(address) for address in found]


def test_the_lowest_free_address_that_is_nobodys_wish(machine: Machine) -> None:
    web = machine.container("web")
    machine.container("db", address="10.1.0.2")
    machine.container("elsewhere", "other", "10.1.0.3")
    assert choose(machine, web) == ["10.1.0.3"]
    assert choose(machine, web, tried="10.1.0.3") == ["10.1.0.4"]
    assert choose(machine, web, "10.1.0.2") == ["10.1.0.2"], "asked for by name, and not in use"
    assert choose(machine, machine.containers[1], "10.1.0.2") == ["10.1.0.2"]
    LeaseBook(machine.places.lease_dir, "mynet").allocate(
        web.id, "eth0", read_sets(machine), (Address.parse("10.1.0.2"),)
    )
    with pytest.raises(Forbidden, match=r"IP address 10\.1\.0\.2 on network mynet is taken by container web"):
        choose(machine, machine.containers[1], "10.1.0.2")


def test_both_families(machine: Machine) -> None:
    web = machine.container("web", "other")
    assert choose(machine, web, name="other") == ["10.2.0.2", "fd00:2::2"]
    assert choose(machine, web, "fd00:2::77", name="other") == ["10.2.0.2", "fd00:2::77"]


def test_two_that_choose_at_once(machine: Machine) -> None:
    first, second = machine.container("first"), machine.container("second")
    allocator = Allocator(lambda: machine.containers, LeaseStore())
    known, source = machine.catalog.find("mynet"), pool(plugins_of(machine))
    assert source is not None
    with allocator.choose(known, source, first, (), ()) as one, allocator.choose(known, source, second, (), ()) as two:
        assert (str(one[0]), str(two[0])) == ("10.1.0.2", "10.1.0.3")
    with allocator.choose(known, source, second, (), ()) as again:
        assert str(again[0]) == "10.1.0.2"


def test_a_full_network_names_what_is_reserved(machine: Machine) -> None:
    web = machine.container("web")
    for number in range(2, 7):
        machine.container(f"c{number}", address=f"10.1.0.{number}")
    with pytest.raises(Forbidden) as caught:
        choose(machine, web)
    assert str(caught.value) == (
        "no free IP address on network mynet (range 10.1.0.1-10.1.0.6): "
        "10.1.0.2 for c2, 10.1.0.3 for c3, 10.1.0.4 for c4 and 2 more reserved by --ip"
    )


def test_asking_host_local(machine: Machine) -> None:
    machine.put("ranged", ("10.3.0.0/24",))
    value = conflist("ranged", dataDir="/leases")
    value["plugins"][0]["ipam"]["ranges"] = [
        [{"subnet": "10.3.0.0/24", "rangeStart": "10.3.0.100", "rangeEnd": "10.3.0.110"}]
    ]
    network = parse_list(json.dumps(value).encode())
    source = pool(network)
    inside = asking(network, source, [Address.parse("10.3.0.105")]).plugins
    assert inside[0].body["args"] == {"cni": {"ips": ["10.3.0.105"]}}
    assert inside[0].body["ipam"] == value["plugins"][0]["ipam"]
    assert "args" not in inside[1].body
    outside = asking(network, source, [Address.parse("10.3.0.7")]).plugins[0].body
    assert outside["ipam"]["ranges"] == [[{"subnet": "10.3.0.0/24"}]]
    assert asking(network, source, []) == network


def test_lists_whose_addresses_are_another_plugins_business() -> None:
    for ipam in ({"type": "dhcp"}, {"type": "host-local", "ranges": [[{"subnet": "x"}]]}, None):
        value = conflist("x")
        value["plugins"][0]["ipam"] = ipam
        if ipam is None:
            del value["plugins"][0]["ipam"]
        assert pool(parse_list(json.dumps(value).encode())) is None


def test_the_default_networks_list() -> None:
    value = default_bridge.build(Prefix.parse("172.18.0.0/16"), "2026-01-01T00:00:00Z", "/leases")
    network = read(value, "bridge.conflist")
    assert (network.name, network.bridge, network.internal) == ("pynet-bridge", "pynet0", False)
    assert [(str(each.prefix), str(each.gateway)) for each in network.subnets] == [("172.18.0.0/16", "172.18.0.1")]
    assert [str(each.base) for each in default_bridge.POOLS[:2]] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert str(default_bridge.POOLS[-1].base) == "192.168.0.0/16"
