"""tap's keys (contract 2.18): pure."""

from __future__ import annotations

from pycni.kernel.kinds import Tap
from pycni.kernel.model import parse_mac
from pycni.record import Record
from pycni.spec import arguments
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.section import first_given

_MAC_BYTES = 6
"""Of Ethernet; longer ones can be written, too."""


class Keys(Record):
    """`mac` is verbatim, "" when absent; `bridge` is one in the container."""

    tap: Tap
    mtu: int
    mac: str
    bridge: str


def parse(config: Config, cni_args: str) -> Keys:
    """CniError names what is wrong, for every command as in the reference.  Sources of the MAC address in rising order:
    the key, CNI_ARGS, runtimeConfig."""
    section = config.section
    tap = Tap(
        section.boolean("multiQueue"),
        section.optional_integer("owner", unsigned=True),
        section.optional_integer("group", unsigned=True),
        section.string("selinuxContext"),
    )
    given = arguments.parse(cni_args, ("MAC",)).get("MAC", "")
    mac = first_given(config.runtime.string("mac"), given, section.string("mac"))
    return Keys(tap, section.integer("mtu"), mac, section.string("bridge"))


def mac_of(keys: Keys) -> bytes | None:
    """Of ADD alone."""
    if not keys.mac:
        return None
    try:
        mac = parse_mac(keys.mac)
    except ValueError as error:
        raise CniError(f"invalid args {keys.mac} for MAC addr: {error}") from None
    if len(mac) != _MAC_BYTES:  # the reference has `ip` set it
        raise CniError(f"failed to run command Invalid address length {len(mac)} - must be 6 bytes\n: exit status 1")
    return mac
