"""Which network is a container's default gateway (contract docker 1.6).  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pycni.kernel.model import Route
from pycni.record import Record
from pycni.spec.address import Address, Prefix

EVERYTHING = {4: Prefix.parse("0.0.0.0/0"), 6: Prefix.parse("::/0")}


_HALVES = {4: ("0.0.0.0/1", "128.0.0.0/1"), 6: ("::/1", "8000::/1")}
_HOLDING = 0x70
"""The protocol number that marks the routes of `holding`; nobody has registered it."""
_LAST = 0xFFFFFFFE
"""A metric with which they never come before a container's own routes to the same halves."""


class Candidate(Record):
    """A network as the order sees it.  `families` are those (4, 6) it has, or would have, a gateway in; none for an
    internal one."""

    network: str
    priority: int = 0
    internal: bool = False
    families: tuple[int, ...] = ()


def rank(candidate: Candidate) -> tuple[int, bool, int, bytes]:
    """The smallest is first: priority, a way out, both families before one before none, the name's bytes."""
    return (
        -candidate.priority,
        candidate.internal,
        -len(set(candidate.families)),
        candidate.network.encode("utf-8", "surrogateescape"),
    )


def order(candidates: Iterable[Candidate]) -> list[str]:
    """The networks' names, the default gateway's first."""
    return [candidate.network for candidate in sorted(candidates, key=rank)]


class Attached(Record):
    """An interface of a container, as its plugins reported it.  `network` is the name users know, `cni` the list's
    own; `gateways` only those a default route may lead to."""

    network: str
    cni: str
    ifname: str
    mac: str = ""
    addresses: tuple[Prefix, ...] = ()
    gateways: tuple[Address, ...] = ()
    priority: int = 0
    internal: bool = False
    backend: str = ""

    @property
    def candidate(self) -> Candidate:
        families = tuple(sorted({gateway.family for gateway in self.gateways}))
        return Candidate(self.network, self.priority, self.internal, families)

    def address(self, family: int) -> Prefix | None:
        """The first address of a family."""
        return next((each for each in self.addresses if each.family == family), None)

    def gateway(self, family: int) -> Address | None:
        return next((each for each in self.gateways if each.family == family), None)


def ordered(endpoints: Iterable[Attached]) -> list[Attached]:
    """In the order of default gateways."""
    return sorted(endpoints, key=lambda endpoint: rank(endpoint.candidate))


def chosen(endpoints: Iterable[Attached]) -> dict[int, Attached]:
    """Per family the first endpoint in order that has a gateway of it."""
    found: dict[int, Attached] = {}
    for endpoint in ordered(endpoints):
        for gateway in endpoint.gateways:
            found.setdefault(gateway.family, endpoint)
    return found


class Change(Record):
    """What turns the default routes of one family into the wanted one."""

    remove: tuple[Route, ...] = ()
    add: Route | None = None


def change(
    present: Sequence[Route], gateway: Address | None, device: int, own_devices: Iterable[int], family: int
) -> Change:
    """`present` are the routes of the family's main table; only default routes through `own_devices` are ours to
    remove.  `gateway` None: no default route is wanted."""
    ours = set(own_devices)
    defaults = [
        route
        for route in present
        if route.destination.length == 0 and route.destination.family == family and route.device in ours
    ]
    kept = [route for route in defaults if gateway is not None and (route.gateway, route.device) == (gateway, device)]
    remove = tuple(route for route in defaults if route not in kept[:1])
    add = None if gateway is None or kept else Route(EVERYTHING[family], gateway, device=device)
    return Change(remove, add)


def holding(present: Sequence[Route], family: int) -> tuple[Route, ...]:
    """Routes by which all packets go on taking the default route of now, whichever others are added; none where there
    is none.  They are more specific than any default route."""
    defaults = [route for route in present if route.destination == EVERYTHING[family] and route.gateway is not None]
    if not defaults:
        return ()
    best = min(defaults, key=lambda route: route.priority)
    return tuple(
        Route(Prefix.parse(half), best.gateway, _LAST, source=best.source, device=best.device, protocol=_HOLDING)
        for half in _HALVES[family]
    )


def held(present: Iterable[Route]) -> list[Route]:
    """Those of the routes that `holding` made."""
    return [route for route in present if route.protocol == _HOLDING and route.priority == _LAST]
