"""Devices of the in-memory kernel, and the sysctls that come with them."""

from __future__ import annotations

from errno import EACCES, EINVAL, ENOENT, EOPNOTSUPP

from pycni.kernel.model import IFF_ALLMULTI, IFF_PROMISC, IFF_UP, OPER_UP, InterfaceAddress, Link, PortVlan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycni.kernel.kinds import Kind, Tap

IFF_LOOPBACK = 0x8
_IFF_BROADCAST_MULTICAST = 0x1002
_IFF_RUNNING_LOWER_UP = 0x10040

_OPER_DOWN = 2
_OPER_UNKNOWN = 0

DEFAULT_MTU = 1500
_LOOPBACK_MTU = 65536
_QUEUE = 1000
_VLAN_LIMIT = 4095

_CONF_DEFAULTS = {
    "ipv4": {
        "arp_notify": "0",
        "forwarding": "0",
        "proxy_arp": "0",
        "route_localnet": "0",
        "rp_filter": "0",
    },
    "ipv6": {
        "accept_dad": "1",
        "accept_ra": "1",
        "disable_ipv6": "0",
        "enhanced_dad": "1",
        "forwarding": "0",
        "keep_addr_on_down": "0",
        "ndisc_notify": "0",
    },
}


class Device:
    """One network device; `peer` is a veth's other end, `lower` the device that this one is on top of, `namespace` the
    number of the one the device is in; `details` and `tap` say what was asked for of those that have more than a
    kind."""

    def __init__(self, index: int, name: str, kind: str, mac: bytes, namespace: int) -> None:
        self.index = index
        self.name = name
        self.kind = kind
        self.mac = mac
        self.mac_pinned = False
        self.mtu = _LOOPBACK_MTU if name == "lo" else DEFAULT_MTU
        self.mtu_pinned = False
        self.flags = IFF_LOOPBACK if name == "lo" else _IFF_BROADCAST_MULTICAST
        self.master = 0
        self.group = 0
        self.txqlen = _QUEUE
        self.alias = ""
        self.hairpin = False
        self.isolated = False
        self.peer: Device | None = None
        self.lower: Device | None = None
        self.uppers: list[Device] = []
        self.details: Kind | None = None
        self.tap: Tap | None = None
        self.namespace = namespace
        self.vlan_filtering = False
        self.vlans: dict[int, PortVlan] = {}
        self.table = 0
        """A vrf's."""
        self.qdiscs: dict[int, bytes] = {}
        """By their parent."""
        self.filters: list[bytes] = []
        self.addresses: list[InterfaceAddress] = []
        self.conf = {family: dict(values) for family, values in _CONF_DEFAULTS.items()}

    def set_master(self, master: int, bridge: bool = True) -> None:
        """A port starts anew in each bridge, in VLAN 1 like every other."""
        self.master = master
        self.hairpin = self.isolated = False
        self.vlans = {1: PortVlan(1, pvid=True, untagged=True)} if master and bridge else {}

    def add_vlans(self, vlans: Sequence[PortVlan]) -> int:
        """The errno of the kernel's refusal, 0 for none."""
        if not self.master:
            return EOPNOTSUPP
        for each in vlans:
            if not 0 < each.vid < _VLAN_LIMIT:
                return EINVAL
            if each.pvid:
                self.vlans = {vid: other.replace(pvid=False) for vid, other in self.vlans.items()}
            self.vlans[each.vid] = each
        return 0

    def remove_vlans(self, vlans: Sequence[PortVlan]) -> int:
        """The errno of the kernel's refusal, 0 for none."""
        if not self.master:
            return EOPNOTSUPP
        for each in vlans:
            self.vlans.pop(each.vid, None)
        return 0

    @property
    def is_up(self) -> bool:
        return bool(self.flags & IFF_UP)

    def has_carrier(self, ports: Iterable[Device]) -> bool:
        """Whether frames can leave: both ends of a pair up; a bridge with a working port."""
        if not self.is_up:
            return False
        if self.peer is not None:
            return self.peer.is_up
        if self.lower is not None:
            return self.lower.has_carrier(())
        if self.kind == "tun":
            return False  # nobody has it open
        return self.kind != "bridge" or any(port.has_carrier(()) for port in ports)

    def set_flags(self, up: bool | None, promiscuous: bool | None, allmulti: bool | None) -> None:
        for bit, wanted in ((IFF_UP, up), (IFF_PROMISC, promiscuous), (IFF_ALLMULTI, allmulti)):
            if wanted is not None:
                self.flags = self.flags | bit if wanted else self.flags & ~bit

    def follow_ports(self, ports: Iterable[Device]) -> None:
        """A bridge takes its smallest port's MAC and MTU, as long as nobody set its own."""
        ports = tuple(ports)
        if not self.mac_pinned:
            self.mac = min((port.mac for port in ports), default=bytes(6))
        if not self.mtu_pinned:
            self.mtu = min((port.mtu for port in ports), default=DEFAULT_MTU)

    def snapshot(self, ports: Iterable[Device], peer_netns: int | None) -> Link:
        """The device as rtnetlink would show it."""
        carrier = self.has_carrier(ports)
        operstate = OPER_UP if carrier else _OPER_DOWN
        if carrier and (self.name == "lo" or self.kind == "dummy"):
            operstate = _OPER_UNKNOWN
        other = self.peer or self.lower
        return Link(
            self.index,
            self.name,
            self.kind,
            self.mac,
            self.mtu,
            self.flags | (_IFF_RUNNING_LOWER_UP if carrier else 0),
            self.master,
            0 if other is None else other.index,
            peer_netns,
            operstate,
            self.txqlen,
            self.group,
            bool(self.flags & IFF_PROMISC) + bool(self.master),
            self.alias,
        )


class Sysctls:
    """/proc/sys/net of one namespace: the subset that container networking touches, with a fresh namespace's values."""

    def __init__(self) -> None:
        self._global = {"net/ipv4/ip_forward": "0", "net/core/somaxconn": "4096"}
        self._conf = {
            scope: {family: dict(values) for family, values in _CONF_DEFAULTS.items()} for scope in ("all", "default")
        }

    def read(self, path: str, devices: Iterable[Device]) -> str:
        """OSError with ENOENT for a path that is not modelled, with EACCES for one that climbs out of /proc/sys."""
        values, key = self._find(path, devices)
        return values[key]

    def write(self, path: str, value: str, devices: Iterable[Device]) -> None:
        """OSError with ENOENT as for read, with EINVAL for a value that is not a number."""
        devices = tuple(devices)
        values, key = self._find(path, devices)
        value = value.strip()
        if not value.lstrip("-").isdigit():
            raise OSError(EINVAL, "Invalid argument", path)
        values[key] = value
        if path.startswith("net/ipv6/conf/all/"):
            for device in devices:
                device.conf["ipv6"][key] = value
        elif path == "net/ipv4/ip_forward":
            for conf in (self._conf["all"], *(device.conf for device in devices)):
                conf["ipv4"]["forwarding"] = value

    def _find(self, path: str, devices: Iterable[Device]) -> tuple[dict[str, str], str]:
        parts = path.split("/")
        if ".." in parts:
            raise OSError(EACCES, "a path outside /proc/sys", path)
        values, key = self._global, path
        if len(parts) == 5 and parts[0] == "net" and parts[2] == "conf":
            _, family, _, scope, key = parts
            conf = self._conf.get(scope) or next((each.conf for each in devices if each.name == scope), {})
            values = conf.get(family, {})
        if key not in values:
            raise OSError(ENOENT, "No such file or directory", path)
        return values, key
