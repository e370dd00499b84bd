"""macvlan's keys (contract 2.11): pure."""

from __future__ import annotations

from pycni.kernel.kinds import MACVLAN_MODES, Macvlan
from pycni.kernel.model import parse_mac
from pycni.record import Record
from pycni.spec import arguments
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.section import first_given


class Keys(Record):
    """The keys with the types they must have, before the rules that need the kernel or come later in the reference's
    order.  `mode` and `mac` are verbatim, "" when absent."""

    inside: bool
    mode: str
    mtu: int
    mac: str
    bc_queue_len: int


def parse(config: Config) -> Keys:
    """CniError names the key of a wrong type; all that DEL looks at."""
    section = config.section
    section.string("master")
    return Keys(
        section.boolean("linkInContainer"),
        section.string("mode"),
        section.integer("mtu", bits=64),
        first_given(config.runtime.string("mac"), section.string("mac")),
        section.integer("bcqueuelen", unsigned=True),
    )


def with_arguments(keys: Keys, config: Config, cni_args: str) -> Keys:
    """CNI_ARGS' MAC in its place: before the configuration's, after runtimeConfig's."""
    given = arguments.parse(cni_args, ("MAC",)).get("MAC", "")
    return keys.replace(mac=config.runtime.string("mac") or given or keys.mac)


def kind_of(keys: Keys) -> Macvlan:
    mode = keys.mode or "bridge"
    if mode not in MACVLAN_MODES:
        raise CniError(f'unknown macvlan mode: "{mode}"')
    return Macvlan(mode, keys.bc_queue_len)


def mac_of(text: str) -> bytes | None:
    if not text:
        return None
    try:
        return parse_mac(text)
    except ValueError as error:
        raise CniError(f"invalid args {text} for MAC addr: {error}") from None
