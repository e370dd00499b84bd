"""Which address comes next (contract 3.3 to 3.5).  Pure: what is taken comes in, an address goes out.

The walk is lazy and looks at one candidate after the other, so that choosing costs as many steps as there are taken
addresses directly after the last one given, whatever the size of the range.
"""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import AllocationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from pycni.ipam.ranges import Range, RangeSet


class Assignment(Record):
    """An address with its subnet's prefix length, and the gateway of the range it came from."""

    address: Prefix
    gateway: Address


def assignment(address: Address, source: Range) -> Assignment:
    """What the owner is told about an address of this range."""
    return Assignment(Prefix(address, source.subnet.length), source.gateway)


def range_of(range_set: RangeSet, address: Address) -> Range:
    """The range that holds the address; AllocationError when none does."""
    for each in range_set.ranges:
        if each.contains(address):
            return each
    raise AllocationError(f"{address} not in range set {range_set}")


def next_free(range_set: RangeSet, taken: Container[int], last: Address | None) -> Assignment | None:
    """The first address after `last` that is neither taken nor its range's gateway; None when there is none.

    `taken` holds the numeric values of the set's family.  `last` is the address given most recently; when it is None
    or outside the set, the walk starts with the first address of the first range.  It wraps, so that `last` itself is
    looked at last: an address is not given again right after its release."""
    for first, final, source in _segments(range_set, last):
        gateway = source.gateway.number if source.gateway.family == range_set.family else -1
        number = first
        while number <= final:
            if number not in taken and number != gateway:
                return assignment(Address.from_number(number, range_set.family), source)
            number += 1
    return None


def _segments(range_set: RangeSet, last: Address | None) -> Iterator[tuple[int, int, Range]]:
    """The walk's order as runs of successive numbers, both ends included; together they cover the set once."""
    ranges = range_set.ranges
    begin = next((number for number, each in enumerate(ranges) if last is not None and each.contains(last)), None)
    if last is None or begin is None:
        for each in ranges:
            yield each.start.number, each.end.number, each
        return
    yield last.number + 1, ranges[begin].end.number, ranges[begin]
    for each in (*ranges[begin + 1 :], *ranges[:begin]):
        yield each.start.number, each.end.number, each
    yield ranges[begin].start.number, last.number, ranges[begin]


def match_requests(sets: Sequence[RangeSet], requested: Sequence[Address]) -> tuple[Address | None, ...]:
    """The requested address of each set, None where any address will do.

    AllocationError when a request fits no set, or its set already serves another request."""
    pending = list(dict.fromkeys(requested))
    chosen: list[Address | None] = []
    for each in sets:
        match = next((address for address in pending if each.contains(address)), None)
        if match is not None:
            pending.remove(match)
        chosen.append(match)
    if pending:
        raise AllocationError(f"failed to allocate all requested IPs: {' '.join(str(each) for each in pending)}")
    return tuple(chosen)


def check_request(range_set: RangeSet, address: Address) -> Assignment:
    """A specific address as an assignment; AllocationError when it is the gateway or outside the set."""
    source = range_of(range_set, address)
    if address == source.gateway:
        raise AllocationError(f"requested ip {address} is subnet's gateway")
    return assignment(address, source)
