"""Devices on top of others, dummies and taps of the in-memory kernel, and its moving of devices between namespaces."""

from __future__ import annotations

from errno import EBUSY, EEXIST, EINVAL, ENODEV, EPERM

from pycni.kernel.failure import errno_text
from pycni.kernel.kinds import KIND_NAMES, Dummy, Ipvlan, Macvlan, Tap, Vlan
from pycni.spec.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.kinds import Kind
    from pycni.kernel.memory import MemoryNamespace
    from pycni.kernel.memory_device import Device
    from pycni.kernel.model import Link

_QUEUE_DEFAULT = 1000
_IFF_BROADCAST_NOARP = 0x82
_LOOPBACK_FLAG = 0x8


class MemoryVirtualLinks:
    """See `pycni.kernel.virtual_links.VirtualLinks` for what each method does."""

    def __init__(self, namespace: MemoryNamespace) -> None:
        self._here = namespace

    def create(
        self, kind: Kind, name: str, target: NamespaceApi, parent: int = 0, mtu: int = 0, mac: bytes | None = None
    ) -> Link:
        there = self._in_memory(target)
        lower = self._here.state.devices.get(parent)
        _refuse(there.name_refusal(name))
        if isinstance(kind, Dummy):
            lower = None
        elif lower is None:
            _refuse(ENODEV if parent else EINVAL)
        else:
            _refuse(_refusal_above(lower, kind, mtu))
        address = mac or (lower.mac if lower is not None and _shares_address(kind) else self._here.random_mac())
        device = there.state.add(name, KIND_NAMES[type(kind)], address)
        if isinstance(kind, Macvlan) and not kind.bc_queue_len:
            kind = kind.replace(bc_queue_len=_QUEUE_DEFAULT)
        device.details = kind
        if lower is None:
            device.flags = _IFF_BROADCAST_NOARP
        else:
            device.lower = lower
            lower.uppers.append(device)
            device.mtu = lower.mtu
        device.mtu = mtu or device.mtu
        return there.state.snapshot(device)

    def create_tap(self, tap: Tap, name: str) -> Link:
        if self._here.state.named(name) is not None:
            raise KernelError(f"failed to create tap: make it: {errno_text(EBUSY)}", EBUSY)
        device = self._here.state.add(name, "tun", self._here.random_mac())
        device.tap = tap
        return self._here.state.snapshot(device)

    def kind(self, index: int) -> Kind | None:
        device = self._here.state.devices.get(index)
        return None if device is None else device.details

    def move(self, index: int, target: NamespaceApi, name: str) -> Link:
        there = self._in_memory(target)
        device = self._here.state.devices.get(index)
        if device is None:
            raise KernelError(errno_text(ENODEV), ENODEV)
        _refuse(EINVAL if device.kind == "bridge" or device.flags & _LOOPBACK_FLAG else there.name_refusal(name))
        self._here.set_link(index, up=False, master=0)
        del self._here.state.devices[index]
        self._here.state.routes.drop_device(index)
        device.addresses.clear()
        device.name = name
        there.state.adopt(device)
        return there.state.snapshot(device)

    def _in_memory(self, target: NamespaceApi) -> MemoryNamespace:
        if not isinstance(target, type(self._here)):
            raise TypeError("a device of an in-memory namespace stays in memory")
        return target


def _shares_address(kind: Kind) -> bool:
    """Of the devices with a parent those that have its hardware address."""
    return isinstance(kind, Ipvlan | Vlan) or (isinstance(kind, Macvlan) and kind.mode == "passthru")


def _refusal_above(lower: Device, kind: Kind, mtu: int) -> int:
    """The errno of the kernel's refusal to put this on top of `lower`, 0 for none."""
    if lower.flags & _LOOPBACK_FLAG:
        return EPERM if isinstance(kind, Vlan) else EINVAL
    if isinstance(kind, Vlan):
        return EEXIST if any(each.details == kind for each in lower.uppers) else 0
    others = [each.details for each in lower.uppers if isinstance(each.details, Macvlan | Ipvlan)]
    if lower.master or any(type(each) is not type(kind) for each in others):
        return EBUSY  # one handler receives what comes in at a device
    modes = {"passthru" if each.mode == "passthru" else "shared" for each in others if isinstance(each, Macvlan)}
    mode = "passthru" if isinstance(kind, Macvlan) and kind.mode == "passthru" else "shared"
    if modes and (mode == "passthru" or "passthru" in modes):
        return EINVAL
    return EINVAL if isinstance(kind, Macvlan) and mtu > lower.mtu else 0


def _refuse(number: int) -> None:
    if number:
        raise KernelError(errno_text(number), number)
