"""sbr's keys, and the tables it chooses (contract 2.16): pure."""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.address import Address
from pycni.spec.errors import CniError
from pycni.spec.request import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycni.spec.result import IpConfig, Result

_FIRST_TABLE = 100


class Sbr(Record):
    """`table` None: one is chosen for each address.  `gateways`: at most one of each family, for all its addresses."""

    table: int | None = None
    gateways: tuple[Address, ...] = ()
    source_hints: bool = False

    def gateway_of(self, ip: IpConfig) -> Address | None:
        own = (each for each in self.gateways if each.family == ip.address.family)
        return next(own, ip.gateway)


def parse(config: Config) -> Sbr:
    """CniError names what is wrong."""
    section = config.section
    table = section.optional_integer("table", unsigned=True)
    if table == 0:
        raise section.wrong("table", "0 is no table")
    return Sbr(table, _gateways(section.strings("gateways")), section.boolean("addSourceHints"))


def _gateways(texts: list[str]) -> tuple[Address, ...]:
    if len(texts) > 2:
        raise CniError("gateways list cannot contain more than 2 entries (one IPv4, one IPv6)")
    found: list[Address] = []
    for text in texts:
        try:
            address = Address.parse(text)
        except ValueError:
            raise CniError(f"invalid static gateway IP address: {text}") from None
        for other in found:
            if other.family == address.family:
                raise CniError(f"gateways list contains multiple IPv{address.family} addresses: {other} and {address}")
        found.append(address)
    return tuple(found)


def relevant(previous: Result, ifname: str) -> list[IpConfig]:
    """The addresses that are the interface's, or that nobody says whose they are; CniError when there are none at
    all."""
    if not previous.ips:
        raise CniError(f"No IP addresses supplied on interface: {ifname}")
    return [each for each in previous.ips if _is_of(previous, each.interface, ifname)]


def _is_of(previous: Result, index: int | None, ifname: str) -> bool:
    known = index is not None and 0 <= index < len(previous.interfaces)
    return not known or previous.interfaces[index or 0].name == ifname


def free_tables(count: int, used: Iterable[int]) -> list[int]:
    """So many tables from 100 on that nobody uses."""
    taken, table = frozenset(used), _FIRST_TABLE
    found: list[int] = []
    while len(found) < count:
        if table not in taken:
            found.append(table)
        table += 1
    return found
