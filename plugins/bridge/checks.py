"""bridge's CHECK: is what ADD reported still there (contract 2.1, 2.0.6)."""

from __future__ import annotations

from pycni.firewall.facts import BRIDGE_NAT, Masquerade, SpoofCheck
from pycni.firewall.naming import MASQUERADE, SPOOFCHECK
from pycni.kernel.model import IFF_PROMISC, Link, format_mac
from pycni.plan.verify import container_interface, verify_addresses, verify_routes, verify_rules
from pycni.skeleton import Context
from pycni.spec.errors import CniError
from pycni.spec.result import Interface, Result
from pycni_plugins.bridge.config import Bridge, parse
from pycni_plugins.bridge.layers import port_vlans


def check(context: Context) -> None:
    bridge = parse(context.config, context.request.arguments)
    container = context.open_container()
    if bridge.has_ipam:  # without one the reference's CHECK always fails (appendix A.6)
        context.delegate(context.config.ipam_type, "CHECK")
    previous = context.config.prev_result()
    if previous is None:
        raise CniError("Required prevResult missing")
    host = context.host.namespace
    device = _check_bridge(bridge, previous, host.link(bridge.name))
    inside = container_interface(context, previous)
    link = container.link(inside.name)
    if link is None:
        raise CniError(f"Interface name {inside.name} not found")
    if link.kind != "veth":
        raise CniError(f"Error: Container interface {link.name} not of type veth")
    _check_mac(inside, link, f"Mac {inside.mac} doesn't match container Mac: {format_mac(link.mac)}")
    port = _check_port(context, previous, device, link)
    _check_port_flags(context, bridge, port)
    _check_vlans(context, bridge, port)
    if bridge.spoofcheck:
        verify_rules(context, SPOOFCHECK, BRIDGE_NAT, (SpoofCheck(port.name, link.mac),))
    verify_addresses(container, link, previous)
    verify_routes(container, previous)
    if bridge.has_ipam and bridge.masquerade:
        fact = Masquerade(tuple(ip.address for ip in previous.ips))
        verify_rules(context, MASQUERADE, bridge.masquerade_backend, (fact,))


def _check_bridge(bridge: Bridge, previous: Result, link: Link | None) -> Link:
    reported = next((each for each in previous.interfaces if each.name == bridge.name), None)
    if reported is None:
        raise CniError("Interface name missing ")
    if link is None:
        raise CniError(f"Interface name {bridge.name} not found")
    if reported.sandbox:
        raise CniError(f"Interface {bridge.name} should not be in sandbox")
    if link.kind != "bridge":
        raise CniError(f"Interface {bridge.name} does not have link type of bridge")
    _check_mac(reported, link, f"Mac doesn't match: {reported.mac}", "Bridge interface")
    promiscuous = bool(link.flags & IFF_PROMISC)
    if promiscuous != bridge.promiscuous:
        wanted, current = str(bridge.promiscuous).lower(), str(promiscuous).lower()
        raise CniError(
            f"Bridge interface {bridge.name} configured Promisc Mode {wanted} doesn't match current state: {current} "
        )
    return link


def _check_mac(reported: Interface, link: Link, text: str, what: str = "Interface") -> None:
    if reported.mac and reported.mac != format_mac(link.mac):
        raise CniError(f"{what} {link.name} {text}")


def _check_port_flags(context: Context, bridge: Bridge, port: Link) -> None:
    """Unlike the reference, which does not look at them."""
    if not (bridge.hairpin or bridge.isolated):
        return
    from pycni.kernel.port_flags import port_flags

    hairpin, isolated = port_flags(context.host.namespace, port.index)
    if bridge.hairpin and not hairpin:
        raise CniError(f"bridge port {port.name} is not in hairpin mode as configured")
    if bridge.isolated and not isolated:
        raise CniError(f"bridge port {port.name} is not isolated as configured")


def _check_vlans(context: Context, bridge: Bridge, port: Link) -> None:
    """Unlike the reference, which looks at no VLAN."""
    wanted = port_vlans(bridge)
    if not wanted:
        return
    from pycni.plan.vlans import missing

    for each in missing(context.host.namespace, port, wanted):
        raise CniError(f"bridge port {port.name} is not in VLAN {each.vid} as configured")


def _check_port(context: Context, previous: Result, bridge: Link, inside: Link) -> Link:
    """The host's end."""
    for reported in previous.interfaces:
        if reported.sandbox or reported.name == bridge.name:
            continue
        link = context.host.namespace.link(reported.name)
        if link is None or link.kind != "veth" or link.link != inside.index or inside.link != link.index:
            continue
        if link.master != bridge.index:
            continue
        _check_mac(reported, link, f"Mac doesn't match: {reported.mac} not found")
        return link
    raise CniError(f"CNI veth created for bridge {bridge.name} was not found")
