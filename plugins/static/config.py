"""static's configuration (contract 2.3): pure."""

from __future__ import annotations

from pycni.kernel.model import Route
from pycni.record import Record
from pycni.spec import arguments, result
from pycni.spec import version as spec_version
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.request import Config
from pycni.spec.result import Dns, IpConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Static(Record):
    """What ADD reports: `ips` in order, without an interface."""

    ips: tuple[IpConfig, ...]
    routes: tuple[Route, ...]
    dns: Dns


def parse(config: Config, cni_args: str) -> Static:
    """The whole configuration; CniError with the reference's text for what it refuses.

    `runtimeConfig.ips` replaces `args.cni.ips`, and these replace what `addresses` and CNI_ARGS name; what they replace
    has to be of the right type all the same, no more.  A gateway of CNI_ARGS is that of every address whose subnet it
    is in, unlike the reference's, where it is only that of addresses from CNI_ARGS (appendix A.18)."""
    ipam = config.ipam
    if ipam is None:
        raise ConfigError("IPAM config missing 'ipam' key")
    given = arguments.parse(cni_args, ("IP", "GATEWAY"))
    added = [_ip(text, "the 'ip' field is expected to be in CIDR notation") for text in _listed(given, "IP")]
    gateways = [_gateway(text) for text in _listed(given, "GATEWAY")]
    ips: list[IpConfig] = []
    for section in (config.args, config.runtime):
        texts = section.strings("ips")
        if texts:
            ips = [_ip(text, "an entry in the 'ips' field is NOT in CIDR notation") for text in texts]
    configured = [(each.string("address"), each.address("gateway")) for each in ipam.sections("addresses")]
    if not ips:
        ips = [_reached(each, gateways) for each in [*_configured(configured), *added]]
    _check_families(ips, config.version)
    routes = tuple(result.parse_route(each) for each in ipam.sections("routes"))
    return Static(tuple(ips), routes, result.parse_dns(ipam.section("dns")))


def _configured(pairs: Iterable[tuple[str, Address | None]]) -> list[IpConfig]:
    expectation = "the 'address' field is expected to be in CIDR notation"
    return [_ip(text, expectation).replace(gateway=gateway) for text, gateway in pairs]


def _listed(given: dict[str, str], key: str) -> list[str]:
    return [each.strip() for each in given[key].split(",")] if given.get(key) else []


def _gateway(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError:
        raise CniError(f"invalid gateway address: {text}") from None


def _reached(ip: IpConfig, gateways: Iterable[Address]) -> IpConfig:
    for gateway in gateways:
        if ip.address.contains(gateway):
            ip = ip.replace(gateway=gateway)
    return ip


def _ip(text: str, expectation: str) -> IpConfig:
    try:
        return IpConfig(Prefix.parse(text))
    except ValueError:
        raise CniError(f"{expectation}, got: '{text}'") from None


def _check_families(ips: Iterable[IpConfig], version: str) -> None:
    families = [each.address.family for each in ips]
    if max(families.count(4), families.count(6)) > 1 and spec_version.parse(version) < (0, 3, 0):
        raise CniError(f"CNI version {version} does not support more than 1 address per family")
