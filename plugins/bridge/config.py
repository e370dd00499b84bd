"""bridge's keys (contract 2.1, "Config"): pure."""

from __future__ import annotations

from pycni.kernel.model import parse_mac
from pycni.record import Record
from pycni.spec import arguments
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.section import Section

_MAX_VLAN = 4094
_MASQUERADE_BACKENDS = ("iptables", "nftables")


class Bridge(Record):
    """The keys after their rules; `mac` is 6 bytes or None, `masquerade_backend` "" lets the host decide."""

    name: str
    gateway: bool
    default_gateway: bool
    force_address: bool
    masquerade: bool
    masquerade_backend: str
    mtu: int
    hairpin: bool
    promiscuous: bool
    enable_dad: bool
    container_up: bool
    isolated: bool
    mac: bytes | None
    has_ipam: bool


def parse(config: Config, cni_args: str) -> Bridge:
    """The same checks for every command, as in the reference; CniError names the key at fault."""
    section = config.section
    hairpin, promiscuous = section.boolean("hairpinMode"), section.boolean("promiscMode")
    if hairpin and promiscuous:
        raise CniError("cannot set hairpin mode and promiscuous mode at the same time")
    _check_vlans(section)
    disabled = section.boolean("disableContainerInterface")
    has_ipam = bool(config.ipam_type)
    if disabled and has_ipam:
        raise CniError("cannot use IPAM when DisableContainerInterface flag is set")
    backend = section.string("ipMasqBackend")
    masquerade = section.boolean("ipMasq")
    if masquerade and backend and backend not in _MASQUERADE_BACKENDS:
        raise CniError(f'unknown ipmasq backend "{backend}"')
    default_gateway = section.boolean("isDefaultGateway")
    return Bridge(
        name=_device(section),
        gateway=section.boolean("isGateway") or default_gateway,
        default_gateway=default_gateway,
        force_address=section.boolean("forceAddress"),
        masquerade=masquerade,
        masquerade_backend=backend,
        mtu=section.integer("mtu", unsigned=True),
        hairpin=hairpin,
        promiscuous=promiscuous,
        enable_dad=section.boolean("enabledad"),
        container_up=not disabled,
        isolated=section.boolean("portIsolation"),
        mac=_mac(config, cni_args),
        has_ipam=has_ipam,
    )


def _device(section: Section) -> str:
    name = section.string("bridge") or "cni0"
    if len(name.encode()) > 15 or name in (".", "..") or any(char in "/:" or char.isspace() for char in name):
        raise section.wrong("bridge", f"{name!r} is not an interface name")
    return name


def _mac(config: Config, cni_args: str) -> bytes | None:
    given = arguments.parse(cni_args, ("MAC",)).get("MAC", "")
    text = config.runtime.string("mac") or config.args.string("mac") or given
    if not text:
        return None
    try:
        return parse_mac(text)
    except ValueError as error:
        raise CniError(f"failed to make veth pair: {error}") from None


def _check_vlans(section: Section) -> None:
    vlan = section.integer("vlan")
    if not 0 <= vlan <= _MAX_VLAN:
        raise CniError(f"invalid VLAN ID {vlan} (must be between 0 and 4094)")
    for each in section.sections("vlanTrunk"):
        _check_trunk(each)
    for key, used in (
        ("vlan", bool(vlan)),
        ("vlanTrunk", section.has("vlanTrunk")),
        ("macspoofchk", section.boolean("macspoofchk")),
    ):
        if used:
            raise section.wrong(key, "not supported by this version")


def _check_trunk(trunk: Section) -> None:
    low, high, single = (trunk.optional_integer(key) for key in ("minID", "maxID", "id"))
    if low is None and high is not None:
        raise CniError("minID and maxID should be configured simultaneously, minID is missing")
    if low is not None and high is None:
        raise CniError("minID and maxID should be configured simultaneously, maxID is missing")
    for name, value in (("minID", low), ("maxID", high), ("id", single)):
        if value is not None and not 1 <= value <= _MAX_VLAN:
            raise CniError(f"incorrect trunk {name} parameter")
    if low is not None and high is not None and low > high:
        raise CniError("minID is greater than maxID in trunk parameter")
