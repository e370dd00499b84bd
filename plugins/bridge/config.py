"""bridge's keys (contract 2.1, "Config"): pure."""

from __future__ import annotations

from pycni.kernel.model import parse_mac
from pycni.record import Record
from pycni.spec import arguments
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.section import Section, first_given

_MAX_VLAN = 4094
_MASQUERADE_BACKENDS = ("iptables", "nftables")


class Bridge(Record):
    """The keys after their rules; `mac` is 6 bytes or None, `masquerade_backend` "" lets the host decide, `vlan` 0 is
    none, `trunk` is sorted, and `filtering` says whether a new bridge filters VLANs."""

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
    vlan: int = 0
    trunk: tuple[int, ...] = ()
    filtering: bool = False
    keep_default_vlan: bool = False
    spoofcheck: bool = False


def parse(config: Config, cni_args: str) -> Bridge:
    """All keys with their rules; CniError names the key at fault."""
    bridge = parse_for_removal(config, cni_args)
    section = config.section
    if not bridge.container_up and bridge.has_ipam:
        raise CniError("cannot use IPAM when DisableContainerInterface flag is set")
    if bridge.hairpin and bridge.promiscuous:
        raise CniError("cannot set hairpin mode and promiscuous mode at the same time")
    if bridge.masquerade and bridge.masquerade_backend and bridge.masquerade_backend not in _MASQUERADE_BACKENDS:
        raise CniError(f'unknown ipmasq backend "{bridge.masquerade_backend}"')
    section.integer("mtu", unsigned=True)
    _check_device(section, bridge.name)
    config.dns_override()  # for what it refuses
    return bridge.replace(mac=_mac(config, cni_args))


def parse_for_removal(config: Config, cni_args: str) -> Bridge:
    """The keys with only those rules that the reference has on DEL too.  What an ADD was refused for must not keep
    the DEL that follows it from succeeding, or the runtime could never forget the container.  `mac` is None."""
    section = config.section
    vlan = section.integer("vlan", bits=64)  # the reference's int, so that its words are the range's
    if not 0 <= vlan <= _MAX_VLAN:
        raise CniError(f"invalid VLAN ID {vlan} (must be between 0 and 4094)")
    trunk = {vid for each in section.sections("vlanTrunk") for vid in _trunk(each)}
    arguments.parse(cni_args, ("MAC",))
    default_gateway = section.boolean("isDefaultGateway")
    return Bridge(
        name=section.string("bridge") or "cni0",
        gateway=section.boolean("isGateway") or default_gateway,
        default_gateway=default_gateway,
        force_address=section.boolean("forceAddress"),
        masquerade=section.boolean("ipMasq"),
        masquerade_backend=section.string("ipMasqBackend"),
        mtu=section.integer("mtu"),
        hairpin=section.boolean("hairpinMode"),
        promiscuous=section.boolean("promiscMode"),
        enable_dad=section.boolean("enabledad"),
        container_up=not section.boolean("disableContainerInterface"),
        isolated=section.boolean("portIsolation"),
        mac=None,
        has_ipam=bool(config.ipam_type),
        vlan=vlan,
        trunk=tuple(sorted(trunk)),
        filtering=vlan != 0 or section.has("vlanTrunk"),
        keep_default_vlan=section.boolean("preserveDefaultVlan"),
        spoofcheck=section.boolean("macspoofchk"),
    )


def _check_device(section: Section, name: str) -> None:
    if len(name.encode()) > 15 or name in (".", "..") or any(char in "/:" or char.isspace() for char in name):
        raise section.wrong("bridge", f"{name!r} is not an interface name")


def _mac(config: Config, cni_args: str) -> bytes | None:
    given = arguments.parse(cni_args, ("MAC",)).get("MAC", "")
    text = first_given(config.runtime.string("mac"), config.args.string("mac"), given)
    if not text:
        return None
    try:
        return parse_mac(text)
    except ValueError as error:
        raise CniError(f"failed to make veth pair: {error}") from None


def _trunk(trunk: Section) -> list[int]:
    """The VLANs of one item of vlanTrunk: a range, a single one, both or none."""
    low, high, single = (trunk.optional_integer(key, bits=64) for key in ("minID", "maxID", "id"))
    found: list[int] = []
    if low is not None and high is not None:
        for name, value in (("minID", low), ("maxID", high)):
            _check_trunk(name, value)
        if low > high:
            raise CniError("minID is greater than maxID in trunk parameter")
        found += range(low, high + 1)
    elif low is not None or high is not None:
        missing = "minID" if low is None else "maxID"
        raise CniError(f"minID and maxID should be configured simultaneously, {missing} is missing")
    if single is not None:
        _check_trunk("id", single)
        found.append(single)
    return found


def _check_trunk(name: str, value: int) -> None:
    if not 1 <= value <= _MAX_VLAN:
        raise CniError(f"incorrect trunk {name} parameter")
