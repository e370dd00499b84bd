"""The operations a plan is made of: small frozen facts about what must be true.

A plugin decides by returning a tuple of these; `pycni.plan.transaction` applies and reverses them.  `place` says in
whose namespace an operation works: the caller's (HOST) or the container's (CONTAINER).  Nothing here does IO.
"""

from __future__ import annotations

from pycni.firewall.facts import Fact, Owner
from pycni.kernel.model import PortVlan, Route
from pycni.record import Record
from pycni.spec.address import Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.plan.transaction import Transaction
    from pycni.spec.address import Address
    from pycni.spec.result import Result

HOST = "host"
CONTAINER = "container"


class Step(Record):
    """An operation that applies itself, in a module of its own that only the plugins that need it load."""

    def apply(self, transaction: Transaction) -> None:
        """Makes it true; each change is noted with `transaction.on_undo` before the next."""
        raise NotImplementedError


class EnsureBridge(Record):
    """A bridge of this name exists in the host namespace and is up.  An existing one keeps its MTU and filtering."""

    name: str
    mtu: int = 0
    vlan_filtering: bool = False
    promiscuous: bool = False


class CreateVeth(Record):
    """A veth pair: `name` in the container (down), the other end in the host namespace, up and a port of `bridge`.

    `host_name` is tried first; where it is taken, random names follow.  `alias` marks the host end's owner (at most
    255 bytes); until it has one it is in `newborn_group`, 0 for that of newborn ports, which are known by their bridge.
    `mac` is 6 bytes or None for a random one; mtu 0 is the kernel's default."""

    name: str
    host_name: str
    alias: str = ""
    bridge: str = ""
    mtu: int = 0
    mac: bytes | None = None
    hairpin: bool = False
    isolated: bool = False
    newborn_group: int = 0


class JoinVlans(Record):
    """The host end of this plan's veth pair is in these VLANs, added in this order (see
    `pycni.kernel.api.NamespaceApi.add_port_vlans`), and, unless `keep_default`, in none that it was in before."""

    vlans: tuple[PortVlan, ...]
    keep_default: bool = False


class EnsureVlanGateway(Record):
    """A device `name` in the host namespace, up, is in this VLAN of the bridge: one end of a veth pair whose other end
    is a port (contract 2.1 step 7d).  One that exists stays as it is."""

    name: str
    bridge: str
    vlan: int
    keep_default: bool = False


class ConfigureInterface(Record):
    """Addresses and routes of a container interface, in this order, and the interface up (contract 2.0.3).
    With `await_dad` duplicate address detection is waited for."""

    name: str
    addresses: tuple[Prefix, ...] = ()
    routes: tuple[Route, ...] = ()
    await_dad: bool = False


def configure_interface(name: str, result: Result) -> ConfigureInterface:
    """All addresses and routes of an IPAM result; a route without a gateway takes the first one of its family."""
    first: dict[int, Address] = {}
    for ip in result.ips:
        if ip.gateway is not None:
            first.setdefault(ip.gateway.family, ip.gateway)
    routes = tuple(
        each if each.gateway is not None else each.replace(gateway=first.get(each.destination.family))
        for each in result.routes
    )
    return ConfigureInterface(name, tuple(ip.address for ip in result.ips), routes, await_dad=6 in first)


class EnsureAddress(Record):
    """A gateway address on a host device (contract 2.1, "Gateway address rule"); `force` replaces another one."""

    device: str
    address: Prefix
    force: bool = False


class EnableForwarding(Record):
    """The host forwards packets of family 4 or 6.  Never undone: others may rely on it."""

    family: int


class Sysctl(Record):
    """`/proc/sys/<path>` holds `value`.  A failure counts only when `required`."""

    place: str
    path: str
    value: str
    required: bool = False


class SetLink(Record):
    """Attributes of an existing device; None leaves one as it is."""

    place: str
    name: str
    up: bool | None = None
    mac: bytes | None = None
    mtu: int | None = None
    promiscuous: bool | None = None
    allmulti: bool | None = None
    txqlen: int | None = None


class AwaitPort(Record):
    """The host end of this plan's veth pair is operationally up (contract 2.1 step 8)."""


class InstallRules(Record):
    """These firewall facts hold for this owner.  `kind` is the plugin's share: masquerade, portmap or firewall;
    `backend` is iptables or nftables."""

    owner: Owner
    kind: str
    backend: str
    facts: tuple[Fact, ...]


class FlushUdp(Record):
    """No conntrack entry of this family is left whose original destination is one of these UDP ports
    (contract 4.6).  Failures are only reported."""

    family: int
    ports: tuple[int, ...]


Operation = (
    EnsureBridge
    | CreateVeth
    | JoinVlans
    | EnsureVlanGateway
    | ConfigureInterface
    | EnsureAddress
    | EnableForwarding
    | Sysctl
    | SetLink
    | AwaitPort
    | InstallRules
    | FlushUdp
    | Step
)
