"""What a ptp attachment consists of, as plans: pure decisions from the keys and the IPAM result (contract 2.10).

Both ends route every packet to each other, also those to the container's own subnet, so that containers of one subnet
reach each other through the host.
"""

from __future__ import annotations

from pycni.firewall.naming import host_end, newborn_group, owner_comment
from pycni.kernel.model import Route
from pycni.plan import ops
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError
from pycni_plugins.ptp.config import Ptp
from pycni_plugins.ptp.steps import AddressHostEnd, RouteThroughGateways

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    from pycni.firewall.facts import Owner
    from pycni.spec.result import IpConfig, Result

    T = TypeVar("T")

CONTAINER_INTERFACE = 1
"""Index of the container's interface in the result: host end, container end."""

_SCOPE_LINK = 253
_SCOPE_HOST = 254


def address(allocated: Result) -> Result:
    """The IPAM result as ptp reports it; CniError for an address without a gateway, which could not be reached."""
    for ip in allocated.ips:
        if ip.gateway is None or ip.gateway.family != ip.address.family:
            raise CniError(f"IPAM plugin returned no gateway for {ip.address}: ptp cannot do without")
    return allocated.replace(ips=tuple(ip.replace(interface=CONTAINER_INTERFACE) for ip in allocated.ips))


def attachment(ptp: Ptp, owner: Owner, result: Result) -> list[ops.Operation]:
    """Forwarding, the pair, and addresses and routes on both of its ends."""
    near, far = host_end(owner), owner.ifname
    families = sorted({ip.address.family for ip in result.ips})
    plan: list[ops.Operation] = [ops.EnableForwarding(family) for family in families]
    plan.append(
        ops.CreateVeth(far, near, owner_comment(owner), mtu=ptp.mtu, newborn_group=newborn_group(owner.network))
    )
    if 6 in families:
        # nobody else is on this link, whom duplicate detection could find in its second or two
        plan.append(ops.Sysctl(ops.CONTAINER, f"net/ipv6/conf/{far}/accept_dad", "0"))
    configured = ops.configure_interface(far, result)
    # before the IPAM plugin's routes, which lead through the gateway: an address that is its own subnet leads nowhere
    alone = _unique(_to_gateway(ip) for ip in result.ips if _is_alone(ip))
    plan.append(configured.replace(routes=alone + configured.routes))
    connected = _unique(_connected(ip) for ip in result.ips)
    through: dict[Route, Route] = {}
    for ip in result.ips:
        for route in _through_gateway(ip):
            through.setdefault(_way(route), route)
    plan.append(RouteThroughGateways(far, connected, tuple(through.values())))
    # last, so that what no interface of this MTU can have is told of the container's, as the reference does
    plan.append(AddressHostEnd(gateways(result.ips), to_container(result.ips)))
    return plan


def gateways(ips: Iterable[IpConfig]) -> tuple[Prefix, ...]:
    """The addresses of the host's end."""
    return _unique(Prefix.host(ip.gateway) for ip in ips if ip.gateway is not None)


def to_container(ips: Iterable[IpConfig]) -> tuple[Route, ...]:
    """The host's ways to the container."""
    return _unique(
        Route(Prefix.host(ip.address.address), scope=_SCOPE_HOST if ip.address.family == 4 else 0) for ip in ips
    )


def _connected(ip: IpConfig) -> Route:
    """What the kernel adds with the address."""
    return Route(ip.address.network, scope=_SCOPE_LINK if ip.address.family == 4 else 0)


def _is_alone(ip: IpConfig) -> bool:
    return ip.address.length == ip.address.address.bits


def _to_gateway(ip: IpConfig) -> Route:
    assert ip.gateway is not None
    return Route(Prefix.host(ip.gateway), scope=_SCOPE_LINK if ip.address.family == 4 else 0)


def _through_gateway(ip: IpConfig) -> list[Route]:
    if _is_alone(ip):
        return []
    source = ip.address.address
    return [_to_gateway(ip).replace(source=source), Route(ip.address.network, ip.gateway, source=source)]


def _way(route: Route) -> Route:
    """What makes it another route to the kernel: with IPv6 the source is no part of that."""
    return route if route.destination.family == 4 else route.replace(source=None)


def _unique(items: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(items))
