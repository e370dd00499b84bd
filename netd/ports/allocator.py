"""Which host port a binding gets.  Pure: what is taken is kept here, and binding is the caller's.

Taken is counted per protocol, family and port by address; the address of every interface (0.0.0.0, ::) is in the way
of each single one and each single one in its way.  The families do not meet: IPv6 sockets take IPv6 only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from errno import EADDRINUSE
from threading import RLock

from netd.ports.errors import NoPortLeft, PortAllocated, PortInUse
from pycni.record import Record
from pycni.spec.address import Address

ATTEMPTS = 10
"""How many ports a random choice tries to bind before it gives up (contract docker 1.9)."""

FALLBACK = range(49153, 65536)
"""Random ports where the kernel does not tell its own range."""


class Claim(Record):
    """A host port on one address."""

    protocol: str
    address: Address
    port: int

    def __str__(self) -> str:
        return f"{host(self.address)}:{self.port}/{self.protocol}"


class Ephemeral(Record):
    """Where random ports come from: the kernel's own range without what is reserved in it."""

    ports: range = FALLBACK
    reserved: frozenset[int] = frozenset()


def host(address: Address) -> str:
    """As it stands before a colon."""
    return str(address) if address.family == 4 else f"[{address}]"


def parse_ephemeral(port_range: str, reserved: str) -> Ephemeral:
    """From `net/ipv4/ip_local_port_range` ("32768\\t60999") and `ip_local_reserved_ports` ("8080,9000-9002")."""
    low, high = map(int, port_range.split())
    kept: set[int] = set()
    for part in reserved.replace("\n", "").split(","):
        first, dash, last = part.partition("-")
        if first:
            kept.update(range(int(first), int(last if dash else first) + 1))
    return Ephemeral(range(low, high + 1), frozenset(kept))


class Allocator:
    """`bind` of the methods makes the claims true on the host, or raises PortInUse and leaves nothing.  Thread-safe:
    two threads never try the same port at once."""

    def __init__(self, foreign: Callable[[Claim], str] = lambda _claim: "", spoken: Callable[[str], str] = str) -> None:
        """`foreign` names who else, whom nobody claimed for here, has a host port; "" for nobody.  `spoken` is what
        messages call a holder."""
        self._foreign = foreign
        self._spoken = spoken
        self._taken: dict[tuple[str, int, int], dict[Address, str]] = {}
        self._last: dict[str, int] = {}
        self._lock = RLock()

    def in_the_way(self, claim: Claim) -> str:
        """Who has a claim that this one cannot be beside, as messages call them; "" for nobody."""
        with self._lock:
            for address, holder in self._taken.get(_key(claim), {}).items():
                if address == claim.address or address.is_unspecified or claim.address.is_unspecified:
                    return self._spoken(holder)
            return self._foreign(claim)

    def fixed(
        self, holder: str, protocol: str, addresses: Sequence[Address], port: int, bind: Callable[[int], None]
    ) -> None:
        """This port on all of the addresses.  PortAllocated, PortInUse."""
        with self._lock:
            for address in addresses:
                other = self.in_the_way(Claim(protocol, address, port))
                if other:
                    raise PortAllocated(f"{_failed(address, str(port))}: port is already allocated by {other}")
            bind(port)
            self._take(holder, protocol, addresses, port)

    def first_of(
        self, holder: str, protocol: str, addresses: Sequence[Address], ports: range, bind: Callable[[int], None]
    ) -> int:
        """The first port of the range that is free on all addresses.  NoPortLeft; PortInUse when that is not what
        every other port was refused for."""
        with self._lock:
            for port in ports:
                if self._try(holder, protocol, addresses, port, bind) is None:
                    return port
        raise NoPortLeft(f"{_failed(addresses[0], f'{ports[0]}-{ports[-1]}')}: all ports are allocated")

    def any(
        self,
        holder: str,
        protocol: str,
        addresses: Sequence[Address],
        ephemeral: Ephemeral,
        bind: Callable[[int], None],
    ) -> int:
        """A port of the ephemeral range, the next after the last one given.  NoPortLeft; PortInUse after ATTEMPTS."""
        with self._lock:
            attempts = 0
            for port in _after(self._last.get(protocol, 0), ephemeral.ports):
                if port in ephemeral.reserved:
                    continue
                problem = self._try(holder, protocol, addresses, port, bind)
                if isinstance(problem, PortAllocated):
                    continue
                self._last[protocol] = port
                if problem is None:
                    return port
                attempts += 1
                if attempts == ATTEMPTS:
                    raise problem
        raise NoPortLeft(f"{_failed(addresses[0], '0')}: all ports are allocated")

    def take(self, holder: str, claim: Claim) -> None:
        """Counts a claim that is true already."""
        with self._lock:
            self._take(holder, claim.protocol, (claim.address,), claim.port)

    def release(self, claims: Iterable[Claim]) -> None:
        """They may be given again; unknown ones are passed over."""
        with self._lock:
            for claim in claims:
                there = self._taken.get(_key(claim), {})
                there.pop(claim.address, None)
                if not there:
                    self._taken.pop(_key(claim), None)

    def _try(
        self, holder: str, protocol: str, addresses: Sequence[Address], port: int, bind: Callable[[int], None]
    ) -> PortAllocated | PortInUse | None:
        """Why the port cannot be had, None when it is.  PortInUse when no other port would be better."""
        try:
            self.fixed(holder, protocol, addresses, port, bind)
        except PortAllocated as problem:
            return problem
        except PortInUse as problem:
            if problem.errno != EADDRINUSE:
                raise
            return problem
        return None

    def _take(self, holder: str, protocol: str, addresses: Sequence[Address], port: int) -> None:
        for address in addresses:
            self._taken.setdefault((protocol, address.family, port), {})[address] = holder


def _key(claim: Claim) -> tuple[str, int, int]:
    return claim.protocol, claim.address.family, claim.port


def _failed(address: Address, ports: str) -> str:
    return f"Bind for {host(address)}:{ports} failed"


def _after(last: int, ports: range) -> Iterable[int]:
    start = last + 1 - ports.start if last in ports else 0
    yield from ports[start:]
    yield from ports[:start]
