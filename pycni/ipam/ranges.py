"""Address ranges and sets of ranges: checking them and completing them with defaults (contract 3.1, 3.2).  No IO.

A configuration holds several sets; a container gets one address of each.  The ranges of a set are alternatives.
Ranges are kept as their ends and never enumerated: a /8 or a /64 costs as much as a /29.
"""

from __future__ import annotations

from pycni.record import Record
from pycni.spec import version as spec_version
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycni.spec.section import Section

_HOST_BITS_NEEDED = 2
"""The smallest subnet has four addresses: network, gateway, one container, broadcast."""


class RangeSpec(Record):
    """A range as it is written in a configuration; None where a key is absent."""

    subnet: Prefix | None
    start: Address | None = None
    end: Address | None = None
    gateway: Address | None = None
    mapped: bool = False
    """The subnet was written as an IPv4-mapped IPv6 one, which the reference refuses."""


class Range(Record):
    """A checked range: `start` and `end` are inside `subnet` and both usable.  The gateway may lie outside."""

    subnet: Prefix
    start: Address
    end: Address
    gateway: Address

    def contains(self, address: Address) -> bool:
        return address.family == self.subnet.family and self.start.packed <= address.packed <= self.end.packed

    def overlaps(self, other: Range) -> bool:
        return (
            self.contains(other.start)
            or self.contains(other.end)
            or other.contains(self.start)
            or other.contains(self.end)
        )

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


class RangeSet(Record):
    """Ranges of one family that do not overlap; never empty."""

    ranges: tuple[Range, ...]

    @property
    def family(self) -> int:
        return self.ranges[0].subnet.family

    def contains(self, address: Address) -> bool:
        return any(each.contains(address) for each in self.ranges)

    def overlaps(self, other: RangeSet) -> bool:
        return any(one.overlaps(two) for one in self.ranges for two in other.ranges)

    def __str__(self) -> str:
        return ",".join(str(each) for each in self.ranges)


def parse_spec(section: Section) -> RangeSpec:
    """The keys subnet, rangeStart, rangeEnd and gateway of one object; ConfigError for a malformed one."""
    subnet = section.prefix("subnet")
    mapped = subnet is not None and subnet.family == 4 and ":" in section.string("subnet")
    return RangeSpec(
        subnet, section.address("rangeStart"), section.address("rangeEnd"), section.address("gateway"), mapped
    )


def complete(spec: RangeSpec, removing: bool = False) -> Range:
    """The range with defaults filled in; ConfigError with the reference's text (contract 3.2).

    An IPv4 rangeStart at the broadcast address, without a rangeEnd, is refused: the reference accepts it and then walks
    out of the subnet.  `removing` passes over that, so that a DEL of what the reference added succeeds."""
    subnet = spec.subnet
    if subnet is None:
        raise ConfigError("IP <nil> not v4 nor v6")
    if subnet.length > subnet.address.bits - _HOST_BITS_NEEDED:
        raise ConfigError(f"Network {subnet} too small to allocate from")
    if spec.mapped:
        raise ConfigError("IPNet IP and Mask version mismatch")
    if subnet.network != subnet:
        raise ConfigError(
            f"Network has host bits set. For a subnet mask of length {subnet.length} "
            f"the network address is {subnet.network.address}"
        )
    first = subnet.address + 1
    gateway = spec.gateway if spec.gateway is not None else first
    default_end = subnet.last if subnet.family == 6 else subnet.last + -1
    start = first
    if spec.start is not None:
        start = spec.start
        limit = spec.end or (subnet.last if removing else default_end)
        if not subnet.contains(start) or _is_after(start, limit):
            raise ConfigError(f"RangeStart {start} not in network {subnet}")
    end = spec.end or default_end
    if not subnet.contains(end) or (spec.end is not None and _is_after(start, end)):
        raise ConfigError(f"RangeEnd {end} not in network {subnet}")
    return Range(subnet, start, end, gateway)


def _is_after(one: Address, two: Address) -> bool:
    return one.family == two.family and one.packed > two.packed


def complete_set(specs: Sequence[RangeSpec], removing: bool = False) -> RangeSet:
    """A whole set; ConfigError when it is empty, mixes families or overlaps itself."""
    if not specs:
        raise ConfigError("empty range set")
    ranges: list[Range] = []
    for spec in specs:
        each = complete(spec, removing)
        if ranges and each.subnet.family != ranges[0].subnet.family:
            raise ConfigError("mixed address families")
        ranges.append(each)
    for number, one in enumerate(ranges):
        for two in ranges[number + 1 :]:
            if one.overlaps(two):
                raise ConfigError(f"subnets {one} and {two} overlap")
    return RangeSet(tuple(ranges))


def build_range_sets(
    groups: Sequence[Sequence[RangeSpec]], version: str, removing: bool = False
) -> tuple[RangeSet, ...]:
    """Steps 3 to 6 of contract 3.1.  `version` is the configuration's cniVersion as written; `removing` as `complete`
    has it.

    ConfigError names the set at fault."""
    if not groups:
        raise ConfigError("no IP ranges specified")
    sets: list[RangeSet] = []
    for number, specs in enumerate(groups):
        try:
            sets.append(complete_set(specs, removing))
        except ConfigError as error:
            raise ConfigError(f"invalid range set {number}: {error.msg}") from None
    for family in (4, 6):
        if sum(each.family == family for each in sets) > 1 and spec_version.parse(version) < (0, 3, 0):
            raise ConfigError(f"CNI version {version} does not support more than 1 address per family")
    for number, one in enumerate(sets):
        for other in range(number + 1, len(sets)):
            if one.overlaps(sets[other]):
                raise ConfigError(f"range set {number} overlaps with {other}")
    return tuple(sets)
