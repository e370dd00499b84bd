"""The firewall's desired state: facts, each owned by one attachment.  Pure values; backends make the kernel agree."""

from __future__ import annotations

from pycni.record import Record
from pycni.spec.address import Address, Prefix

SAME_BRIDGE = "same-bridge"
ISOLATED = "isolated"
INTERNAL = "internal"


class Owner(Record):
    """Whose rules these are: one attachment of one container to one network."""

    network: str
    container_id: str
    ifname: str


class Mapping(Record):
    """A published port.  `host_address` None: every local address of the target's family.  `protocol` is verbatim."""

    protocol: str
    host_port: int
    container_port: int
    host_address: Address | None = None


class Masquerade(Record):
    """Traffic from these addresses to outside their own subnet leaves with the host's address (contract 2.0.5).
    Each is a container's address with its subnet's length."""

    addresses: tuple[Prefix, ...]


class Publish(Record):
    """Host ports forwarded to one container address, `target`, given with its subnet's length (contract 4).
    `mappings` holds all of the container's mappings, those of the other family included: the reference lists them in
    its entry rules all the same.  Fields from `mark_bit` on matter to the iptables backend only, except `conditions`
    (match words in the backend's own syntax), and `proxied`: a process of ours serves what the firewall does not
    lead on, so packets to ::1, which cannot leave the host, are left to it."""

    target: Prefix
    mappings: tuple[Mapping, ...]
    snat: bool = True
    masq_all: bool = False
    mark_bit: int = 13
    external_mark_chain: str = ""
    conditions: tuple[str, ...] = ()
    proxied: bool = False


class Admit(Record):
    """Forwarding from and to these addresses is accepted (contract 5.2)."""

    addresses: tuple[Address, ...]
    admin_chain: str = "CNI-ADMIN"


class Isolate(Record):
    """Traffic between this bridge and other isolated bridges is dropped; with policy `isolated` also between its own
    ports (contract 5.3).  With policy `internal` all that is forwarded from or to another device is (contract docker
    3.4, S12).  One per address family in use."""

    bridge: str
    policy: str
    family: int


class SpoofCheck(Record):
    """Of the frames that come in through `interface`, a bridge port, only those from the hardware address `mac` pass
    (contract 2.1, "macspoofchk").  Empty where only whose it is matters."""

    interface: str = ""
    mac: bytes = b""


class Trust(Record):
    """Traffic from these addresses belongs to this zone of firewalld (contract 5.4), which is asked over the bus with
    the D-Bus address `bus`."""

    addresses: tuple[Address, ...]
    zone: str
    bus: str


Fact = Masquerade | Publish | Admit | Isolate | SpoofCheck | Trust

BRIDGE_NAT = "bridge nat"
"""The backend of SpoofCheck: table nat of family bridge, which is the reference's."""

FIREWALLD = "firewalld"
"""The backend of Trust."""
