"""Which subnet a network gets, and whether a given one may be used.  Pure: what is in use arrives as values.

Docker's pools are few and large (31 networks; "all predefined address pools have been fully subnetted" is among its
best known errors) and overlap home routers and VPNs.  Ours are /24s cut from ranges that no engine uses by default:
nerdctl takes 10.4.0.0/16, podman 10.88.0.0/15, docker 172.17.0.0/16 and up, Kubernetes 10.42/10.43/10.96/10.244,
OpenVPN 10.8.0.0/24.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netd.networks.errors import InvalidRequest, SubnetTaken
from pycni.record import Record
from pycni.spec.address import Address, Prefix


class Occupied(Record):
    """A range someone uses already.  `what` says who, for messages; `device` is the host device it sits on.  A `hole`
    is in nobody's use, but packets to it are dropped: it is in the way of a subnet that has all of it, not of one
    within it, whose own route is the more specific one."""

    prefix: Prefix
    what: str
    device: str = ""
    hole: bool = False


class Pool(Record):
    """A range cut into subnets of one length."""

    base: Prefix
    length: int


POOLS4 = (
    Pool(Prefix.parse("10.208.0.0/12"), 24),
    Pool(Prefix.parse("172.24.0.0/14"), 24),
    Pool(Prefix.parse("192.168.192.0/18"), 24),
)
"""4096, then 1024, then 64 networks; the later pools serve hosts where a VPN routes all of 10.0.0.0/8."""

DEFAULT_ROUTE_LENGTH = 1
"""Routes this short say "everything", not "these hosts": 0.0.0.0/0, and the pair 0.0.0.0/1 + 128.0.0.0/1 that VPNs
use to outrank it."""

LONGEST = {4: 30, 6: 126}
"""host-local refuses longer prefixes as too small to allocate from (contract 3.2)."""


def is_taken_by(subnet: Prefix, occupied: Occupied) -> bool:
    """Whether the two share an address; routes that mean "everything" take nothing, and holes nothing within them."""
    length = occupied.prefix.length
    if length <= DEFAULT_ROUTE_LENGTH or (occupied.hole and length < subnet.length):
        return False
    return subnet.overlaps(occupied.prefix)


def ula_pool(seed: bytes) -> Pool:
    """/64s of a unique local /48 (RFC 4193) that is always the same for the same seed, which must not be empty."""
    from hashlib import sha256

    packed = b"\xfd" + sha256(b"pynet ula\0" + seed).digest()[:5] + bytes(10)
    return Pool(Prefix(Address(packed), 48), 64)


def choose(pools: Sequence[Pool], occupied: Iterable[Occupied], length: int | None = None) -> Prefix:
    """The lowest free subnet of the first pool that has one, `length` bits instead of the pool's when given.
    Raises SubnetTaken when there is none; the message says what is in the way."""
    in_use = sorted(
        (item for item in occupied if item.prefix.length > DEFAULT_ROUTE_LENGTH),
        key=lambda item: item.prefix.network.address.number,
    )
    blocking: list[Occupied] = []
    for pool in pools:
        found = _first_free(pool.base, length or pool.length, in_use, blocking)
        if found is not None:
            return found
    ranges = ", ".join(str(pool.base) for pool in pools)
    widest = sorted({item.what: item.prefix.length for item in blocking}.items(), key=lambda pair: pair[1])
    causes = "; ".join(what for what, _length in widest[:3]) or "none is that large"
    size = length or pools[0].length
    raise SubnetTaken(f"no free /{size} in {ranges} ({causes}): name one with --subnet, or remove unused networks")


def _first_free(base: Prefix, length: int, in_use: Sequence[Occupied], blocking: list[Occupied]) -> Prefix | None:
    if length < base.length:
        return None
    step = 1 << (base.address.bits - length)
    number, end = base.network.address.number, base.last.number
    while number <= end:
        candidate = Prefix(Address.from_number(number, base.family), length)
        hits = [item for item in in_use if is_taken_by(candidate, item)]
        if not hits:
            return candidate
        blocking.extend(hits)
        past = max(item.prefix.last.number for item in hits) + 1
        number = -(-past // step) * step
    return None


def check_subnet(subnet: Prefix) -> Prefix:
    """The subnet itself when containers can be numbered from it; raises InvalidRequest."""
    if subnet != subnet.network:
        raise InvalidRequest(f"--subnet {subnet}: host bits are set, the network is {subnet.network}")
    longest = LONGEST[subnet.family]
    if subnet.length > longest:
        raise InvalidRequest(f"--subnet {subnet}: too small, /{longest} is the smallest that holds a container")
    for text, meaning in _UNUSABLE:
        bad = Prefix.parse(text)
        if subnet.family == bad.family and subnet.overlaps(bad):
            raise InvalidRequest(f"--subnet {subnet}: overlaps {text}, which is {meaning}")
    return subnet


_UNUSABLE = (
    ("0.0.0.0/8", "this network (RFC 6890)"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/127", "unspecified and loopback"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
)


def refuse_collision(subnet: Prefix, occupied: Iterable[Occupied], pools: Sequence[Pool]) -> None:
    """Raises SubnetTaken when the subnet overlaps something in use; the message names that and a free subnet."""
    everything = tuple(occupied)
    hits = [item for item in everything if is_taken_by(subnet, item)]
    if not hits:
        return
    first = max(hits, key=lambda item: item.prefix.length)
    try:
        hint = f"; {choose(pools, everything)} is free"
    except SubnetTaken:
        hint = ""
    raise SubnetTaken(f"--subnet {subnet} overlaps {first.what}{hint}")
