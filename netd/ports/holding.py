"""Host ports chosen and held for requests, and given back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from threading import Lock

from netd.ports import hold
from netd.ports.allocator import Allocator, Claim, Ephemeral, parse_ephemeral
from netd.ports.hold import Held
from netd.ports.nat import Nat
from netd.ports.state import Port
from netd.ports.strangers import Strangers
from netd.ports.undo import Undo
from netd.ports.wanted import Request
from pycni.kernel.netns import Inside
from pycni.spec.address import Address

EVERY_4 = Address.parse("0.0.0.0")
EVERY_6 = Address.parse("::")


class Holding:
    """Sockets are opened in the namespace `netns`, a descriptor.  Thread-safe.  `spoken` is what messages call the
    container with an id, `known` the ids of the containers that have published here."""

    def __init__(self, netns: int, nat: Nat, spoken: Callable[[str], str], known: Callable[[], Iterable[str]]) -> None:
        self._netns = netns
        self._nat = nat
        self._known = known
        self._strangers = Strangers()
        self._allocator = Allocator(self._strangers.holder, spoken)
        self._lock = Lock()

    def hold(self, container_id: str, requests: Iterable[Request], default: Address | None, undo: Undo) -> list[Port]:
        """A port for each address of each request, in the order asked for.  PublishFailed; `undo` gives them back."""
        requests = tuple(requests)
        if not requests:
            return []
        found: list[tuple[int, Port]] = []
        with self._lock, Inside(self._netns):
            self._strangers.refresh(self._nat.strangers({container_id, *self._known()}))
            addresses = self._default(default) if any(each.host_address is None for each in requests) else ()
            random = Ephemeral() if all(each.host_ports for each in requests) else self._ephemeral()
            for request in requests:
                there = addresses if request.host_address is None else (request.host_address,)
                held = self._hold(container_id, request, there, random)
                undo.push("held ports", partial(self.release, held))
                found += [(request.position, Port(request.port, request.number, each)) for each in held]
        return [port for _, port in sorted(found, key=lambda each: each[0])]

    def _hold(self, container_id: str, request: Request, addresses: Sequence[Address], random: Ephemeral) -> list[Held]:
        held: list[Held] = []

        def bind(port: int) -> None:
            held[:] = hold.hold_all(Claim(request.protocol, address, port) for address in addresses)

        ports = request.host_ports
        if not ports:
            self._allocator.any(container_id, request.protocol, addresses, random, bind)
        elif len(ports) == 1:
            self._allocator.fixed(container_id, request.protocol, addresses, ports[0], bind)
        else:
            self._allocator.first_of(container_id, request.protocol, addresses, ports, bind)
        return held

    @staticmethod
    def _default(default: Address | None) -> tuple[Address, ...]:
        """Where a binding goes that names no address."""
        if default is not None and not (default.family == 4 and default.is_unspecified):
            return (default,)
        return (EVERY_4, EVERY_6) if hold.listens_on_ipv6() else (EVERY_4,)

    def _ephemeral(self) -> Ephemeral:
        try:
            return parse_ephemeral(
                self._nat.sysctl("net/ipv4/ip_local_port_range"), self._nat.sysctl("net/ipv4/ip_local_reserved_ports")
            )
        except (OSError, ValueError):
            return Ephemeral()

    def again(self, container_id: str, claim: Claim) -> Held:
        """A port that this container had and should still have.  PortInUse when another program was quicker: the
        container's all the same, because the firewall leads it on."""
        with self._lock, Inside(self._netns):
            self._allocator.take(container_id, claim)
            return hold.hold(claim)

    def release(self, held: Iterable[Held]) -> None:
        """Nobody holds them any more."""
        held = tuple(held)
        for each in held:
            each.close()
        self._allocator.release(each.claim for each in held)
