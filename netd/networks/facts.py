"""What is known of the machine that networks are made on, as values."""

from __future__ import annotations

from netd.networks.subnets import Occupied
from pycni.record import Record
from pycni.spec.address import Address, Prefix


class HostFacts(Record):
    """What a host uses already.  `links` are pairs of device name and kind, `addresses` of device name and address,
    `defaults` of device name and router of the default routes, IPv4's first, `mtus` of device name and MTU; `seed` is
    an id of this host that stays the same, from which its unique local IPv6 range follows."""

    occupied: tuple[Occupied, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    addresses: tuple[tuple[str, Prefix], ...] = ()
    seed: bytes = b"\0"
    defaults: tuple[tuple[str, Address], ...] = ()
    mtus: tuple[tuple[str, int], ...] = ()
