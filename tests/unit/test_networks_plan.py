"""From flags to the list that is written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.networks.conflist import Network, read
from netd.networks.errors import BridgeTaken, InvalidRequest, NameTaken, Reserved, SubnetTaken
from netd.networks.facts import HostFacts
from netd.networks.names import DEVICE_LIMIT, bridge_name, check_name
from netd.networks.plan import plan
from netd.networks.request import parse_request
from netd.networks.subnets import Occupied
from pycni.spec.address import Prefix

NOW = "2026-01-02T03:04:05Z"


def planned(name: str = "mynet", host: HostFacts | None = None, others: tuple[Network, ...] = (), **flags: Any) -> Any:
    return plan(parse_request(name, **flags), others, host or HostFacts(), created=NOW)


def network(name: str, subnet: str, bridge: str = "br9") -> Network:
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]]}
    plugins = [{"type": "bridge", "bridge": bridge, "isGateway": True, "ipam": ipam}]
    return read({"cniVersion": "1.0.0", "name": name, "plugins": plugins}, f"/net.d/{name}.conflist")


def test_the_default_list() -> None:
    assert planned() == {
        "cniVersion": "1.0.0",
        "name": "mynet",
        "pynet": {
            "id": "11c844f95e2862126712e209cd3acbc68c137931c639633da9dfc17b3a464bde",
            "created": NOW,
            "keepsBridge": False,
            "labels": {},
            "options": {},
        },
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pn-mynet",
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.208.0.0/24", "gateway": "10.208.0.1"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
                "capabilities": {"ips": True},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "firewall", "ingressPolicy": "same-bridge"},
            {"type": "tuning"},
        ],
    }


def bridge_of(value: Any) -> Any:
    return value["plugins"][0]


def types_of(value: Any) -> list[str]:
    return [plugin["type"] for plugin in value["plugins"]]


def test_every_flag() -> None:
    value = planned(
        subnets=["10.1.0.0/16", "fd00:1::/64"],
        gateways=["10.1.255.1", "fd00:1::9"],
        ip_ranges=["10.1.2.0/24", "fd00:1::1:0/112"],
        mtu=1400,
        isolation="isolated",
        bridge="br-x",
        labels=["a=b", "flag"],
        firewall="nftables",
        options=["vlan=7"],
    )
    assert bridge_of(value) == {
        "type": "bridge",
        "bridge": "br-x",
        "isGateway": True,
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "hairpinMode": True,
        "mtu": 1400,
        "vlan": 7,
        "portIsolation": True,
        "ipam": {
            "type": "host-local",
            "ranges": [
                [
                    {
                        "subnet": "10.1.0.0/16",
                        "gateway": "10.1.255.1",
                        "rangeStart": "10.1.2.0",
                        "rangeEnd": "10.1.2.255",
                        "ipRange": "10.1.2.0/24",
                    }
                ],
                [
                    {
                        "subnet": "fd00:1::/64",
                        "gateway": "fd00:1::9",
                        "rangeStart": "fd00:1::1:0",
                        "rangeEnd": "fd00:1::1:ffff",
                        "ipRange": "fd00:1::1:0/112",
                    }
                ],
            ],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
        "capabilities": {"ips": True},
    }
    assert value["plugins"][1:] == [
        {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}},
        {"type": "firewall", "backend": "nftables", "ingressPolicy": "isolated"},
        {"type": "tuning"},
    ]
    labels = {"a": "b", "flag": ""}
    assert value["nerdctlLabels"] == value["args"]["podman_labels"] == value["pynet"]["labels"] == labels
    assert value["pynet"]["options"] == {"vlan": "7"}


def test_dns_is_the_last_plugin_and_only_where_it_is_asked_for() -> None:
    assert planned(dns=True)["plugins"][-1] == {"type": "dnsname", "capabilities": {"aliases": True}}
    assert planned(dns=True)["plugins"][:-1] == planned()["plugins"]


def test_internal_has_no_way_out_and_nothing_to_publish() -> None:
    value = planned(internal=True)
    assert types_of(value) == ["bridge", "firewall", "tuning"]
    assert bridge_of(value)["isGateway"] is True, "the host is reached"
    assert "ipMasq" not in bridge_of(value)
    assert value["plugins"][1] == {"type": "firewall", "ingressPolicy": "same-bridge", "internal": True}
    assert not any("internal" in plugin for plugin in planned()["plugins"])
    assert "routes" not in bridge_of(value)["ipam"]
    assert bridge_of(value)["ipam"]["ranges"] == [[{"subnet": "10.208.0.0/24", "gateway": "10.208.0.1"}]]


@pytest.mark.parametrize(
    ("flags", "families"),
    [
        ({}, [4]),
        ({"ipv6": True}, [4, 6]),
        ({"subnets": ["fd00:1::/64"]}, [6]),
        ({"subnets": ["fd00:1::/64"], "ipv6": True}, [4, 6]),
        ({"subnets": ["10.1.0.0/16"], "ipv6": True}, [4, 6]),
        ({"subnets": ["fd00:1::/64", "10.1.0.0/16"]}, [4, 6]),
    ],
)
def test_families(flags: Any, families: list[int]) -> None:
    value = planned(**flags)
    ranges = [Prefix.parse(item[0]["subnet"]) for item in bridge_of(value)["ipam"]["ranges"]]
    assert [prefix.family for prefix in ranges] == families
    assert bridge_of(value)["ipam"]["routes"] == [{"dst": "0.0.0.0/0" if f == 4 else "::/0"} for f in families]


def test_a_size_instead_of_a_subnet() -> None:
    host = HostFacts(occupied=(Occupied(Prefix.parse("10.208.0.0/30"), "route"),))
    ranges = bridge_of(planned(subnets=["0.0.0.0/28"], host=host))["ipam"]["ranges"]
    assert ranges[0][0]["subnet"] == "10.208.0.16/28"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"subnets": ["10.1.0.0"]}, "--subnet '10.1.0.0': invalid CIDR"),
        ({"subnets": ["10.1.0.0/16", "10.2.0.0/16"]}, "--subnet 10.2.0.0/16: there is 10.1.0.0/16 already"),
        ({"gateways": ["10.1.0.1"]}, "--gateway 10.1.0.1: needs a --subnet"),
        ({"subnets": ["10.1.0.0/16"], "gateways": ["10.2.0.1"]}, "--gateway 10.2.0.1: not inside 10.1.0.0/16"),
        ({"subnets": ["10.1.0.0/16"], "gateways": ["10.1.255.255"]}, "--gateway 10.1.255.255: is the network or broad"),
        ({"subnets": ["10.1.0.0/16"], "gateways": ["x"]}, "--gateway 'x': invalid IP"),
        ({"subnets": ["10.1.0.0/16"], "gateways": ["10.1.0.1", "10.1.0.2"]}, "--gateway 10.1.0.2: .* already"),
        ({"subnets": ["10.1.0.0/16"], "ip_ranges": ["10.0.0.0/8"]}, "--ip-range 10.0.0.0/8: not inside"),
        ({"subnets": ["10.1.0.0/16"], "ip_ranges": ["10.1.0.1/32"]}, "--ip-range 10.1.0.1/32: holds no address"),
        ({"mtu": 67}, "--mtu 67: must be from 68"),
        ({"mtu": 1279, "ipv6": True}, "--mtu 1279: must be from 1280 to 65535 for IPv6"),
        ({"mtu": 1400, "options": ["mtu=1500"]}, "--mtu 1400 contradicts option mtu 1500"),
        ({"options": ["nope=1"]}, "option 'nope' is unknown; known are .*mtu"),
        ({"options": ["icc=maybe"]}, "option icc: 'maybe' is neither true nor false"),
        ({"options": ["vlan=4095"]}, "option vlan: '4095' is not a number from 0 to 4094"),
        ({"options": ["mtu=1", "com.docker.network.driver.mtu=2"]}, "are the same setting with different values"),
        ({"options": ["icc=false"], "isolation": "open"}, "--isolation open contradicts option icc false"),
        ({"isolation": "total"}, "--isolation 'total': must be one of same-bridge, isolated, open"),
        ({"firewall": "ufw"}, "--firewall 'ufw': must be one of auto, iptables, nftables"),
        ({"driver": "overlay"}, "--driver 'overlay': must be one of bridge, macvlan, ipvlan, vlan, ptp"),
        ({"labels": ["=x"]}, "--label '=x': must be KEY=VALUE"),
        ({"labels": ["a=1", "a=2"]}, "--label a: given twice"),
        ({"bridge": "longer-than-fifteen"}, "bridge name 'longer-than-fifteen': must have 1 to 15 bytes, has 19"),
        ({"bridge": "a/b"}, "bridge name 'a/b'"),
        ({"bridge": "br%d"}, "bridge name 'br%d': the kernel allows no '%'"),
        ({"bridge": "all"}, "bridge name 'all': is what the kernel calls"),
    ],
)
def test_wrong_requests_name_the_flag(flags: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        parse_request("mynet", **flags)


@pytest.mark.parametrize("name", ["", "../x", "-a", ".a", "a b", "a/b", "net\n", "ü", "a" * 129])
def test_malformed_names(name: str) -> None:
    with pytest.raises(InvalidRequest, match=r"network name"):
        check_name(name)


@pytest.mark.parametrize("name", ["host", "none", "bridge", "default", "container"])
def test_reserved_names(name: str) -> None:
    with pytest.raises(Reserved, match=name):
        check_name(name)


def test_icc_is_dockers_word_for_isolation() -> None:
    assert parse_request("n", options=["com.docker.network.bridge.enable_icc=false"]).isolation == "isolated"
    assert parse_request("n", options=["icc=true"]).isolation == "same-bridge"
    assert parse_request("n", options=["icc=true"], isolation="open").isolation == "open"


def test_masquerade_can_be_switched_off() -> None:
    assert "ipMasq" not in bridge_of(planned(options=["ip-masq=false"], firewall="nftables"))


def test_a_name_is_given_once() -> None:
    with pytest.raises(NameTaken, match=r"network mynet exists already: /net.d/mynet.conflist"):
        planned(others=(network("mynet", "10.9.0.0/24"),))


def test_subnets_of_other_lists_are_avoided_and_refused() -> None:
    other = network("other", "10.208.0.0/23")
    assert bridge_of(planned(others=(other,)))["ipam"]["ranges"][0][0]["subnet"] == "10.208.2.0/24"
    message = "--subnet 10.208.1.0/24 overlaps 10.208.0.0/23 of network other .*; 10.208.2.0/24 is free"
    with pytest.raises(SubnetTaken, match=message):
        planned(others=(other,), subnets=["10.208.1.0/24"])


def test_bridge_names_are_checked() -> None:
    links = (("eth0", ""), ("br0", "bridge"), ("pn-mynet", "bridge"))
    assert bridge_of(planned(host=HostFacts(links=links)))["bridge"].startswith("pn-11c844f95e28")
    with pytest.raises(BridgeTaken, match=r"--bridge br9: belongs to network other"):
        planned(others=(network("other", "10.9.0.0/24"),), bridge="br9")
    with pytest.raises(BridgeTaken, match=r"--bridge eth0: exists on this host and is a device, not a bridge"):
        planned(host=HostFacts(links=links), bridge="eth0")
    assert planned(host=HostFacts(links=links), bridge="br0")["pynet"]["keepsBridge"] is True
    assert planned(bridge="br0")["pynet"]["keepsBridge"] is False


def test_an_existing_bridge_keeps_its_subnet_and_address() -> None:
    lan = Prefix.parse("192.168.5.7/24")
    host = HostFacts(
        occupied=(Occupied(lan, "address 192.168.5.7/24 on br0", "br0"),),
        links=(("br0", "bridge"),),
        addresses=(("br0", lan),),
    )
    entry = bridge_of(planned(host=host, bridge="br0", subnets=["192.168.5.0/24"]))["ipam"]["ranges"][0][0]
    assert entry == {"subnet": "192.168.5.0/24", "gateway": "192.168.5.7"}
    with pytest.raises(BridgeTaken, match=r"--bridge br0: has the address 192.168.5.7/24 already"):
        planned(host=host, bridge="br0")
    with pytest.raises(SubnetTaken, match=r"address 192.168.5.7/24 on br0"):
        planned(host=host, subnets=["192.168.5.0/24"])


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", fullmatch=True)


@given(names, st.lists(names, max_size=5))
def test_bridge_names_fit_the_kernel_and_are_free(name: str, others: list[str]) -> None:
    taken: set[str] = set()
    for other in [*others, name, name]:
        chosen = bridge_name(other, taken)
        assert chosen not in taken and len(chosen.encode()) <= DEVICE_LIMIT
        taken.add(chosen)


@given(
    st.sampled_from(["same-bridge", "isolated", "open"]),
    st.sampled_from(["auto", "iptables", "nftables"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1400, 9000]),
    st.dictionaries(names, st.text(max_size=5), max_size=3),
)
def test_what_is_written_reads_back(
    isolation: str, firewall: str, internal: bool, ipv6: bool, mtu: int | None, labels: dict[str, str]
) -> None:
    value = planned(
        isolation=isolation,
        firewall=firewall,
        internal=internal,
        ipv6=ipv6,
        mtu=mtu,
        labels=[f"{key}={item}" for key, item in labels.items()],
    )
    seen = read(value, "/net.d/mynet.conflist")
    assert (seen.name, seen.owner, seen.cni_version, seen.created) == ("mynet", "pynet", "1.0.0", NOW)
    assert (seen.isolation, seen.firewall, seen.internal, seen.mtu) == (isolation, firewall, internal, mtu or 0)
    assert dict(seen.labels) == labels
    assert seen.id == value["pynet"]["id"]
    assert [subnet.prefix.family for subnet in seen.subnets] == ([4, 6] if ipv6 else [4])
