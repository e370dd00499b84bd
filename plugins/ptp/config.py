"""ptp's keys (contract 2.10): pure."""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.errors import CniError
from pycni.spec.request import Config

_MASQUERADE_BACKENDS = ("iptables", "nftables")


class Ptp(Record):
    """The keys after their rules; `masquerade_backend` "" lets the host decide, `mtu` 0 is the kernel's default."""

    masquerade: bool
    masquerade_backend: str
    mtu: int


def parse(config: Config) -> Ptp:
    """All keys with their rules; CniError names the key at fault."""
    ptp = parse_for_removal(config)
    if ptp.masquerade and ptp.masquerade_backend and ptp.masquerade_backend not in _MASQUERADE_BACKENDS:
        raise CniError(f'unknown ipmasq backend "{ptp.masquerade_backend}"')
    config.section.integer("mtu", unsigned=True)
    return ptp


def parse_for_removal(config: Config) -> Ptp:
    """The keys without the rules for which an ADD is refused: the DEL that follows it must succeed."""
    section = config.section
    return Ptp(section.boolean("ipMasq"), section.string("ipMasqBackend"), section.integer("mtu"))
