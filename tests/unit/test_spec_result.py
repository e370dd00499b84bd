"""Results: conversion between all spec versions in both directions, and the printed text byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.kernel.model import Route
from pycni.spec import jsontext, version
from pycni.spec import result as results
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError, DecodingFailure
from pycni.spec.result import Dns, Interface, IpConfig, Result
from pycni.spec.section import Section

NETNS = "/var/run/netns/c2"
INTERFACES = (
    Interface("br0", "32:54:25:45:1b:68"),
    Interface("veth0d32bda3", "62:4a:90:31:aa:b0"),
    Interface("eth0", "c6:f3:3a:f6:a6:7a", NETNS),
)


def ip(address: str, gateway: str = "", interface: int | None = None) -> IpConfig:
    return IpConfig(Prefix.parse(address), Address.parse(gateway) if gateway else None, interface)


def route(destination: str, gateway: str = "", **fields: int) -> Route:
    return Route(Prefix.parse(destination), Address.parse(gateway) if gateway else None, **fields)


def reread(text: str) -> Result:
    section = Section(json.loads(text))
    return results.parse(section, section.string("cniVersion"))


GOLDEN = {
    "0.2.0": (
        Result(
            INTERFACES,
            (ip("10.1.2.6/24", "10.1.2.1", 2), ip("fd00:1::6/64", "fd00:1::1", 2)),
            (route("0.0.0.0/0"), route("192.168.0.0/16", mtu=1300)),
        ),
        """{
    "cniVersion": "0.2.0",
    "ip4": {
        "ip": "10.1.2.6/24",
        "gateway": "10.1.2.1",
        "routes": [
            {
                "dst": "0.0.0.0/0"
            },
            {
                "dst": "192.168.0.0/16"
            }
        ]
    },
    "ip6": {
        "ip": "fd00:1::6/64",
        "gateway": "fd00:1::1"
    },
    "dns": {}
}""",
    ),
    "0.4.0": (
        Result(
            INTERFACES,
            (ip("10.1.2.8/24", "10.1.2.1", 2), ip("fd00:1::8/64", "fd00:1::1", 2)),
            (route("0.0.0.0/0"), route("192.168.0.0/16", mtu=1300)),
        ),
        """{
    "cniVersion": "0.4.0",
    "interfaces": [
        {
            "name": "br0",
            "mac": "32:54:25:45:1b:68"
        },
        {
            "name": "veth0d32bda3",
            "mac": "62:4a:90:31:aa:b0"
        },
        {
            "name": "eth0",
            "mac": "c6:f3:3a:f6:a6:7a",
            "sandbox": "/var/run/netns/c2"
        }
    ],
    "ips": [
        {
            "version": "4",
            "interface": 2,
            "address": "10.1.2.8/24",
            "gateway": "10.1.2.1"
        },
        {
            "version": "6",
            "interface": 2,
            "address": "fd00:1::8/64",
            "gateway": "fd00:1::1"
        }
    ],
    "routes": [
        {
            "dst": "0.0.0.0/0"
        },
        {
            "dst": "192.168.0.0/16",
            "mtu": 1300
        }
    ],
    "dns": {}
}""",
    ),
    "1.1.0": (
        Result(
            INTERFACES,
            (ip("10.1.2.2/24", "10.1.2.1", 2),),
            (route("192.168.0.0/16", mtu=1300, advmss=1200, priority=7, table=100, scope=0),),
        ),
        """{
    "cniVersion": "1.1.0",
    "interfaces": [
        {
            "mac": "32:54:25:45:1b:68",
            "name": "br0"
        },
        {
            "mac": "62:4a:90:31:aa:b0",
            "name": "veth0d32bda3"
        },
        {
            "mac": "c6:f3:3a:f6:a6:7a",
            "name": "eth0",
            "sandbox": "/var/run/netns/c2"
        }
    ],
    "ips": [
        {
            "address": "10.1.2.2/24",
            "gateway": "10.1.2.1",
            "interface": 2
        }
    ],
    "routes": [
        {
            "advmss": 1200,
            "dst": "192.168.0.0/16",
            "mtu": 1300,
            "priority": 7,
            "scope": 0,
            "table": 100
        }
    ]
}""",
    ),
}
SAME_LAYOUT = [
    ("0.2.0", "0.1.0"),
    ("0.2.0", "0.2.0"),
    ("0.4.0", "0.3.0"),
    ("0.4.0", "0.3.1"),
    ("0.4.0", "0.4.0"),
    ("1.1.0", "1.0.0"),
    ("1.1.0", "1.1.0"),
]


@pytest.mark.parametrize(("sample", "label"), SAME_LAYOUT)
def test_the_contracts_golden_samples(sample: str, label: str) -> None:
    made, text = GOLDEN[sample]
    assert results.render(made, label) == text.replace(f'"cniVersion": "{sample}"', f'"cniVersion": "{label}"')


def test_without_a_version_the_oldest_is_printed() -> None:
    made, text = GOLDEN["0.2.0"]
    assert results.render(made, "") == text.replace("0.2.0", "0.1.0")


def test_every_key_in_its_place() -> None:
    full = Result(
        (Interface("e<0", "m", "s", 1400, "/sock", "0000:01"),),
        (ip("1.2.3.4/24", "1.2.3.1", 0),),
        (route("9.0.0.0/8", "1.2.3.9", mtu=1, advmss=2, priority=3, table=0, scope=0),),
        Dns(("n",), "d", ("s",), ("o",)),
    )
    recent = json.loads(results.render(full, "1.0.0"))
    assert list(recent) == ["cniVersion", "dns", "interfaces", "ips", "routes"]
    assert list(recent["interfaces"][0].items()) == [
        ("mac", "m"),
        ("mtu", 1400),
        ("name", "e<0"),
        ("pciID", "0000:01"),
        ("sandbox", "s"),
        ("socketPath", "/sock"),
    ]
    assert list(recent["ips"][0]) == ["address", "gateway", "interface"]
    assert list(recent["routes"][0]) == ["advmss", "dst", "gw", "mtu", "priority", "scope", "table"]
    assert list(recent["dns"]) == ["domain", "nameservers", "options", "search"]
    middle = json.loads(results.render(full, "0.3.1"))
    assert list(middle) == ["cniVersion", "interfaces", "ips", "routes", "dns"]
    assert list(middle["interfaces"][0]) == ["name", "mac", "sandbox"]
    assert list(middle["ips"][0]) == ["version", "interface", "address", "gateway"]
    assert list(middle["routes"][0]) == ["dst", "gw", "mtu", "advmss", "priority", "table", "scope"]
    assert list(middle["dns"]) == ["nameservers", "domain", "search", "options"]
    assert '"name": "e\\u003c0"' in results.render(full, "1.1.0")


def test_zero_and_absent() -> None:
    made = Result(ips=(ip("1.2.3.4/24", interface=0), ip("1.2.3.5/24")), routes=(route("9.0.0.0/8", table=0),))
    body = json.loads(results.render(made, "1.1.0"))
    assert body["ips"] == [{"address": "1.2.3.4/24", "interface": 0}, {"address": "1.2.3.5/24"}]
    assert body["routes"] == [{"dst": "9.0.0.0/8", "table": 0}]


@pytest.mark.parametrize("label", version.ALL)
def test_dns_of_an_empty_result(label: str) -> None:
    made = Result(ips=(ip("1.2.3.4/24"),))
    assert ('"dns": {}' in results.render(made, label)) == (label not in ("1.0.0", "1.1.0"))


def test_an_empty_result() -> None:
    assert results.render(Result(), "1.1.0") == '{\n    "cniVersion": "1.1.0"\n}'
    assert results.render(Result(), "0.4.0") == '{\n    "cniVersion": "0.4.0",\n    "dns": {}\n}'


@pytest.mark.parametrize("label", ["", "0.1.0", "0.2.0"])
def test_a_result_without_addresses_has_no_old_form(label: str) -> None:
    with pytest.raises(CniError) as caught:
        results.render(Result(INTERFACES), label)
    assert (caught.value.code, caught.value.msg) == (999, "cannot convert: no valid IP addresses")


def test_the_old_form_keeps_the_first_of_each_family() -> None:
    made = Result(
        INTERFACES,
        (ip("fd00::2/64"), ip("10.0.0.2/24"), ip("10.0.0.3/24"), ip("fd00::3/64")),
        (route("fd01::/64", "fd00::1", mtu=1), route("9.0.0.0/8", "10.0.0.1", table=3, priority=9)),
    )
    body = json.loads(results.render(made, "0.1.0"))
    assert body == {
        "cniVersion": "0.1.0",
        "ip4": {"ip": "10.0.0.2/24", "routes": [{"dst": "9.0.0.0/8", "gw": "10.0.0.1"}]},
        "ip6": {"ip": "fd00::2/64", "routes": [{"dst": "fd01::/64", "gw": "fd00::1"}]},
        "dns": {},
    }
    assert list(body) == ["cniVersion", "ip4", "ip6", "dns"]


def test_the_old_form_drops_routes_of_an_absent_family() -> None:
    made = Result(ips=(ip("10.0.0.2/24"),), routes=(route("fd01::/64"),))
    assert json.loads(results.render(made, "0.2.0")) == {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24"}, "dns": {}}


def test_host_bits_of_a_route_are_kept_and_ipv6_is_short() -> None:
    made = Result(ips=(ip("FD00:0:0:0::0001/64"),), routes=(route("10.1.2.3/8"),))
    body = json.loads(results.render(made, "1.0.0"))
    assert (body["ips"][0]["address"], body["routes"][0]["dst"]) == ("fd00::1/64", "10.1.2.3/8")


v4 = st.integers(0, 2**32 - 1).map(lambda number: Address.from_number(number, 4))
# an IPv4-mapped address is the IPv4 one as soon as it is read
v6 = st.integers(2**49, 2**128 - 1).map(lambda number: Address.from_number(number, 6))
words = st.text("abc<&é0", min_size=1, max_size=6)
small = st.integers(0, 9)


@st.composite
def ips(draw: st.DrawFn) -> IpConfig:
    kind = draw(st.sampled_from([v4, v6]))
    address = draw(kind)
    length = draw(st.integers(0, address.bits))
    return IpConfig(Prefix(address, length), draw(st.none() | kind), draw(st.none() | small))


@st.composite
def routes(draw: st.DrawFn) -> Route:
    kind = draw(st.sampled_from([v4, v6]))
    address = draw(kind)
    return Route(
        Prefix(address, draw(st.integers(0, address.bits))),
        draw(st.none() | kind),
        draw(small),
        draw(st.none() | small),
        draw(st.none() | small),
        draw(small),
        draw(small),
    )


interfaces = st.builds(Interface, words, st.just("") | words, st.just("") | words, small, st.just("") | words, words)
lists = st.lists(words, max_size=2).map(tuple)
dns = st.builds(Dns, lists, st.just("") | words, lists, lists)
made_results = st.builds(
    Result,
    st.lists(interfaces, max_size=3).map(tuple),
    st.lists(ips(), max_size=4).map(tuple),
    st.lists(routes(), max_size=4).map(tuple),
    dns,
)


@given(made_results, st.sampled_from(results.RECENT))
def test_the_newest_form_keeps_everything(made: Result, label: str) -> None:
    assert reread(results.render(made, label)) == made


@given(made_results, st.sampled_from(results.MIDDLE))
def test_the_middle_form_keeps_all_but_three_interface_keys(made: Result, label: str) -> None:
    plain = tuple(Interface(each.name, each.mac, each.sandbox) for each in made.interfaces)
    assert reread(results.render(made, label)) == made.replace(interfaces=plain)


def oldest(made: Result) -> Result:
    """What 0.1.0 can say of a result, from the contract's table."""
    kept_ips, kept_routes = [], []
    for family in (4, 6):
        of_family = [each for each in made.ips if each.address.family == family]
        if of_family:
            kept_ips.append(of_family[0].replace(interface=None))
            kept_routes += [
                Route(each.destination, each.gateway) for each in made.routes if each.destination.family == family
            ]
    return Result((), tuple(kept_ips), tuple(kept_routes), made.dns)


