"""What a bridge attachment consists of, as plans: pure decisions from the keys and the IPAM result (contract 2.1)."""

from __future__ import annotations

from pycni.firewall.facts import BRIDGE_NAT, Masquerade, Owner, SpoofCheck
from pycni.firewall.naming import MASQUERADE, SPOOFCHECK, host_end, owner_comment
from pycni.kernel.model import PortVlan, Route
from pycni.plan import ops
from pycni.spec.address import Address, Prefix
from pycni.spec.result import IpConfig, Result
from pycni_plugins.bridge.config import Bridge
from pycni_plugins.bridge.steps import Announce

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycni.kernel.model import Link

_NATIVE_VLAN = 1
"""What frames without a tag belong to on a trunk that is given no `vlan`."""

CONTAINER_INTERFACE = 2
"""Index of the container's interface in the result: bridge, host end, container end."""


def links(bridge: Bridge, owner: Owner) -> list[ops.Operation]:
    """The bridge, the pair that connects the container to it, and the VLANs it is in."""
    plan: list[ops.Operation] = [
        ops.EnsureBridge(bridge.name, bridge.mtu, bridge.filtering, bridge.promiscuous),
        ops.CreateVeth(
            owner.ifname,
            host_end(owner),
            alias=owner_comment(owner),
            bridge=bridge.name,
            mtu=bridge.mtu,
            mac=bridge.mac,
            hairpin=bridge.hairpin,
            isolated=bridge.isolated,
        ),
    ]
    vlans = port_vlans(bridge)
    if vlans:
        plan.append(ops.JoinVlans(vlans, bridge.keep_default_vlan))
    return plan


def port_vlans(bridge: Bridge) -> tuple[PortVlan, ...]:
    """The VLANs that the port joins, in the reference's order, on which depends what a VLAN is that is named twice
    (contract 2.1 step 4)."""
    tagged = tuple([PortVlan(vid) for vid in bridge.trunk])
    if bridge.vlan:
        return PortVlan(bridge.vlan, pvid=True, untagged=True), *tagged
    return (*tagged, PortVlan(_NATIVE_VLAN, pvid=True, untagged=True)) if tagged else ()


def spoof_check(owner: Owner, port: Link, inside: Link) -> ops.Operation:
    """Nothing but frames from the container's own address passes its port."""
    return ops.InstallRules(owner, SPOOFCHECK, BRIDGE_NAT, (SpoofCheck(port.name, inside.mac),))


def address(bridge: Bridge, allocated: Result) -> Result:
    """The IPAM result as bridge reports it: gateways filled in, default routes added."""
    ips = tuple(
        each.replace(
            interface=CONTAINER_INTERFACE,
            gateway=each.address.network.address + 1 if each.gateway is None and bridge.gateway else each.gateway,
        )
        for each in allocated.ips
    )
    routes = allocated.routes + (_default_routes(ips, allocated.routes) if bridge.default_gateway else ())
    return allocated.replace(ips=ips, routes=routes)


def _default_routes(ips: Sequence[IpConfig], routes: Sequence[Route]) -> tuple[Route, ...]:
    """One default route a family, unless IPAM has given one.  A given one without `gw` resolves to the same next hop,
    so adding ours, as the reference does, could only fail with "file exists"."""
    added: dict[int, Route] = {}
    for ip in ips:
        family = ip.address.family
        default = Prefix(Address(bytes(4 if family == 4 else 16)), 0)
        if family not in added and not any(each.destination.network == default for each in routes):
            added[family] = Route(default, ip.gateway)
    return tuple(added.values())


def container(bridge: Bridge, ifname: str, result: Result) -> list[ops.Operation]:
    """Addresses, routes and sysctls of the container's interface."""
    plan: list[ops.Operation] = [ops.Sysctl(ops.CONTAINER, f"net/ipv4/conf/{ifname}/arp_notify", "1")]
    if bridge.enable_dad:
        plan.append(ops.Sysctl(ops.CONTAINER, f"net/ipv6/conf/{ifname}/enhanced_dad", "1"))
    dad = "1" if bridge.enable_dad else "0"
    plan.append(ops.Sysctl(ops.CONTAINER, f"net/ipv6/conf/{ifname}/accept_dad", dad))
    plan.append(ops.configure_interface(ifname, result))
    return plan


def announcement(ifname: str, result: Result) -> list[ops.Operation]:
    """Last of all, as what answers it must not be lost either."""
    return [Announce(ifname, any(ip.address.family == 6 for ip in result.ips))] if result.ips else []


def gateways(bridge: Bridge, result: Result) -> list[ops.Operation]:
    """The gateway addresses on the bridge or its VLAN's gateway device, IPv4 first, and forwarding for each family in
    use."""
    plan: list[ops.Operation] = []
    device = bridge.name
    if bridge.vlan and any(ip.gateway is not None for ip in result.ips):
        device = f"{bridge.name}.{bridge.vlan}"
        plan.append(ops.EnsureVlanGateway(device, bridge.name, bridge.vlan, bridge.keep_default_vlan))
    for family in (4, 6):
        found = [ip for ip in result.ips if ip.gateway is not None and ip.gateway.family == family]
        for ip in found:
            assert ip.gateway is not None
            plan.append(ops.EnsureAddress(device, Prefix(ip.gateway, ip.address.length), bridge.force_address))
        if found:
            plan.append(ops.EnableForwarding(family))
    return plan


def masquerade(owner: Owner, backend: str, result: Result) -> list[ops.Operation]:
    fact = Masquerade(tuple(ip.address for ip in result.ips))
    return [ops.InstallRules(owner, MASQUERADE, backend, (fact,))]
