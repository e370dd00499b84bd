"""What a user asks of a new network, parsed and checked as far as that is possible without knowing the host.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from netd.networks.drivers import (
    BRIDGE,
    DHCP,
    HOST_LOCAL,
    IPAM_DRIVERS,
    ON_A_DEVICE,
    PTP,
    VLAN,
    check_driver,
    check_mode,
    refuse_flags,
    refuse_with_dhcp,
)
from netd.networks.errors import InvalidRequest
from netd.networks.names import check_device, check_name
from netd.networks.options import MTU_RANGE, Options, parse_options
from netd.networks.subnets import check_subnet
from pycni.firewall.facts import ISOLATED, SAME_BRIDGE
from pycni.record import Record
from pycni.spec.address import Address, Prefix

T = TypeVar("T")

OPEN = "open"
ISOLATIONS = (SAME_BRIDGE, ISOLATED, OPEN)
FIREWALLS = ("auto", "iptables", "nftables")


class WantedSubnet(Record):
    """One --subnet with the --gateway and --ip-range that fall into it.  A `prefix` at the zero address means "any
    of that size", as in docker."""

    prefix: Prefix
    gateway: Address | None = None
    ip_range: Prefix | None = None

    @property
    def is_any(self) -> bool:
        return self.prefix.address.is_unspecified


class Request(Record):
    """A checked request.  `bridge` empty: derived from the name.  `automatic` lists the families (4, 6) whose
    subnet is chosen for the user.  `parent` empty: the device of the host's default route; `mode` empty: the
    driver's usual one; `vlan` is the VLAN of a bridge's ports (0: none), or a VLAN network's own."""

    name: str
    subnets: tuple[WantedSubnet, ...] = ()
    automatic: tuple[int, ...] = (4,)
    mtu: int = 0
    internal: bool = False
    isolation: str = SAME_BRIDGE
    masquerade: bool = True
    vlan: int = 0
    bridge: str = ""
    firewall: str = "auto"
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    dns: bool = False
    driver: str = BRIDGE
    parent: str = ""
    mode: str = ""
    ipam: str = HOST_LOCAL
    host_access: bool = False


def parse_request(
    name: str,
    *,
    subnets: Sequence[str] = (),
    gateways: Sequence[str] = (),
    ip_ranges: Sequence[str] = (),
    ipv6: bool = False,
    mtu: int | None = None,
    internal: bool = False,
    isolation: str | None = None,
    bridge: str | None = None,
    labels: Sequence[str] = (),
    firewall: str = "auto",
    options: Sequence[str] = (),
    driver: str = BRIDGE,
    dns: bool = False,
    ipam: str = HOST_LOCAL,
    host_access: bool = False,
) -> Request:
    """Arguments are the flags' texts.  Raises InvalidRequest naming the flag, or Reserved."""
    check_name(name)
    check_driver(driver)
    given = {"--bridge": bridge is not None, "--internal": internal, "--isolation": isolation is not None}
    given |= {"--firewall": firewall != "auto", "--host-access": host_access, "--ipam-driver dhcp": ipam == DHCP}
    refuse_flags(driver, given)
    _one_of("--ipam-driver", ipam, IPAM_DRIVERS)
    _one_of("--isolation", isolation, ISOLATIONS)
    _one_of("--firewall", firewall, FIREWALLS)
    pairs = key_values("--opt", options)
    parsed = parse_options(pairs, driver)
    check_mode(driver, parsed.mode or "", host_access)
    if driver == VLAN and parsed.vlan is None:
        raise InvalidRequest("option vlan: a vlan network needs its number, -o vlan=N")
    wanted = _wanted_subnets(subnets, gateways, ip_ranges)
    present = {item.prefix.family for item in wanted}
    automatic = () if wanted and not ipv6 else tuple(f for f in (4, 6) if f not in present and (f == 4 or ipv6))
    if ipam == DHCP:
        refuse_with_dhcp({"--subnet": bool(wanted), "--ipv6": ipv6, "--host-access": host_access})
        automatic = ()
    size = _merged("--mtu", mtu, "option mtu", parsed.mtu) or 0
    _check_mtu(size, present | set(automatic))
    device = _merged("--bridge", bridge, "option com.docker.network.bridge.name", parsed.bridge)
    return Request(
        name=name,
        subnets=wanted,
        automatic=automatic,
        mtu=size,
        internal=internal,
        isolation=OPEN if driver == PTP or driver in ON_A_DEVICE else _isolation(isolation, parsed),
        masquerade=parsed.masquerade is not False,
        vlan=parsed.vlan or 0,
        bridge="" if device is None else check_device(device),
        firewall=firewall,
        labels=tuple(key_values("--label", labels, bare_keys=True).items()),
        options=tuple(pairs.items()),
        dns=dns,
        driver=driver,
        parent="" if parsed.parent is None else check_device(parsed.parent, "option parent"),
        mode=parsed.mode or "",
        ipam=ipam,
        host_access=host_access,
    )


