"""What the firewall is told about published ports, and what the guard keeps; pure."""

from __future__ import annotations

import pytest

from netd.ports import guard
from netd.ports.allocator import Claim
from netd.ports.gateways import Endpoint, Gateway, Gateways
from netd.ports.nat import Rules, from_localhost, rules
from netd.ports.strangers import Strangers
from pycni.firewall.facts import Mapping, Owner, Publish
from pycni.firewall.ledger import Entry
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError

FOUR = Gateway("net", "eth0", Prefix.parse("10.0.0.2/24"), "nftables")
SIX = Gateway("net", "eth0", Prefix.parse("fd00::2/64"), "nftables")


def claim(text: str) -> Claim:
    address, port, protocol = text.split()
    return Claim(protocol, Address.parse(address), int(port))


LEADS = (
    (claim("0.0.0.0 8080 tcp"), 80),
    (claim(":: 8080 tcp"), 80),
    (claim("192.0.2.1 53 udp"), 5353),
    (claim("::1 90 tcp"), 90),
)


def test_each_family_gets_its_own_ports_and_the_proxy_what_cannot_be_led() -> None:
    assert rules("id", Gateways(FOUR, SIX), LEADS) == {
        Owner("net", "id", "eth0"): Rules(
            "nftables",
            (
                Publish(
                    FOUR.address,
                    (Mapping("tcp", 8080, 80), Mapping("udp", 53, 5353, Address.parse("192.0.2.1"))),
                    proxied=True,
                ),
                Publish(SIX.address, (Mapping("tcp", 8080, 80),), proxied=True),
            ),
        )
    }


def test_a_container_of_one_family() -> None:
    (each,) = rules("id", Gateways(FOUR), LEADS).values()
    assert [fact.target for fact in each.facts if isinstance(fact, Publish)] == [FOUR.address]
    assert rules("id", Gateways(ipv6=SIX), [LEADS[0]]) == {}
    assert rules("id", Gateways(), LEADS) == {}


def test_gateways_of_two_networks() -> None:
    other = Gateway("other", "eth1", SIX.address, "iptables")
    found = rules("id", Gateways(FOUR, other), LEADS)
    assert list(found) == [Owner("net", "id", "eth0"), Owner("other", "id", "eth1")]
    assert [each.backend for each in found.values()] == ["nftables", "iptables"]


def test_what_one_family_lacks_the_other_serves() -> None:
    assert Gateways(FOUR).towards(6) == FOUR
    assert Gateways(FOUR, SIX).towards(6) == SIX
    assert Gateways(ipv6=SIX).towards(4) == SIX
    assert Gateways().towards(4) is None
    assert not Gateways().exist


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.0.0.0 1 tcp", True), ("127.0.0.1 1 tcp", True), ("192.0.2.1 1 tcp", False), (":: 1 tcp", False)],
)
def test_only_what_listens_there_is_led_from_localhost(text: str, expected: bool) -> None:
    assert from_localhost([(claim(text), 80)]) is expected


def test_the_ports_of_cni_clients_are_known_by_family_and_address() -> None:
    mappings = (Mapping("TCP", 8080, 80), Mapping("tcp", 81, 81, Address.parse("10.9.9.9")))
    entry = Entry(Owner("mynet", "abc", "eth0"), "portmap", "iptables", (Publish(FOUR.address, mappings),))
    strangers = Strangers()
    strangers.refresh([entry])
    name = "container abc of network mynet"
    assert strangers.holder(claim("0.0.0.0 8080 tcp")) == name
    assert strangers.holder(claim("192.0.2.1 8080 tcp")) == name
    assert strangers.holder(claim(":: 8080 tcp")) == "", "the container has no IPv6 address"
    assert strangers.holder(claim("0.0.0.0 8080 udp")) == ""
    assert strangers.holder(claim("0.0.0.0 81 tcp")) == name
    assert strangers.holder(claim("10.9.9.8 81 tcp")) == ""
    strangers.refresh([])
    assert strangers.holder(claim("0.0.0.0 8080 tcp")) == ""


def test_a_shielded_address_has_one_door() -> None:
    found = guard.elements("id", [Endpoint(FOUR.address.address, "br0"), Endpoint(SIX.address.address, "br0")])
    assert [(each.set, len(each.key)) for each in found] == [
        ("g_shielded4", 4),
        ("g_doors4", 20),
        ("g_shielded6", 16),
        ("g_doors6", 32),
    ]
    assert found[1].key == FOUR.address.address.packed + b"br0".ljust(16, b"\0")
    assert all(each.comment.endswith(" id") for each in found)


@pytest.mark.parametrize("device", ["", "sixteen-letters-"])
def test_a_door_is_a_device(device: str) -> None:
    with pytest.raises(FirewallError, match="not a device's name"):
        guard.elements("id", [Endpoint(FOUR.address.address, device)])
