"""Routes of the in-memory kernel: what it accepts, what goes with addresses and devices, and which one it takes."""

from __future__ import annotations

from errno import EEXIST, EHOSTUNREACH, EINVAL, ENETDOWN, ENETUNREACH, ENODEV

from pycni.kernel.model import TABLE_MAIN, Route
from pycni.kernel.rules import Rule, new_rule
from pycni.spec.address import Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycni.kernel.memory_device import Device
    from pycni.kernel.model import InterfaceAddress
    from pycni.spec.address import Address

_PROTOCOL_KERNEL = 2
_SCOPE_LINK = 253
_METRIC_PREFIX6 = 256
_METRIC_DEFAULT6 = 1024
_TABLE_DEFAULT = 253
_RULES = ((255, 0), (TABLE_MAIN, 32766), (_TABLE_DEFAULT, 32767))
"""The table and priority of the rules that a namespace is born with; IPv6 has none for the last table."""


class RoutingTables:
    """All unicast routes of one namespace."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self.rules = [
            new_rule(Rule(family, None, table, priority))[2]
            for family in (4, 6)
            for table, priority in _RULES
            if family == 4 or table != _TABLE_DEFAULT
        ]
        """As messages, first the one that is asked first; both families in one list."""

    def add(self, route: Route, devices: Mapping[int, Device]) -> int:
        """Adds a route; 0, or the errno of the kernel's refusal."""
        device = devices.get(route.device)
        if device is None:
            return ENODEV
        family = route.destination.family
        if route.gateway is None and not device.is_up:
            return ENETDOWN
        if route.gateway is not None:
            if family == 6 and any(route.gateway == each.prefix.address for each in device.addresses):
                return EINVAL
            if not self._on_link(route.gateway, route.device):
                return ENETUNREACH if family == 4 else EHOSTUNREACH
        route = route.replace(
            destination=route.destination.network,
            table=route.table or TABLE_MAIN,
            scope=route.scope or 0,
            priority=route.priority or (_METRIC_DEFAULT6 if family == 6 else 0),
        )
        if any(_hop(each) == _hop(route) for each in self._routes):
            return EEXIST
        self._routes.append(route)
        return 0

    def remove(self, route: Route) -> bool:
        """Whether there was exactly this route, whoever made it; without a priority, one of any."""
        wanted = _hop(route)
        fitting = (each if route.priority else each.replace(priority=0) for each in self._routes)
        found = next((self._routes[number] for number, each in enumerate(fitting) if _hop(each) == wanted), None)
        if found is not None:
            self._routes.remove(found)
        return found is not None

    def displace(self, route: Route) -> None:
        """Makes room for a route that comes in the place of another one for the same packets."""
        packets = _hop(route.replace(gateway=None, device=0, scope=0))
        for each in self._routes:
            if _hop(each.replace(gateway=None, device=0, scope=0)) == packets:
                self._routes.remove(each)
                return

    def add_connected(self, index: int, address: InterfaceAddress, table: int = TABLE_MAIN) -> None:
        """The route to an address' own subnet, which the kernel adds on a device that is up."""
        prefix = address.prefix
        if prefix.family == 6:
            route = Route(prefix.network, None, _METRIC_PREFIX6, table, 0, device=index, protocol=_PROTOCOL_KERNEL)
        elif prefix.length == prefix.address.bits:
            return
        else:
            route = Route(
                prefix.network,
                None,
                0,
                table,
                _SCOPE_LINK,
                source=prefix.address,
                device=index,
                protocol=_PROTOCOL_KERNEL,
            )
        if route not in self._routes:
            self._routes.append(route)

    def drop_address(self, index: int, prefix: Prefix) -> None:
        """Removes what depends on an address: its subnet's route, routes that prefer it as their source, and routes
        whose gateway nothing reaches any more."""
        self._routes = [
            each
            for each in self._routes
            if not (
                each.source == prefix.address
                or (
                    prefix.family == 6
                    and each.protocol == _PROTOCOL_KERNEL
                    and each.device == index
                    and each.destination == prefix.network
                )
            )
        ]

    def drop_device(self, index: int) -> None:
        self._routes = [each for each in self._routes if each.device != index]

    def list(self, family: int, table: int | None) -> list[Route]:
        found = [each for each in self._routes if each.destination.family == family and table in (None, each.table)]
        return sorted(found, key=lambda each: (each.destination.address, each.destination.length, each.priority))

    def lookup(self, address: Address, devices: Mapping[int, Device]) -> Route | None:
        """The way to an address as the kernel answers it: own addresses first, then the main table's longest prefix."""
        target = Prefix.host(address)
        for device in devices.values():
            if device.is_up and any(each.prefix.address == address for each in device.addresses):
                return Route(target, None, 0, TABLE_MAIN, 0, source=address, device=1, protocol=0)
        fitting = [each for each in self.list(address.family, TABLE_MAIN) if each.destination.contains(address)]
        if not fitting:
            return None
        best = min(fitting, key=lambda each: (-each.destination.length, each.priority))
        source = best.source or _source(devices[best.device], best.gateway or address)
        return best.replace(destination=target, priority=0, scope=0, source=source, protocol=0)

    def _on_link(self, gateway: Address, index: int) -> bool:
        if gateway.family == 6 and gateway.is_link_local:
            return True
        return any(
            each.device == index and each.gateway is None and each.destination.contains(gateway)
            for each in self._routes
        )


def _hop(route: Route) -> tuple[object, ...]:
    """What makes two routes exact duplicates."""
    return (
        route.destination,
        route.table,
        route.priority,
        route.scope if route.destination.family == 4 else 0,
        route.gateway,
        route.device,
    )


def _source(device: Device, towards: Address) -> Address | None:
    own = [each.prefix for each in device.addresses if each.prefix.family == towards.family]
    near = [prefix for prefix in own if prefix.contains(towards)]
    return next((prefix.address for prefix in (*near, *own)), None)
