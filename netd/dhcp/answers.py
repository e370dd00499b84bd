"""What leases mean for a container: its CNI result (contract 2.4)."""

from __future__ import annotations

from netd.dhcp import client4, client6, domains
from netd.dhcp import messages4 as m4
from netd.dhcp import messages6 as m6
from netd.dhcp.domains import Malformed
from pycni.kernel.model import Route
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError
from pycni.spec.result import Dns, IpConfig, Result
from pycni_plugins.dhcp.config import Keys

_SCOPE_LINK = 253
_EVERYWHERE = Prefix(Address(bytes(4)), 0)


def result(keys: Keys, four: client4.Lease | None, six: client6.Lease | None) -> Result:
    """CniError when the server left out what a container cannot do without."""
    ips: list[IpConfig] = []
    routes: tuple[Route, ...] = ()
    dns = Dns()
    if four is not None:
        ips.append(IpConfig(prefix4(four), gateway(four)))
        routes = routes4(four, keys.priority)
        dns = _dns4(four, keys.request)
    if six is not None:
        ips.append(IpConfig(prefix6(six)))
        dns = _with_dns6(dns, six)
    return Result(ips=tuple(ips), routes=routes, dns=dns)


def prefix4(lease: client4.Lease) -> Prefix:
    """CniError without a usable subnet mask."""
    mask = lease.options.get(m4.SUBNET_MASK, b"")
    number = int.from_bytes(mask, "big")
    length = number.bit_count()
    if len(mask) != 4 or number != (1 << 32) - (1 << 32 - length):
        raise CniError("DHCP option Subnet Mask not found in DHCPACK")
    return Prefix(Address(lease.address), length)


def prefix6(lease: client6.Lease) -> Prefix:
    """DHCPv6 says nothing of prefixes: what is on the link, and the way out, are for router advertisements to say."""
    return Prefix.host(Address(lease.address))


def gateway(lease: client4.Lease) -> Address | None:
    """The first router."""
    return next(iter(m4.addresses(lease.options.get(m4.ROUTERS, b""))), None)


def routes4(lease: client4.Lease, priority: int) -> tuple[Route, ...]:
    """Classless routes alone where there are some (RFC 3442), else classful ones and the default route."""
    found = _classless(lease.options.get(m4.CLASSLESS_ROUTES, b""))
    if not found:
        found = _classful(lease.options.get(m4.STATIC_ROUTES, b""))
        router = gateway(lease)
        if router is not None:
            found.append(Route(_EVERYWHERE, router))
    return tuple(each.replace(priority=priority) if priority else each for each in found)


def _classless(value: bytes) -> list[Route]:
    """None at all of an option that is broken."""
    found, at = [], 0
    while at < len(value):
        length = value[at]
        width = (length + 7) // 8
        end = at + 1 + width + 4
        if length > 32 or end > len(value):
            return []
        destination = Prefix(Address(value[at + 1 : at + 1 + width].ljust(4, b"\0")), length)
        router = Address(value[end - 4 : end])
        found.append(Route(destination, router, scope=_SCOPE_LINK if router.is_unspecified else None))
        at = end
    return found


def _classful(value: bytes) -> list[Route]:
    found = []
    for at in range(0, len(value) - 7, 8):
        first = value[at]
        if first < 224:
            length = 8 if first < 128 else 16 if first < 192 else 24
            found.append(Route(Prefix(Address(value[at : at + 4]), length), Address(value[at + 4 : at + 8])))
    return found


def _dns4(lease: client4.Lease, asked: tuple[int, ...]) -> Dns:
    """Of what was asked for: the reference never reports any, and some servers send it unasked."""
    options = {code: value for code, value in lease.options.items() if code in asked}
    servers = tuple(str(each) for each in m4.addresses(options.get(m4.NAME_SERVERS, b"")))
    return Dns(servers, _domain(options.get(m4.DOMAIN, b"")), _search(options.get(m4.SEARCH, b"")))


def _with_dns6(dns: Dns, lease: client6.Lease) -> Dns:
    servers = tuple(str(each) for each in m6.addresses(lease.options.get(m6.NAME_SERVERS, b"")))
    search = _search(lease.options.get(m6.SEARCH, b""))
    return dns.replace(nameservers=(*dns.nameservers, *servers), search=tuple(dict.fromkeys((*dns.search, *search))))


def _domain(value: bytes) -> str:
    try:
        return domains.text_of(value.rstrip(b"\0")) if value.rstrip(b"\0") else ""
    except Malformed:
        return ""


def _search(value: bytes) -> tuple[str, ...]:
    try:
        return domains.decode(value)
    except Malformed:
        return ()
