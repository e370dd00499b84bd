"""An in-memory kernel with the interface of `pycni.kernel.namespace`, for tests of plugins and plans without root.

It keeps the kernel's promises that networking code relies on: errno for errno, what comes and goes with a device, an
address or a namespace.  It does not autoconfigure IPv6 (no link-local addresses, no duplicate detection) and moves no
packets.  The contract tests that run on it run on the real kernel too.
"""

from __future__ import annotations

import os
from errno import EACCES, EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, ERANGE

from pycni.kernel.failure import errno_text
from pycni.kernel.links import NAME_LIMIT
from pycni.kernel.memory_device import DEFAULT_MTU, Device
from pycni.kernel.memory_state import LOOPBACK, State
from pycni.kernel.model import TABLE_MAIN, InterfaceAddress
from pycni.kernel.namespace import TRASH_GROUP
from pycni.kernel.netns import NamespaceMissing
from pycni.kernel.routes import new_route, route_text
from pycni.spec.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.memory_rtnetlink import MemoryRtnetlink
    from pycni.kernel.memory_virtual import MemoryVirtualLinks
    from pycni.kernel.model import Link, PortVlan, Route
    from pycni.spec.address import Address, Prefix

_DEVICE_NUMBER = 4
"""st_dev of every in-memory namespace's identity, like nsfs one number for all."""

_SCOPE_LINK = 253
_SCOPE_HOST = 254
_IFA_F_PERMANENT = 0x80

_MTU_RANGE = range(68, 65536)
_FORBIDDEN_IN_NAMES = "/%: \t\n\v\f\r"


