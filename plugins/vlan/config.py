"""vlan's keys (contract 2.13): pure."""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.errors import CniError
from pycni.spec.request import Config

_MAX_VLAN = 4094


class Keys(Record):
    """The keys with the types they must have; `master` is "" when absent."""

    master: str
    inside: bool
    vid: int
    mtu: int


def parse_for_removal(config: Config) -> Keys:
    """CniError names the key of a wrong type."""
    section = config.section
    return Keys(
        section.string("master"),
        section.boolean("linkInContainer"),
        section.integer("vlanId", bits=64),
        section.integer("mtu", bits=64),
    )


def parse(config: Config) -> Keys:
    """The keys with all rules that need no kernel."""
    keys = parse_for_removal(config)
    if not keys.master:
        raise CniError('"master" field is required. It specifies the host interface name to create the VLAN for')
    if not 0 <= keys.vid <= _MAX_VLAN:
        raise CniError(f"invalid VLAN ID {keys.vid} (must be between 0 and 4095 inclusive)")
    return keys
