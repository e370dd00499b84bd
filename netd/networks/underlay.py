"""Networks without a bridge of their own: on the wire of one of the host's devices (macvlan, ipvlan, vlan), or a routed
link for each container (ptp).  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netd.networks.conflist import CNI_VERSION, Network, Subnet, backend, own_part, range_of
from netd.networks.drivers import DHCP, IPVLAN, MACVLAN, ON_A_DEVICE, PTP, VLAN
from netd.networks.errors import InvalidRequest
from netd.networks.facts import HostFacts
from netd.networks.names import bridge_name
from netd.networks.request import Request, range_ends, usable
from netd.networks.subnets import Occupied
from pycni.record import Record
from pycni.spec.address import Address, Prefix

PASSTHRU = "passthru"
_USUAL_MODE = {MACVLAN: "bridge", IPVLAN: "l2"}


class Access(Record):
    """How the host reaches the containers: its device, the addresses that has, and what is behind it."""

    device: str
    addresses: tuple[Prefix, ...]
    routes: tuple[Prefix, ...]


def parent_of(request: Request, host: HostFacts) -> str:
    """The device the containers are to be on; "" for a driver that needs none.  InvalidRequest names what is wrong."""
    if request.driver not in ON_A_DEVICE:
        return ""
    parent = request.parent or next((device for device, _gateway in host.defaults), "")
    if not parent:
        raise InvalidRequest("option parent: this host has no default route to follow; name a device, -o parent=DEVICE")
    if parent not in dict(host.links):
        raise InvalidRequest(f"option parent: {parent!r}: there is no such device on this host")
    if parent == "lo":
        raise InvalidRequest("option parent: 'lo': leads nowhere")
    most = dict(host.mtus).get(parent, request.mtu)
    if request.driver in (MACVLAN, VLAN) and request.mtu > most:
        raise InvalidRequest(f"--mtu {request.mtu}: {parent!r}, which the containers are to be on, has {most}")
    return parent


def is_beside(item: Occupied, parent: str, host: HostFacts) -> bool:
    """Whether it is a machine that the host reaches through the parent without a router."""
    return any(device == parent and _holds(each.network, item.prefix.address) for device, each in host.addresses)


def refuse_company(request: Request, networks: Sequence[Network], parent: str) -> None:
    """What the kernel would refuse at the second network's first container, or change under the first one's: a device
    carries macvlan or ipvlan devices, these all of one mode, and one in mode passthru alone.  InvalidRequest names the
    other network."""
    for other in networks:
        if not parent or other.parent != parent or VLAN in (request.driver, other.driver):
            continue
        modes = {each.mode or _USUAL_MODE[each.driver] for each in (request, other) if each.driver in _USUAL_MODE}
        what = f"{other.driver} network {other.name} ({other.file})"
        if other.driver in _USUAL_MODE and other.driver != request.driver:
            raise InvalidRequest(
                f"option parent: {parent!r} carries {what}: a device carries macvlan or ipvlan, not both"
            )
        if other.driver == MACVLAN and PASSTHRU in modes:
            raise InvalidRequest(f"option mode: {what} is on {parent!r} too: in mode passthru a network has it alone")
        if other.driver == IPVLAN and len(modes) > 1:
            raise InvalidRequest(
                f"option mode: {what} is on {parent!r} too: all ipvlan devices on one have the same mode"
            )


def is_neighbour(request: Request, other: Network, parent: str) -> bool:
    """Whether the other network is of the same wire, and gives out none of the addresses that this one will."""
    if (other.driver, other.parent, other.vlan) != (request.driver, parent, request.vlan):
        return False
    return not any(
        _overlap(_given_out(each), _given_out(Subnet(wanted.prefix, ip_range=wanted.ip_range)))
        for each in other.subnets
        for wanted in request.subnets
    )


def apart(request: Request, neighbour: Network) -> Network:
    """The neighbour without the subnets that the request asks for as well."""
    wanted = [each.prefix for each in request.subnets]
    kept = (each for each in neighbour.subnets if not any(each.prefix.overlaps(prefix) for prefix in wanted))
    return neighbour.replace(subnets=tuple(kept))


def _given_out(subnet: Subnet) -> tuple[Address, Address]:
    first, last = range_ends(subnet.prefix, subnet.ip_range) if subnet.ip_range else usable(subnet.prefix)
    return (first, last) if subnet.ip_range else (subnet.start or first, subnet.end or last)


def _overlap(one: tuple[Address, Address], other: tuple[Address, Address]) -> bool:
    same = one[0].family == other[0].family
    return same and one[0].number <= other[1].number and other[0].number <= one[1].number


def on_wire(subnet: Subnet, parent: str, host: HostFacts) -> Subnet:
    """The subnet with its router for gateway, where the host knows it and the user did not say."""
    routers = [gateway for device, gateway in host.defaults if device == parent and _holds(subnet.prefix, gateway)]
    return subnet if subnet.gateway is not None or not routers else subnet.replace(gateway=routers[0])


def access(request: Request, subnets: Sequence[Subnet], parent: str, host: HostFacts, taken: set[str]) -> Access | None:
    """The last address that containers could have had is the host's.  A host with an address in the subnet reaches
    the rest of it through the parent, so only a range can be behind the device; InvalidRequest where there is none."""
    if not request.host_access:
        return None
    routes = []
    for subnet in subnets:
        own = [each for device, each in host.addresses if device == parent and _holds(subnet.prefix, each.address)]
        if own and subnet.ip_range is None:
            what = f"{own[0].address} on {parent} is in {subnet.prefix}"
            raise InvalidRequest(f"--host-access: needs an --ip-range that is the containers' alone, since {what}")
        routes.append(subnet.ip_range or subnet.prefix)
    addresses = tuple(Prefix.host(_last(subnet)) for subnet in subnets)
    return Access(bridge_name(request.name, taken), addresses, tuple(routes))


def build(
    request: Request,
    subnets: Sequence[Subnet],
    parent: str,
    shim: Access | None,
    host: HostFacts,
    *,
    created: str,
    data_dir: str = "",
) -> dict[str, Any]:
    """The list."""
    ipam: dict[str, Any] = {"type": request.ipam}
    if request.ipam != DHCP:
        own = [each.address for device, each in host.addresses if device == parent]
        own += [each.prefix.address for each in host.occupied if not each.device and is_beside(each, parent, host)]
        reserved = [*own, *(each.address for each in (shim.addresses if shim else ()))]
        ipam["ranges"] = [_ranges(subnet, reserved) for subnet in subnets]
        families = sorted({subnet.prefix.family for subnet in subnets})
        ipam["routes"] = [{"dst": "0.0.0.0/0" if family == 4 else "::/0"} for family in families]
        if data_dir:
            ipam["dataDir"] = data_dir
    first = {**_device(request, parent), "ipam": ipam, "capabilities": {"ips": True}}
    if shim is not None:
        addresses, routes = ([str(each) for each in some] for some in (shim.addresses, shim.routes))
        first["hostAccess"] = {"device": shim.device, "addresses": addresses, "routes": routes}
    plugins = [first]
    if request.driver == PTP:
        plugins.append({"type": "portmap", **backend("backend", request), "capabilities": {"portMappings": True}})
        plugins.append({"type": "firewall", **backend("backend", request)})
    plugins.append({"type": "tuning"})
    if request.dns:
        plugins.append({"type": "dnsname", "capabilities": {"aliases": True}})
    result: dict[str, Any] = {"cniVersion": CNI_VERSION, "name": request.name}
    return {**result, **own_part(request, created, keeps_bridge=False), "plugins": plugins}


def _device(request: Request, parent: str) -> dict[str, Any]:
    plugin: dict[str, Any] = {"type": request.driver}
    if request.driver == PTP:
        if request.masquerade:
            plugin.update(ipMasq=True, **backend("ipMasqBackend", request))
    else:
        plugin["master"] = parent
    if request.driver == VLAN:
        plugin["vlanId"] = request.vlan
    if request.driver == MACVLAN or request.mode:
        plugin["mode"] = request.mode or "bridge"
    if request.mtu:
        plugin["mtu"] = request.mtu
    return plugin


def _ranges(subnet: Subnet, reserved: Sequence[Address]) -> list[dict[str, str]]:
    """host-local's ranges, around the addresses that are somebody's already."""
    first, last = range_ends(subnet.prefix, subnet.ip_range) if subnet.ip_range else usable(subnet.prefix)
    inside = {each.number for each in reserved if each != subnet.gateway and _holds(subnet.prefix, each)}
    taken = sorted(number for number in inside if first.number <= number <= last.number)
    if not taken:
        return [range_of(subnet)]
    entry = range_of(subnet)
    pieces, start = [], first.number
    for number in [*taken, last.number + 1]:
        if start < number:
            low, high = (str(Address.from_number(each, subnet.prefix.family)) for each in (start, number - 1))
            pieces.append({**entry, "rangeStart": low, "rangeEnd": high})
        start = number + 1
    return pieces


def _last(subnet: Subnet) -> Address:
    first, last = range_ends(subnet.prefix, subnet.ip_range) if subnet.ip_range else usable(subnet.prefix)
    last = last if last != subnet.gateway else last + -1
    if last.number <= first.number:
        raise InvalidRequest(f"--host-access: {subnet.ip_range or subnet.prefix} has no address left for a container")
    return last


def _holds(prefix: Prefix, address: Address) -> bool:
    return prefix.family == address.family and prefix.overlaps(Prefix.host(address))