@given(made_results.filter(lambda made: made.ips), st.sampled_from(results.LEGACY), st.sampled_from(version.ALL))
def test_the_oldest_form_and_up_again(made: Result, label: str, up: str) -> None:
    old = reread(results.render(made, label))
    assert old == oldest(made)
    assert reread(results.render(old, up)) == old


@given(made_results.filter(lambda made: made.ips), st.sampled_from(version.ALL), st.sampled_from(version.ALL))
def test_a_second_conversion_to_the_same_version_changes_nothing(made: Result, first: str, second: str) -> None:
    """Through any version on the way, in either direction."""
    once = reread(results.render(made, first))
    twice = reread(results.render(once, second))
    assert reread(results.render(twice, second)) == twice
    assert results.render(twice, first) == results.render(reread(results.render(twice, first)), first)


@given(made_results)
def test_keys_are_sorted_at_every_level_from_1_0_0_on(made: Result) -> None:
    def check(value: Any) -> None:
        if isinstance(value, dict):
            assert list(value) == sorted(value)
            list(map(check, value.values()))
        elif isinstance(value, list):
            assert value
            list(map(check, value))

    check(json.loads(results.render(made, "1.0.0")))


@pytest.mark.parametrize("label", ["2.0.0", "1.0", "x"])
def test_no_form_for_an_unknown_version(label: str) -> None:
    with pytest.raises(DecodingFailure):
        results.render(Result(), label)


