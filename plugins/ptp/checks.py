"""ptp's CHECK: is what ADD reported still there (contract 2.10, 2.0.6)."""

from __future__ import annotations

from pycni.attachment import Words, check_addressing, check_device, check_mac, reported
from pycni.firewall.facts import Masquerade
from pycni.firewall.naming import MASQUERADE
from pycni.plan.verify import verify_rules
from pycni.skeleton import Context
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.ptp import layers
from pycni_plugins.ptp.config import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.model import Link

_WORDS = Words(
    previous="ptp: Required prevResult missing",
    missing="ptp: Container Interface name in prevResult",
    mac="ptp: Interface",
)


def check(context: Context) -> None:
    ptp = parse(context.config)
    container = context.open_container()
    context.delegate(context.config.ipam_type, "CHECK")
    previous, interface = reported(context, _WORDS)
    link = check_device(container, interface, "veth", _WORDS, called="veth/p2p")
    check_mac(interface, link, _WORDS)
    check_addressing(container, link, previous)
    _check_host(context, previous, link)
    if ptp.masquerade:
        fact = Masquerade(tuple(ip.address for ip in previous.ips))
        verify_rules(context, MASQUERADE, ptp.masquerade_backend, (fact,))


def _check_host(context: Context, previous: Result, inside: Link) -> None:
    """The host's end, its addresses and the ways to the container; the reference looks at none of it."""
    host = context.host.namespace
    names = [each.name for each in previous.interfaces if not each.sandbox]
    ends = [link for link in map(host.link, names) if link is not None and link.link == inside.index]
    end = next((link for link in ends if link.kind == "veth" and inside.link == link.index), None)
    if end is None:
        raise CniError(f"ptp: host end of {inside.name} not found")
    present = {each.prefix for each in host.addresses(end.index)}
    for gateway in layers.gateways(previous.ips):
        if gateway not in present:
            raise CniError(f"ptp: host end {end.name} does not have gateway address {gateway}")
    for route in layers.to_container(previous.ips):
        ways = host.routes(route.destination.family)
        if not any(each.destination == route.destination and each.device == end.index for each in ways):
            raise CniError(f"ptp: no route to {route.destination} through host end {end.name}")
