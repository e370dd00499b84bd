"""What one namespace of the in-memory kernel holds: devices, routes, sysctls, and what goes with what."""

from __future__ import annotations

from pycni.kernel.memory_device import Device, Sysctls
from pycni.kernel.memory_routing import RoutingTables
from pycni.kernel.model import TABLE_MAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.model import Link

LOOPBACK = 1
"""lo's index in every namespace."""


class State:
    """What a namespace holds; several MemoryNamespace objects may look at one."""

    def __init__(self, number: int, states: dict[int, State]) -> None:
        self.number = number
        self.devices: dict[int, Device] = {}
        self.routes = RoutingTables()
        self.sysctls = Sysctls()
        self.udp_flows: list[tuple[int, int]] = []
        self._states = states
        self._netns_ids: dict[int, int] = {}
        self._last_index = 0
        states[number] = self
        self.add("lo", "", bytes(6))

    def add(self, name: str, kind: str, mac: bytes) -> Device:
        self._last_index += 1
        device = Device(self._last_index, name, kind, mac, self.number)
        self.devices[device.index] = device
        return device

    def named(self, name: str) -> Device | None:
        return next((each for each in self.devices.values() if each.name == name), None)

    def ports(self, index: int) -> list[Device]:
        return [each for each in self.devices.values() if each.master == index]

    def refresh(self, master: int) -> None:
        """A bridge's ports have changed."""
        if master and self.devices[master].kind == "bridge":
            self.devices[master].follow_ports(self.ports(master))

    def table_of(self, device: Device) -> int:
        """Where the routes of its addresses go: a vrf's ports have its table."""
        return self.devices[device.master].table or TABLE_MAIN if device.master else TABLE_MAIN

    def join(self, device: Device, master: int) -> None:
        """A port of a vrf goes down and up again when it comes and when it leaves, as in the kernel."""
        vrfs = [each for each in (device.master, master) if each and self.devices[each].kind == "vrf"]
        again = bool(vrfs) and device.is_up
        if again:
            self.set_up(device, False)
        device.set_master(master, bridge=not vrfs)
        if again:
            self.set_up(device, True)

    def set_up(self, device: Device, up: bool) -> int:
        """0, the errno of no refusal."""
        if device.is_up and not up:
            keep = device.conf["ipv6"]["keep_addr_on_down"] != "0"
            device.addresses = [each for each in device.addresses if keep or each.prefix.family == 4]
            self.routes.drop_device(device.index)
        elif up and not device.is_up:
            for each in device.addresses:
                self.routes.add_connected(device.index, each, self.table_of(device))
        device.set_flags(up, None, None)
        return 0

    def netns_id(self, number: int) -> int | None:
        """The number under which this namespace knows another one, None for itself."""
        return None if number == self.number else self._netns_ids.setdefault(number, len(self._netns_ids))

    def adopt(self, device: Device) -> None:
        """A device that was moved here; it keeps its index unless that is taken."""
        device.namespace = self.number
        if device.index in self.devices:
            self._last_index += 1
            device.index = self._last_index
        self._last_index = max(self._last_index, device.index)
        self.devices[device.index] = device

    def delete(self, index: int) -> None:
        device = self.devices.pop(index)
        for upper in tuple(device.uppers):
            self._states[upper.namespace].delete(upper.index)
        if device.lower is not None:
            device.lower.uppers.remove(device)
        self.routes.drop_device(index)
        for port in self.ports(index):
            port.set_master(0)
            if device.kind == "vrf":
                self.routes.drop_device(port.index)
        self.refresh(device.master)
        peer, device.peer = device.peer, None
        if peer is not None:
            peer.peer = None
            self._states[peer.namespace].delete(peer.index)

    def snapshot(self, device: Device) -> Link:
        other = device.peer or device.lower
        peer_netns = None if other is None else self.netns_id(other.namespace)
        return device.snapshot(self.ports(device.index), peer_netns)