@pytest.mark.parametrize("config_version", version.ALL)
@pytest.mark.parametrize("own", version.ALL)
def test_a_result_belongs_to_the_configurations_family(config_version: str, own: str) -> None:
    family = results.family_of(config_version)
    section = Section({"cniVersion": own})
    if own in family:
        assert results.parse(section, config_version) == Result()
    else:
        with pytest.raises(DecodingFailure) as caught:
            results.parse(section, config_version)
        listed = " ".join(family) if family != results.LEGACY else " 0.1.0 0.2.0"
        assert caught.value.msg == f'result type supports [{listed}] but unmarshalled CNIVersion is "{own}"'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"ips": [{}]}, "key 'ips[0].address': an ip needs an address"),
        ({"ips": [{"address": "1.2.3.4"}]}, "key 'ips[0].address': invalid CIDR address: 1.2.3.4"),
        ({"ips": [{"address": "1.2.3.4/8", "gateway": "x"}]}, "key 'ips[0].gateway': invalid IP address: x"),
        ({"routes": [{"gw": "1.2.3.4"}]}, "key 'routes[0].dst': a route needs a destination"),
        ({"routes": [{"dst": "1.0.0.0/8", "scope": 256}]}, "key 'routes[0].scope': 256 does not fit 8 bits"),
        ({"routes": [{"dst": "1.0.0.0/8", "mtu": -1}]}, "key 'routes[0].mtu': -1 is negative"),
        ({"routes": {}}, "key 'routes': expected a list, got an object"),
        ({"interfaces": [{"name": 1}]}, "key 'interfaces[0].name': expected a string, got an integer"),
        ({"dns": {"search": "x"}}, "key 'dns.search': expected a list, got a string"),
    ],
)
def test_a_bad_key_is_named(body: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        results.parse(Section(body), "1.0.0")
    assert caught.value.msg == f"invalid configuration: {reason}"


def test_an_old_block_without_an_address() -> None:
    with pytest.raises(ConfigError, match=r"key 'ip4\.ip': an ip needs an address"):
        results.parse(Section({"ip4": {"gateway": "1.2.3.4"}}), "0.2.0")


def test_null_lists_are_empty() -> None:
    body = {"interfaces": None, "ips": None, "routes": None, "dns": None}
    assert results.parse(Section(body), "1.0.0") == Result()
    assert results.parse(Section({"ip4": None, "ip6": None}), "0.1.0") == Result()


def test_an_interface_keys_letter_case_does_not_matter() -> None:
    read = results.parse(Section({"Interfaces": [{"Name": "e", "PciID": "p"}]}), "1.1.0")
    assert read.interfaces == (Interface("e", pci_id="p"),)
    assert jsontext.loads(results.render(read, "1.1.0"))["interfaces"] == [{"name": "e", "pciID": "p"}]


@pytest.mark.parametrize("label", ["0.3.0", "0.3.1", "0.4.0"])
def test_what_only_later_versions_know_of_an_interface_is_not_looked_at(label: str) -> None:
    known = {"name": "eth0", "mac": "0a:00:00:00:00:01", "sandbox": "/s"}
    read = results.parse(Section({"interfaces": [{**known, "mtu": "", "socketPath": 1, "pciID": []}]}), label)
    assert read.interfaces == (Interface(*known.values()),)
