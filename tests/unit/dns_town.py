"""Attachments and queries for the tests of the name server."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype

from netd.dns import answers, wire
from netd.dns.zone import Zone
from pycni.firewall.facts import Owner
from pycni.names import Attachment
from pycni.spec.address import Address


def attachment(
    sandbox: str, names: tuple[str, ...], *addresses: str, network: str = "mynet", ifname: str = "eth0", **more: Any
) -> Attachment:
    packed = tuple(Address.parse(each) for each in addresses)
    gateways = tuple(Address.parse(each) for each in more.pop("gateways", ()))
    owner = Owner(network, f"id-{sandbox}", ifname)
    return Attachment(owner, sandbox, names=names, addresses=packed, gateways=gateways, **more)


def zone_of(*attachments: Attachment) -> Zone:
    zone = Zone()
    for each in attachments:
        zone.put(f"{each.sandbox}.{each.owner.network}.{each.owner.ifname}", each)
    return zone


def query(name: str, kind: str = "A", **options: Any) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


def decide(zone: Zone, sandbox: str, message: bytes, udp: bool = True) -> answers.Action:
    return answers.decide(zone, zone.view(sandbox), message, wire.read_question(message), udp)


def ask(zone: Zone, sandbox: str, name: str, kind: str = "A", udp: bool = True) -> list[str] | str:
    """The texts of the records answered, or `forward`."""
    message = query(name, kind)
    action = decide(zone, sandbox, message, udp)
    if isinstance(action, answers.Forward):
        return "forward"
    parsed = dns.message.from_wire(message[:2] + action.replies[0])
    assert dns.message.from_wire(message).is_response(parsed)
    assert parsed.flags & dns.flags.RA or parsed.rcode()
    assert not parsed.flags & dns.flags.AA
    if parsed.rcode():
        return dns.rcode.to_text(parsed.rcode())
    return [item.to_text() for rrset in parsed.answer for item in rrset]
