"""What the kernel's network objects look like to plugins and plans; shared by the real namespace and the fake one."""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.address import Address, Prefix

IFF_UP = 0x1
IFF_PROMISC = 0x100
IFF_ALLMULTI = 0x200

OPER_UP = 6
"""RFC 2863 operational state "up", as IFLA_OPERSTATE gives it."""

IFA_F_DADFAILED = 0x08
IFA_F_TENTATIVE = 0x40

TABLE_MAIN = 254


class Link(Record):
    """A network device.  `mac` is 6 bytes (empty for devices without), `link` the peer's or parent's index or 0."""

    index: int
    name: str
    kind: str = ""
    mac: bytes = b""
    mtu: int = 0
    flags: int = 0
    master: int = 0
    link: int = 0
    link_netns: int | None = None
    operstate: int = 0
    txqlen: int = 0
    group: int = 0
    promiscuity: int = 0
    alias: str = ""

    @property
    def is_up(self) -> bool:
        return bool(self.flags & IFF_UP)


class PortVlan(Record):
    """A VLAN that a bridge port is in, 1 to 4094.  `pvid`: frames that come in without a tag are of this one (of one
    VLAN at most); `untagged`: frames of it go out without a tag."""

    vid: int
    pvid: bool = False
    untagged: bool = False


class InterfaceAddress(Record):
    """An address on a device; `scope` is rtnetlink's (0 global, 253 link, 254 host), `flags` are IFA_F_*."""

    prefix: Prefix
    scope: int = 0
    flags: int = 0


class Route(Record):
    """A unicast route.  `gateway` None: on-link.  `table`, `scope` None: the kernel's default for it."""

    destination: Prefix
    gateway: Address | None = None
    priority: int = 0
    table: int | None = None
    scope: int | None = None
    mtu: int = 0
    advmss: int = 0
    source: Address | None = None
    device: int = 0
    protocol: int = 3


def parse_mac(text: str) -> bytes:
    """`aa:bb:cc:dd:ee:ff`, with `-` or dotted quads too, as Go's ParseMAC; ValueError for anything else."""
    for separator, width in ((":", 2), ("-", 2), (".", 4)):
        if separator in text:
            parts = text.split(separator)
            if all(len(part) == width for part in parts):
                try:
                    mac = bytes.fromhex("".join(parts))
                except ValueError:
                    break
                if len(mac) in (6, 8, 20):
                    return mac
            break
    raise ValueError(f"address {text}: invalid MAC address")


def format_mac(mac: bytes) -> str:
    return mac.hex(":")
