"""dhcp's configuration (contract 2.4), read by the plugin and, with what it means on the wire, by the daemon."""

from __future__ import annotations

from pycni.record import Record
from pycni.settings import Settings
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.spec.request import Config

_DEFAULT_SOCKET = "/run/cni/dhcp.sock"

IPV4, IPV6, DUAL = FAMILIES = "ipv4", "ipv6", "dual"

SUBNET_MASK, ROUTER = 1, 3
_DEFAULT_REQUEST = (ROUTER, SUBNET_MASK)
_CODES = {
    "dhcp-client-identifier": 61,
    "subnet-mask": SUBNET_MASK,
    "routers": ROUTER,
    "host-name": 12,
    "user-class": 77,
    "vendor-class-identifier": 60,
}
_MAX_VALUE = 255


class Keys(Record):
    """`provide` are pairs of option code and value, the last of a code wins; `request` option codes in order of wish.
    `priority` 0 leaves the routes' metric."""

    family: str
    provide: tuple[tuple[int, bytes], ...]
    request: tuple[int, ...]
    priority: int
    rapid_commit: bool


def parse(config: Config, cni_args: str) -> Keys:
    """The whole configuration; CniError names what is refused, the reference's words where it has some."""
    ipam = section_of(config)
    family = ipam.string("family") or IPV4
    if family not in FAMILIES:
        raise ipam.wrong("family", f"{family!r} is none of {', '.join(FAMILIES)}")
    return Keys(
        family,
        _provided(ipam, _arguments(cni_args)),
        _requested(ipam),
        ipam.integer("priority", unsigned=True),
        ipam.boolean("rapidCommit"),
    )


def section_of(config: Config) -> Section:
    """The `ipam` object; ConfigError without one."""
    if config.ipam is None:
        raise ConfigError("IPAM config missing 'ipam' key")
    return config.ipam


def socket_path(config: Config, run_dir: str) -> str:
    """Where the daemon is to be found."""
    return section_of(config).string("daemonSocketPath") or default_socket(run_dir)


def default_socket(run_dir: str) -> str:
    """Where plugin and daemon meet when nobody says otherwise: the reference's place, but for those who have a run
    directory of their own."""
    return _DEFAULT_SOCKET if run_dir == Settings().run_dir else f"{run_dir}/dhcp.sock"


def _arguments(text: str) -> dict[str, str]:
    """CNI_ARGS as the reference's daemon reads them: never an error."""
    return dict(pair.split("=", 1) for pair in text.split(";") if "=" in pair)


def _provided(ipam: Section, arguments: dict[str, str]) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    for each in ipam.sections("provide"):
        name = each.string("option")
        code = _code(name)
        value = each.string("value")
        if value:
            found.append((code, _value(name, value, "")))
        argument = each.string("fromArg")
        if argument in arguments:
            found.append((code, _value(name, arguments[argument], f' from CNI_ARGS "{argument}"')))
    return tuple(found)


def _value(name: str, text: str, source: str) -> bytes:
    value = text.encode("utf-8", "surrogateescape")
    if len(value) > _MAX_VALUE:
        raise CniError(f'value too long for option "{name}"{source}: "{text}"')
    return value


def _requested(ipam: Section) -> tuple[int, ...]:
    wanted: list[int] = []
    skip = False
    for each in ipam.sections("request"):
        skip = each.boolean("skipDefault") or skip
        if each.string("option"):
            wanted.append(_code(each.string("option")))
    if not skip:
        wanted += _DEFAULT_REQUEST
    return tuple(dict.fromkeys(wanted))


def _code(name: str) -> int:
    if name in _CODES:
        return _CODES[name]
    if not (name.isascii() and name.isdigit()):
        raise CniError(f'Can not parse option "{name}": neither a known name nor a number')
    if int(name) > 255:
        raise CniError(f'Can not parse option "{name}": larger than 255')
    return int(name)