def key_values(flag: str, texts: Sequence[str], bare_keys: bool = False) -> dict[str, str]:
    """`K=V` texts as a dict; a bare `K` means an empty value where allowed (docker's labels), else InvalidRequest."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not (equals or bare_keys):
            raise InvalidRequest(f"{flag} {text!r}: must be KEY=VALUE")
        if key in pairs:
            raise InvalidRequest(f"{flag} {key}: given twice")
        pairs[key] = value
    return pairs


def _one_of(flag: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise InvalidRequest(f"{flag} {value!r}: must be one of {', '.join(allowed)}")


def _merged(flag: str, value: T | None, option: str, other: T | None) -> T | None:
    if value is not None and other is not None and value != other:
        raise InvalidRequest(f"{flag} {value} contradicts {option} {other}")
    return other if value is None else value


def _isolation(given: str | None, options: Options) -> str:
    """`icc=false` is docker's word for isolated; `icc=true` leaves the choice between the other two."""
    if options.icc is None:
        return given or SAME_BRIDGE
    implied = given or SAME_BRIDGE if options.icc else ISOLATED
    if given is not None and (given == ISOLATED) == options.icc:
        raise InvalidRequest(f"--isolation {given} contradicts option icc {str(options.icc).lower()}")
    return implied


def _check_mtu(mtu: int, families: set[int]) -> None:
    if mtu == 0:
        return
    low, high = MTU_RANGE[6 if 6 in families else 4]
    if not low <= mtu <= high:
        raise InvalidRequest(f"--mtu {mtu}: must be from {low} to {high}{' for IPv6' if low == 1280 else ''}")


def _wanted_subnets(
    subnets: Sequence[str], gateways: Sequence[str], ip_ranges: Sequence[str]
) -> tuple[WantedSubnet, ...]:
    prefixes = tuple(_subnet(text) for text in subnets)
    for family in (4, 6):
        same = [prefix for prefix in prefixes if prefix.family == family]
        if len(same) > 1:
            # the bridge carries one gateway a family: the plugin refuses a second address (contract 2.1)
            raise InvalidRequest(f"--subnet {same[1]}: there is {same[0]} already, a bridge has one IPv{family} subnet")
    gateway_of: dict[Prefix, Address] = {}
    for text in gateways:
        gateway = _parsed("--gateway", text, Address.parse)
        home = _home("--gateway", text, Prefix.host(gateway), prefixes)
        if gateway_of.setdefault(home, gateway) != gateway:
            raise InvalidRequest(f"--gateway {text}: {home} has gateway {gateway_of[home]} already")
    range_of: dict[Prefix, Prefix] = {}
    for text in ip_ranges:
        ip_range = _parsed("--ip-range", text, Prefix.parse).network
        home = _home("--ip-range", text, ip_range, prefixes)
        if range_of.setdefault(home, ip_range) != ip_range:
            raise InvalidRequest(f"--ip-range {text}: {home} has range {range_of[home]} already")
    wanted = tuple(WantedSubnet(prefix, gateway_of.get(prefix), range_of.get(prefix)) for prefix in prefixes)
    for item in wanted:
        _check_members(item)
    return wanted


def _subnet(text: str) -> Prefix:
    prefix = _parsed("--subnet", text, Prefix.parse)
    is_any = prefix.address.is_unspecified and prefix.length > 0
    return prefix if is_any else check_subnet(prefix)


def _home(flag: str, text: str, inner: Prefix, prefixes: Sequence[Prefix]) -> Prefix:
    """The subnet that holds all of `inner`."""
    if not prefixes:
        raise InvalidRequest(f"{flag} {text}: needs a --subnet that contains it")
    for prefix in prefixes:
        if not prefix.address.is_unspecified and inner.length >= prefix.length and prefix.overlaps(inner):
            return prefix
    raise InvalidRequest(f"{flag} {text}: not inside {' or '.join(str(prefix) for prefix in prefixes)}")


def _check_members(item: WantedSubnet) -> None:
    if item.is_any:
        return
    first, last = usable(item.prefix)
    gateway = item.gateway or first
    if not first.number <= gateway.number <= last.number:
        raise InvalidRequest(f"--gateway {gateway}: is the network or broadcast address of {item.prefix}")
    if item.ip_range is not None:
        low, high = range_ends(item.prefix, item.ip_range)
        if low.number > high.number or (low == high == gateway):
            raise InvalidRequest(f"--ip-range {item.ip_range}: holds no address for a container")


def usable(prefix: Prefix) -> tuple[Address, Address]:
    """First and last address of a subnet that a host may have: not the network address (IPv6: the subnet-router
    anycast), and for IPv4 not the broadcast address."""
    return prefix.network.address + 1, prefix.last + (-1 if prefix.family == 4 else 0)


def range_ends(subnet: Prefix, ip_range: Prefix) -> tuple[Address, Address]:
    """First and last address to give out from a range.  The range's own first address counts, as in docker."""
    first, last = usable(subnet)
    return max(first, ip_range.network.address, key=_number), min(last, ip_range.last, key=_number)


def _number(address: Address) -> int:
    return address.number


def _parsed(flag: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidRequest(f"{flag} {text!r}: {error}") from None
