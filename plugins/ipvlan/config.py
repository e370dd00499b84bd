"""ipvlan's keys (contract 2.12): pure."""

from __future__ import annotations

from pycni.kernel.kinds import IPVLAN_MODES, Ipvlan
from pycni.record import Record
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.result import Result


class Keys(Record):
    """The keys with the types they must have; `master` and `mode` are verbatim, "" when absent."""

    master: str
    inside: bool
    mode: str
    mtu: int


def parse(config: Config) -> Keys:
    """CniError names the key of a wrong type; all that DEL looks at."""
    section = config.section
    return Keys(
        section.string("master"),
        section.boolean("linkInContainer"),
        section.string("mode"),
        section.integer("mtu"),
    )


def kind_of(keys: Keys) -> Ipvlan:
    mode = keys.mode or "l2"
    if mode not in IPVLAN_MODES:
        raise CniError(f'unknown ipvlan mode: "{mode}"')
    return Ipvlan(mode)


def chained_master(previous: Result) -> str:
    """The one interface that the plugin before made."""
    if len(previous.interfaces) != 1 or not previous.interfaces[0].name:
        raise CniError("chained master failure. PrevResult lacks a single named interface")
    return previous.interfaces[0].name
