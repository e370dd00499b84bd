"""host-local's configuration (contract 2.2, 3.1)."""

from __future__ import annotations

from pycni.ipam.ranges import RangeSet, RangeSpec, build_range_sets, parse_spec
from pycni.kernel.model import Route
from pycni.record import Record
from pycni.spec import arguments, result
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.request import Config
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_DATA_DIR = "/var/lib/cni/networks"
_EMPTY = "cannot understand ip: IP <nil> not v4 nor v6"


class HostLocal(Record):
    """`requested` are the addresses asked for by CNI_ARGS, `args.cni.ips` and `runtimeConfig.ips`, in this order."""

    data_dir: str
    sets: tuple[RangeSet, ...]
    requested: tuple[Address, ...]
    routes: tuple[Route, ...]
    resolv_conf: str


def parse(config: Config, cni_args: str, removing: bool = False) -> HostLocal:
    """The whole configuration; CniError with the reference's text for what it refuses.

    `removing` passes over what we refuse more of than the reference, in routes and ranges: what an ADD was refused for
    must not keep the DEL that follows it from succeeding."""
    # what cannot be decoded is told before what CNI_ARGS says
    texts = (*config.args.strings("ips"), *config.runtime.strings("ips"))
    configured = tuple(_address(text) for text in texts if text)
    ipam = ipam_section(config)
    routes = () if removing else tuple(result.parse_route(each) for each in ipam.sections("routes"))
    groups = _groups(config, ipam)
    requested = (*_argument_addresses(cni_args), *configured)
    if "" in texts:
        raise ConfigError(_EMPTY)
    sets = build_range_sets(groups, config.version, removing)
    return HostLocal(data_dir(config), sets, requested, routes, ipam.string("resolvConf"))


def ipam_section(config: Config) -> Section:
    """The `ipam` object; ConfigError without one."""
    if config.ipam is None:
        raise ConfigError("IPAM config missing 'ipam' key")
    return config.ipam


def data_dir(config: Config) -> str:
    """Where the leases of all networks of this configuration are."""
    return ipam_section(config).string("dataDir") or DEFAULT_DATA_DIR


def ranges_come_at_runtime(config: Config) -> bool:
    """Whether the configuration names no range, and leaves that to the `ipRanges` capability."""
    promised = config.section.section_or_empty("capabilities").boolean("ipRanges")
    return promised and not _groups(config, ipam_section(config))


def _groups(config: Config, ipam: Section) -> list[list[RangeSpec]]:
    groups = list(_range_lists(config.runtime, "ipRanges"))
    lone = parse_spec(ipam)
    if lone.subnet is not None:
        groups.append([lone])
    groups += _range_lists(ipam, "ranges")
    return groups


def _range_lists(section: Section, key: str) -> Iterator[list[RangeSpec]]:
    for number, group in enumerate(section.items(key) or []):
        # a list in a list: read each inner one as if it were a key of its own, so that errors name its place
        name = f"{key}[{number}]"
        inner = Section({name: group}, section.path)
        yield [parse_spec(each) for each in inner.sections(name)]


def _argument_addresses(cni_args: str) -> tuple[Address, ...]:
    text = arguments.parse(cni_args, ("IP",)).get("IP")
    if text is None:
        return ()
    try:
        return (_address(text),)
    except CniError as error:
        raise CniError(f'ARGS: error parsing value of pair "IP={text}": {error.msg}') from None


def _address(text: str) -> Address:
    """`10.1.2.3` or `10.1.2.3/24`; the prefix length says nothing here."""
    if not text:
        raise ConfigError(_EMPTY)
    try:
        return Prefix.parse(text).address if "/" in text else Address.parse(text)
    except ValueError:
        raise ConfigError(f"invalid IP address {text}") from None