class MemoryKernel:
    """A machine: namespaces by path.  `random_bytes` makes hardware addresses and discarded names."""

    def __init__(self, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.random_bytes = random_bytes
        self.lacking: set[str] = set()
        """Kinds of pseudo-devices and queueing disciplines for which there is no driver; tests add some."""
        self._paths: dict[str, State] = {}
        self._states: dict[int, State] = {}

    def create(self, path: str = "") -> MemoryNamespace:
        """A new namespace with lo, down; with a path it can be opened by that again."""
        state = State(len(self._states) + 1, self._states)
        if path:
            self._paths[path] = state
        return MemoryNamespace(self, state)

    def open(self, path: str) -> MemoryNamespace:
        """The namespace at this path; NamespaceMissing when there is none, as the real open_netns."""
        if path not in self._paths:
            raise NamespaceMissing(f'failed to Statfs "{path}": no such file or directory')
        return MemoryNamespace(self, self._paths[path])

    def destroy(self, path: str) -> None:
        """The namespace ends, and its devices with it, of a veth pair both ends."""
        state = self._paths.pop(path)
        for index in [each for each in state.devices if each != LOOPBACK]:
            state.delete(index)

    def random_mac(self) -> bytes:
        """Locally administered, unicast."""
        first, *rest = self.random_bytes(6)
        return bytes([first & 0xFC | 2, *rest])


class MemoryNamespace:
    """One user's view of a namespace; see `pycni.kernel.namespace.Namespace` for what each method does."""

    def __init__(self, kernel: MemoryKernel, state: State) -> None:
        self._kernel = kernel
        self.state = state
        self.fd = state.number
        self.identity = (_DEVICE_NUMBER, state.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing to give back; the namespace lives on."""

    def random_mac(self) -> bytes:
        return self._kernel.random_mac()

    def entered(self) -> MemoryNamespace:
        """The code inside sees nothing of it: there are no in-memory sockets or files."""
        return MemoryNamespace(self._kernel, self.state)

    def rtnetlink(self) -> MemoryRtnetlink:
        """Answers about what has no call of its own."""
        from pycni.kernel.memory_rtnetlink import MemoryRtnetlink

        state, lacking = self.state, self._kernel.lacking
        return MemoryRtnetlink(state.devices, state.routes, self._create, self._add_address, lacking)

    def _create(self, name: str, kind: str, mtu: int) -> Device | int:
        refusal = self.name_refusal(name) or (_mtu_refusal(mtu) if mtu else 0)
        if refusal:
            return refusal
        device = self.state.add(name, kind, self._kernel.random_mac())
        device.mtu = mtu or DEFAULT_MTU
        return device

    @property
    def udp_flows(self) -> list[tuple[int, int]]:
        """(family, port) of the UDP flows that connection tracking knows; tests add some."""
        return self.state.udp_flows

    def port_flags(self, index: int) -> tuple[bool, bool]:
        """(hairpin, isolated) of a bridge port."""
        device = self._device(index, "look up device")
        return device.hairpin, device.isolated

    # --- devices ---------------------------------------------------------------------------------------------------

    def link(self, name: str) -> Link | None:
        device = self.state.named(name)
        return None if device is None else self.state.snapshot(device)

    def link_by_index(self, index: int) -> Link | None:
        device = self.state.devices.get(index)
        return None if device is None else self.state.snapshot(device)

    def links(self) -> list[Link]:
        return [self.state.snapshot(device) for device in self.state.devices.values()]

    def create_bridge(self, name: str, mtu: int = 0, vlan_filtering: bool = False) -> Link:
        what = f'create bridge "{name}"'
        _refuse(what, self.name_refusal(name) or _mtu_refusal(mtu or DEFAULT_MTU))
        device = self.state.add(name, "bridge", self._kernel.random_mac())
        device.vlan_filtering = vlan_filtering
        device.mtu = mtu or DEFAULT_MTU
        return self.state.snapshot(device)

    def create_veth(
        self,
        host_name: str,
        name: str,
        container: NamespaceApi,
        mtu: int = 0,
        mac: bytes | None = None,
        master: int = 0,
        group: int = 0,
    ) -> tuple[Link, Link]:
        if not isinstance(container, MemoryNamespace):
            raise TypeError("a pair of an in-memory namespace has both ends in memory")
        _refuse("", container.name_refusal(name) or self.name_refusal(host_name) or self._master_refusal(master))
        _refuse("", _mtu_refusal(mtu or DEFAULT_MTU) or (0 if mac is None else _mac_refusal(mac)))
        if host_name == name and container.identity == self.identity:
            _refuse("", EEXIST)
        peer = container.state.add(name, "veth", mac or self._kernel.random_mac())
        device = self.state.add(host_name, "veth", self._kernel.random_mac())
        device.peer, peer.peer = peer, device
        device.mtu = peer.mtu = mtu or DEFAULT_MTU
        device.set_master(master)
        device.group = group
        self.state.refresh(master)
        self.state.set_up(device, True)
        return self.state.snapshot(device), container.state.snapshot(peer)

    def set_link(
        self,
        index: int,
        up: bool | None = None,
        mac: bytes | None = None,
        mtu: int | None = None,
        promiscuous: bool | None = None,
        allmulti: bool | None = None,
        txqlen: int | None = None,
        name: str | None = None,
        master: int | None = None,
        group: int | None = None,
        alias: str | None = None,
    ) -> None:
        device = self._device(index, "change device")
        refusal = (0 if mac is None else _mac_refusal(mac)) or (0 if mtu is None else _mtu_refusal(mtu))
        refusal = refusal or (0 if name in (None, device.name) else self.name_refusal(name or ""))
        _refuse(f"change device {device.name}", refusal or self._master_refusal(master or 0))
        before = device.master
        if mac is not None:
            device.mac, device.mac_pinned = mac, True
        if mtu is not None:
            device.mtu, device.mtu_pinned = mtu, True
        if master is not None:
            self.state.join(device, master)
        device.name = device.name if name is None else name
        device.txqlen = device.txqlen if txqlen is None else txqlen
        device.group = device.group if group is None else group
        device.alias = device.alias if alias is None else alias
        device.set_flags(None, promiscuous, allmulti)
        self.state.refresh(before)
        self.state.refresh(device.master)
        if up is not None:
            self.state.set_up(device, up)

    def set_port(self, index: int, hairpin: bool, isolated: bool) -> None:
        device = self._device(index, "change bridge port")
        _refuse(f"change bridge port {device.name}", 0 if device.master else EOPNOTSUPP)
        device.hairpin, device.isolated = hairpin, isolated

    def filters_vlans(self, index: int) -> bool | None:
        device = self._device(index, "look up device")
        return device.vlan_filtering if device.kind == "bridge" else None

    def port_vlans(self, index: int) -> list[PortVlan]:
        device = self.state.devices.get(index)
        return [] if device is None else [device.vlans[vid] for vid in sorted(device.vlans)]

    def add_port_vlans(self, index: int, vlans: Sequence[PortVlan]) -> None:
        device = self.state.devices.get(index)
        _refuse("", ENODEV if device is None else device.add_vlans(vlans))

    def remove_port_vlans(self, index: int, vlans: Sequence[PortVlan]) -> None:
        device = self.state.devices.get(index)
        _refuse("", ENODEV if device is None else device.remove_vlans(vlans))

    def virtual(self) -> MemoryVirtualLinks:
        from pycni.kernel.memory_virtual import MemoryVirtualLinks

        return MemoryVirtualLinks(self)

    def delete_link(self, index: int) -> None:
        if index in self.state.devices:
            _refuse("delete device lo", EOPNOTSUPP if index == LOOPBACK else 0)
            self.state.delete(index)

    def delete_group(self, group: int) -> None:
        for index in [each.index for each in self.state.devices.values() if each.group == group]:
            self.delete_link(index)

    def retire(self, container: NamespaceApi, link: Link) -> bool:
        device = self.state.devices.get(link.link)
        peer = None if device is None else device.peer
        if device is None or peer is None or (_DEVICE_NUMBER, peer.namespace) != container.identity:
            return False
        if peer.index != link.index:
            return False
        self.set_link(device.index, up=False, group=TRASH_GROUP)
        container.discard_name(link.index)
        return True

    def discard_name(self, index: int) -> None:
        if index in self.state.devices:
            self.set_link(index, up=False, name="pyn" + self._kernel.random_bytes(4).hex())

    # --- addresses and routes --------------------------------------------------------------------------------------

    def addresses(self, index: int) -> list[InterfaceAddress]:
        device = self.state.devices.get(index)
        found = [] if device is None else device.addresses
        return sorted(found, key=lambda each: each.prefix.family)

    def add_address(self, index: int, prefix: Prefix, dad: bool = True) -> None:  # noqa: ARG002  # nobody else is here
        self.configure(index, (prefix,), (), up=False)

    def remove_address(self, index: int, prefix: Prefix) -> None:
        device = self.state.devices.get(index)
        if device is not None and any(each.prefix == prefix for each in device.addresses):
            device.addresses = [each for each in device.addresses if each.prefix != prefix]
            self.state.routes.drop_address(index, prefix)

    def configure(self, index: int, addresses: Sequence[Prefix], routes: Sequence[Route], up: bool = True) -> None:
        name = self.state.devices[index].name if index in self.state.devices else f"with index {index}"
        own = [route.replace(device=index) for route in routes]
        for route in own:
            try:
                new_route(route)
            except ValueError as error:
                raise KernelError(f"failed to add route '{route_text(route, name)}': {error}", EINVAL) from None
        refusals = [(f'add IP addr {each} to "{name}"', self._add_address(index, each)) for each in addresses]
        if up:
            device = self.state.devices.get(index)
            refusals.append((f'set "{name}" UP', ENODEV if device is None else self.state.set_up(device, True)))
        refusals += [
            (f"add route '{route_text(each, name)}'", self.state.routes.add(each, self.state.devices)) for each in own
        ]
        for what, number in refusals:
            _refuse(what, number)

    def routes(self, family: int, table: int | None = TABLE_MAIN) -> list[Route]:
        return self.state.routes.list(family, table)

    def route_to(self, address: Address) -> Route | None:
        return self.state.routes.lookup(address, self.state.devices)

    # --- the rest --------------------------------------------------------------------------------------------------

    def read_sysctl(self, path: str) -> str:
        return self.state.sysctls.read(path, self.state.devices.values())

    def write_sysctl(self, path: str, value: str) -> None:
        self.state.sysctls.write(path, value, self.state.devices.values())

    def replace_sysctl(self, path: str, value: str) -> str | None:
        try:
            before = self.read_sysctl(path)
        except OSError:
            before = None
        if before != value:
            self.write_sysctl(path, value)
        return before

    def flush_udp_conntrack(self, family: int, ports: Sequence[int]) -> None:
        flows = self.state.udp_flows
        flows[:] = [each for each in flows if each[0] != family or each[1] not in ports]

    def _device(self, index: int, what: str) -> Device:
        device = self.state.devices.get(index)
        if device is None:
            raise KernelError(f"failed to {what} with index {index}: {errno_text(ENODEV)}", ENODEV)
        return device

    def _add_address(self, index: int, prefix: Prefix) -> int:
        device = self.state.devices.get(index)
        if device is None:
            return ENODEV
        if prefix.family == 6 and device.conf["ipv6"]["disable_ipv6"] != "0":
            return EACCES
        for each in device.addresses:
            if each.prefix == prefix or (prefix.family == 6 and each.prefix.address == prefix.address):
                return EEXIST
        address = InterfaceAddress(prefix, _scope(prefix.address), _IFA_F_PERMANENT)
        device.addresses.append(address)
        if device.is_up:
            self.state.routes.add_connected(index, address, self.state.table_of(device))
        return 0

    def name_refusal(self, name: str) -> int:
        if len(name.encode()) > NAME_LIMIT:
            return ERANGE
        if name in ("", ".", "..") or any(each in _FORBIDDEN_IN_NAMES for each in name):
            return EINVAL
        return 0 if self.state.named(name) is None else EEXIST

    def _master_refusal(self, master: int) -> int:
        if not master:
            return 0
        device = self.state.devices.get(master)
        if device is None:
            return EINVAL
        return 0 if device.kind in ("bridge", "vrf") else EOPNOTSUPP


def _refuse(what: str, number: int) -> None:
    """Raises the kernel's refusal of `what`, with the bare text of the errno when that is empty; nothing for 0."""
    if number:
        text = errno_text(number)
        raise KernelError(f"failed to {what}: {text}" if what else text, number)


def _mtu_refusal(mtu: int) -> int:
    return 0 if mtu in _MTU_RANGE else EINVAL


def _mac_refusal(mac: bytes) -> int:
    if len(mac) != 6:
        return EINVAL
    return EADDRNOTAVAIL if mac[0] & 1 or not any(mac) else 0


def _scope(address: Address) -> int:
    if address.is_loopback:
        return _SCOPE_HOST
    return _SCOPE_LINK if address.family == 6 and address.is_link_local else 0
