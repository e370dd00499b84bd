"""portmap: its keys, which addresses it publishes to, its facts, and the plugin on the in-memory machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_machine import NETNS, Machine

from pycni.firewall.facts import Mapping, Owner, Publish
from pycni.firewall.naming import PORTMAP
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError, NotAvailable
from pycni.spec.request import parse_config
from pycni.spec.result import Interface, IpConfig, Result
from pycni_plugins.portmap.plugin import Portmap, applies, facts, parse, targets

OWNER = Owner("net", "c1", "eth0")
TCP = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}


def keys(*mappings: dict[str, Any], **values: Any) -> Portmap:
    body = {"name": "net", "runtimeConfig": {"portMappings": list(mappings)}, **values}
    return parse(parse_config(json.dumps(body).encode()))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_defaults() -> None:
    assert keys() == Portmap("", (), True, False, 13, "", (), ())
    assert keys(runtimeConfig=None) == keys()


def test_mappings_in_order() -> None:
    found = keys(
        TCP,
        {"hostPort": 53, "containerPort": 5353, "protocol": "UDP", "hostIP": "10.0.0.1"},
        {"HostPort": 99, "ContainerPort": 99, "HostIP": ""},
        {"hostPort": 65535, "containerPort": 1, "protocol": "sctp", "hostIP": "::"},
    )
    assert found.mappings == (
        Mapping("tcp", 8080, 80),
        Mapping("UDP", 53, 5353, Address.parse("10.0.0.1")),
        Mapping("tcp", 99, 99),
        Mapping("sctp", 65535, 1, Address.parse("::")),
    )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"hostPort": 0, "containerPort": 0}, "Invalid container port number: 0"),
        ({"hostPort": -1, "containerPort": 80}, "Invalid host port number: -1"),
        ({"hostPort": 80}, "Invalid container port number: 0"),
        ({"containerPort": 80}, "Invalid host port number: 0"),
    ],
)
def test_ports_must_be_positive_the_containers_first(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(TCP, mapping)
    assert caught.value.msg == message


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"hostPort": 65536}, "hostPort': 65536 is not a port number"),
        ({"containerPort": 70000}, "containerPort': 70000 is not a port number"),
        ({"hostPort": "80"}, "hostPort': expected an integer, got a string"),
        ({"hostPort": 1.5}, "hostPort': expected an integer, got a number"),
        ({"hostIP": "localhost"}, "hostIP': invalid IP address: localhost"),
        ({"protocol": "tcp\nCOMMIT"}, "protocol': 'tcp\\nCOMMIT' is not one word of at most 16 bytes"),
        ({"protocol": "tcp -j DROP"}, "protocol': 'tcp -j DROP' is not one word of at most 16 bytes"),
    ],
)
def test_a_bad_key_of_a_mapping_is_named(mapping: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys(TCP, {**TCP, **mapping})
    assert caught.value.msg == f"invalid configuration: key 'runtimeConfig.portMappings[1].{reason}"


IPTABLES_WORDS = ["-s", "10.0.0.0/8"]
NFTABLES_WORDS = ["ip", "saddr", "10.0.0.0/8"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backend": "pf"}, 'unrecognized backend "pf"'),
        ({"markMasqBit": 32}, "MasqMarkBit must be between 0 and 31"),
        ({"markMasqBit": -1}, "MasqMarkBit must be between 0 and 31"),
        ({"markMasqBit": 5, "externalSetMarkChain": "X"}, "Cannot specify externalSetMarkChain and markMasqBit"),
        (
            {"backend": "iptables", "conditionsV4": NFTABLES_WORDS, "conditionsV6": NFTABLES_WORDS},
            "iptables backend was requested but configuration contains nftables-specific options "
            "[conditionsV4 conditionsV6]",
        ),
        (
            {"conditionsV6": NFTABLES_WORDS},
            "iptables backend was requested but configuration contains nftables-specific options [conditionsV6]",
        ),
        (
            {
                "backend": "nftables",
                "externalSetMarkChain": "X",
                "conditionsV4": IPTABLES_WORDS,
                "conditionsV6": ["!", *IPTABLES_WORDS],
            },
            "nftables backend was requested but configuration contains iptables-specific options "
            "[externalSetMarkChain conditionsV4 conditionsV6]",
        ),
        (
            {"backend": "nftables", "conditionsV4": NFTABLES_WORDS, "conditionsV6": IPTABLES_WORDS},
            "nftables backend was requested but configuration contains iptables-specific options [conditionsV6]",
        ),
    ],
)
def test_refused_keys(values: dict[str, Any], message: str) -> None:
    with pytest.raises(CniError) as caught:
        keys(TCP, **values)
    assert caught.value.msg == message


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"externalSetMarkChain": "A\nCOMMIT"}, "externalSetMarkChain"),
        ({"conditionsV4": ["-s", "a\nb"]}, "conditionsV4"),
    ],
)
def test_nothing_that_could_end_a_line_reaches_a_firewall_program(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^invalid configuration: key '{key}'"):
        keys(**values)


@pytest.mark.parametrize("bit", [0, 13, 31])
def test_mark_bits(bit: int) -> None:
    assert keys(markMasqBit=bit).mark_bit == bit


# --- targets and facts -----------------------------------------------------------------------------------------------

INTERFACES = (Interface("br0"), Interface("eth0", "", NETNS), Interface("eth1", "", NETNS), Interface("eth0"))


def ip(address: str, interface: int | None = None) -> IpConfig:
    return IpConfig(Prefix.parse(address), None, interface)


@pytest.mark.parametrize(
    ("ips", "expected"),
    [
        ((), []),
        ((ip("10.0.0.2/24", 1), ip("fd00::2/64", 1)), ["10.0.0.2/24", "fd00::2/64"]),
        ((ip("10.0.0.2/24", 1), ip("10.0.0.3/24", 1)), ["10.0.0.2/24"]),
        ((ip("10.0.0.1/24", 0), ip("10.0.0.9/24", 2), ip("10.0.0.2/24", 1)), ["10.0.0.2/24"]),
        ((ip("10.0.0.2/24", 3),), []),
        ((ip("10.0.0.2/24"),), ["10.0.0.2/24"]),
        ((ip("10.0.0.2/24", 9),), ["10.0.0.2/24"]),
        ((ip("10.0.0.2/24", -1),), ["10.0.0.2/24"]),
    ],
)
def test_the_first_address_of_each_family_that_is_not_known_to_be_anothers(
    ips: tuple[IpConfig, ...], expected: list[str]
) -> None:
    assert [str(each) for each in targets(Result(INTERFACES, ips), "eth0").values()] == expected


def test_one_publication_a_family() -> None:
    v4, v6 = Prefix.parse("10.0.0.2/24"), Prefix.parse("fd00::2/64")
    portmap = keys(TCP, snat=False, masqAll=True, markMasqBit=3, conditionsV4=["-s", "a"], conditionsV6=["-s", "b"])
    mapping = Mapping("tcp", 8080, 80)
    assert facts(portmap, {6: v6, 4: v4}) == (
        Publish(v4, (mapping,), False, True, 3, "", ("-s", "a")),
        Publish(v6, (mapping,), False, True, 3, "", ("-s", "b")),
    )
    assert facts(portmap, {}) == ()


@pytest.mark.parametrize(
    ("host_address", "families"), [(None, [4, 6]), ("0.0.0.0", [4]), ("::", [6]), ("10.0.0.1", [4]), ("::1", [6])]
)
def test_a_host_address_binds_a_mapping_to_its_family(host_address: str | None, families: list[int]) -> None:
    mapping = Mapping("tcp", 1, 1, Address.parse(host_address) if host_address else None)
    assert [family for family in (4, 6) if applies(mapping, family)] == families


# --- the plugin on the in-memory machine -----------------------------------------------------------------------------

PREVIOUS = {
    "interfaces": [{"name": "br0"}, {"name": "eth0", "sandbox": NETNS}],
    "ips": [{"address": "10.1.2.2/24", "interface": 1}, {"address": "fd00:1::2/64", "interface": 1}],
    "dns": {"domain": "kept"},
}


def config(*mappings: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {
        "name": "net",
        "cniVersion": "1.1.0",
        "runtimeConfig": {"portMappings": list(mappings)},
        "prevResult": PREVIOUS,
        **values,
    }


def bridge_to_the_container(machine: Machine) -> None:
    index = machine.host_namespace.create_bridge("br0").index
    machine.host_namespace.set_link(index, up=True)
    machine.host_namespace.add_address(index, Prefix.parse("10.1.2.1/24"))


def test_the_previous_result_is_passed_through(machine: Machine) -> None:
    for mappings in ((), (TCP,)):
        added = machine.add("portmap", config(*mappings))
        assert added == {**PREVIOUS, "cniVersion": "1.1.0"}


@pytest.mark.parametrize(
    ("command", "message"),
    [("ADD", "must be called as chained plugin"), ("CHECK", "Required prevResult missing")],
)
def test_without_a_previous_result(machine: Machine, command: str, message: str) -> None:
    body = machine.error("portmap", command, config(TCP, prevResult=None))
    assert body == {"code": 999, "msg": message}


@pytest.mark.parametrize(
    ("command", "prefix"), [("ADD", "failed to parse config: "), ("DEL", "failed to parse config: "), ("CHECK", "")]
)
def test_configuration_errors_are_prefixed_but_on_check(machine: Machine, command: str, prefix: str) -> None:
    body = machine.error("portmap", command, config(TCP, backend="pf"))
    assert body["msg"] == f'{prefix}unrecognized backend "pf"'
    body = machine.error("portmap", command, config(TCP, backend="pf", prevResult={"cniVersion": "0.2.0"}))
    assert body["msg"].startswith(f"{prefix}could not parse prevResult: ")


def test_route_localnet_on_the_device_that_faces_the_container(machine: Machine) -> None:
    bridge_to_the_container(machine)
    machine.add("portmap", config(TCP, snat=False))
    assert machine.host_namespace.read_sysctl("net/ipv4/conf/br0/route_localnet") == "0"
    machine.add("portmap", config(TCP))
    assert machine.host_namespace.read_sysctl("net/ipv4/conf/br0/route_localnet") == "1"


def test_udp_flows_to_published_ports_are_forgotten(machine: Machine) -> None:
    flows = machine.host_namespace.udp_flows
    flows += [(4, 53), (6, 53), (4, 54), (6, 54), (4, 8080)]
    udp = {"hostPort": 53, "containerPort": 53, "protocol": "UDP"}
    machine.add("portmap", config(TCP, udp, {**udp, "hostPort": 54, "hostIP": "::1"}))
    assert machine.host_namespace.udp_flows == [(4, 54), (4, 8080)]


def test_check_and_del_and_del_again(machine: Machine) -> None:
    machine.add("portmap", config(TCP, backend="nftables"))
    assert machine.firewall.rules[OWNER, PORTMAP][0] == "nftables"
    machine.succeeds("portmap", "CHECK", config(TCP, backend="nftables"))
    machine.succeeds("portmap", "DEL", config(prevResult=None), netns="")
    assert machine.firewall.rules == {}
    assert machine.error("portmap", "CHECK", config(TCP))["msg"] == "no portmap rule"
    machine.succeeds("portmap", "DEL", config(TCP))
    machine.succeeds("portmap", "CHECK", config())


def test_what_del_assumes_where_nothing_is_known(machine: Machine) -> None:
    """Rules of the reference's, from before an upgrade: the previous result tells what they were."""
    machine.succeeds("portmap", "DEL", config(TCP))
    (call,) = machine.firewall.calls
    assert call[:3] == ("remove", OWNER, PORTMAP)
    assert [str(each.target) for each in call[3]] == ["10.1.2.2/24", "fd00:1::2/64"]


def test_gc_and_status(machine: Machine) -> None:
    machine.add("portmap", config(TCP))
    machine.add("portmap", config(TCP), container_id="c2")
    keep = {"cni.dev/valid-attachments": [{"containerID": "c2", "ifname": "eth0"}]}
    machine.succeeds("portmap", "GC", config(**keep), netns="")
    assert [owner.container_id for owner, _ in machine.firewall.rules] == ["c2"]
    machine.succeeds("portmap", "STATUS", config(backend="nftables"))
    assert machine.firewall.calls[-1] == ("status", "nftables")
    machine.firewall.refuses = NotAvailable("no nft")
    assert machine.error("portmap", "STATUS", config()) == {"code": 50, "msg": "no nft"}
