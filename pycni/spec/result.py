"""Results: one model (1.1.0's), parsed from and printed as every spec version (contract 1.10)."""

from __future__ import annotations

from pycni.kernel.model import Route
from pycni.record import Record
from pycni.spec import jsontext
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, DecodingFailure
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEGACY = ("0.1.0", "0.2.0")
MIDDLE = ("0.3.0", "0.3.1", "0.4.0")
RECENT = ("1.0.0", "1.1.0")


class Interface(Record):
    """`sandbox` is the namespace's path, "" for a device of the host; `mac` is text, verbatim."""

    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int = 0
    socket_path: str = ""
    pci_id: str = ""


class IpConfig(Record):
    """An address with its subnet's prefix length; `interface` is an index into the result's interfaces, or None."""

    address: Prefix
    gateway: Address | None = None
    interface: int | None = None


class Dns(Record):
    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.nameservers or self.domain or self.search or self.options)


_NO_DNS = Dns()


class Result(Record):
    """What ADD reports; immutable, so a chained plugin changes it with `replace`."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IpConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Dns = _NO_DNS


def family_of(version: str) -> tuple[str, ...]:
    """The versions that share a layout with this one; DecodingFailure for an unknown version."""
    for family in (LEGACY, MIDDLE, RECENT):
        if version in family:
            return family
    raise DecodingFailure(f'unsupported CNI result version "{version}"')


def parse_dns(section: Section | None) -> Dns:
    """The `dns` object of a configuration or result; None gives an empty one."""
    if section is None or not section.raw:
        return _NO_DNS
    return Dns(
        tuple(section.strings("nameservers")),
        section.string("domain"),
        tuple(section.strings("search")),
        tuple(section.strings("options")),
    )


def parse_route(section: Section) -> Route:
    """One route of a result or an IPAM configuration; ConfigError names the key at fault."""
    destination = section.prefix("dst")
    if destination is None:
        raise section.wrong("dst", "a route needs a destination")
    return Route(
        destination,
        section.address("gw"),
        section.integer("priority", unsigned=True),
        section.optional_integer("table", unsigned=True),
        section.optional_integer("scope", unsigned=True, bits=8),
        section.integer("mtu", unsigned=True),
        section.integer("advmss", unsigned=True),
    )


def parse(section: Section, config_version: str, named: bool = False) -> Result:
    """A result object, laid out as its own `cniVersion` says; without one or, unless that counts as `named`, with an
    empty one, as `config_version`.

    DecodingFailure when the two belong to different layouts (contract 1.11); ConfigError for a bad key."""
    family = family_of(config_version or "0.1.0")
    version = section.string("cniVersion")
    if not version and not (named and family is not LEGACY):
        version = config_version or "0.1.0"
    if version not in family:
        # the reference's list of the oldest layout begins with the empty version
        supports = " ".join(("", *family) if family is LEGACY else family)
        raise DecodingFailure(f'result type supports [{supports}] but unmarshalled CNIVersion is "{version}"')
    return _parse_legacy(section) if family is LEGACY else _parse_recent(section, family is MIDDLE)


def _parse_interface(section: Section, middle: bool) -> Interface:
    known = section.string("name"), section.string("mac"), section.string("sandbox")
    if middle:
        return Interface(*known)
    return Interface(*known, section.integer("mtu"), section.string("socketPath"), section.string("pciID"))


def _parse_recent(section: Section, middle: bool) -> Result:
    interfaces = tuple(_parse_interface(each, middle) for each in section.sections("interfaces"))
    ips = []
    for each in section.sections("ips"):
        address = each.prefix("address")
        if address is None:
            raise each.wrong("address", "an ip needs an address")
        ips.append(IpConfig(address, each.address("gateway"), each.optional_integer("interface")))
    routes = tuple(parse_route(each) for each in section.sections("routes"))
    return Result(interfaces, tuple(ips), routes, parse_dns(section.section("dns")))


def _parse_legacy(section: Section) -> Result:
    ips: list[IpConfig] = []
    routes: list[Route] = []
    for key in ("ip4", "ip6"):
        block = section.section(key)
        if block is None:
            continue
        address = block.prefix("ip")
        if address is None:
            raise block.wrong("ip", "an ip needs an address")
        ips.append(IpConfig(address, block.address("gateway")))
        routes += [parse_route(each) for each in block.sections("routes")]
    return Result((), tuple(ips), tuple(routes), parse_dns(section.section("dns")))


def to_object(result: Result, version: str) -> dict[str, Any]:
    """The result as a JSON object of this spec version ("" is 0.1.0), keys in printing order.

    CniError `cannot convert: no valid IP addresses` when 0.1.0 or 0.2.0 cannot express it."""
    version = version or "0.1.0"
    family = family_of(version)
    if family is LEGACY:
        return _to_legacy(result, version)
    middle = family is MIDDLE
    body: dict[str, Any] = {"cniVersion": version}
    if result.interfaces:
        body["interfaces"] = [_interface_object(each, middle) for each in result.interfaces]
    if result.ips:
        body["ips"] = [_ip_object(each, middle) for each in result.ips]
    if result.routes:
        body["routes"] = [_route_object(each) for each in result.routes]
    if middle or not result.dns.is_empty:
        body["dns"] = _dns_object(result.dns)
    return body


def render(result: Result, version: str) -> str:
    """The text a plugin prints: 4-space indent, no final newline; see `to_object`."""
    return jsontext.dumps(to_object(result, version), indent=4, sort_keys=(version or "0.1.0") in RECENT)


def _interface_object(interface: Interface, middle: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"name": interface.name}
    if interface.mac:
        body["mac"] = interface.mac
    if not middle and interface.mtu:
        body["mtu"] = interface.mtu
    if interface.sandbox:
        body["sandbox"] = interface.sandbox
    if not middle and interface.socket_path:
        body["socketPath"] = interface.socket_path
    if not middle and interface.pci_id:
        body["pciID"] = interface.pci_id
    return body


def _ip_object(ip: IpConfig, middle: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"version": str(ip.address.family)} if middle else {}
    if ip.interface is not None:
        body["interface"] = ip.interface
    body["address"] = str(ip.address)
    if ip.gateway is not None:
        body["gateway"] = str(ip.gateway)
    return body


def _route_object(route: Route) -> dict[str, Any]:
    body: dict[str, Any] = {"dst": str(route.destination)}
    if route.gateway is not None:
        body["gw"] = str(route.gateway)
    for key, value in (("mtu", route.mtu), ("advmss", route.advmss), ("priority", route.priority)):
        if value:
            body[key] = value
    if route.table is not None:
        body["table"] = route.table
    if route.scope is not None:
        body["scope"] = route.scope
    return body


def _dns_object(dns: Dns) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if dns.nameservers:
        body["nameservers"] = list(dns.nameservers)
    if dns.domain:
        body["domain"] = dns.domain
    if dns.search:
        body["search"] = list(dns.search)
    if dns.options:
        body["options"] = list(dns.options)
    return body


def _to_legacy(result: Result, version: str) -> dict[str, Any]:
    body: dict[str, Any] = {"cniVersion": version}
    for family, key in ((4, "ip4"), (6, "ip6")):
        ip = next((each for each in result.ips if each.address.family == family), None)
        if ip is None:
            continue
        block: dict[str, Any] = {"ip": str(ip.address)}
        if ip.gateway is not None:
            block["gateway"] = str(ip.gateway)
        routes = [each for each in result.routes if each.destination.family == family]
        if routes:
            block["routes"] = [_route_object(Route(each.destination, each.gateway)) for each in routes]
        body[key] = block
    if len(body) == 1:
        raise CniError("cannot convert: no valid IP addresses")
    body["dns"] = _dns_object(result.dns)
    return body
