"""Finding a device of the host: by name, by hardware address, or by what sysfs says about a bus (contract 2.14).

sysfs shows the devices of the network namespace that it was mounted in, which is the caller's, as for the reference.
"""

from __future__ import annotations

import os

from pycni.kernel.failure import errno_text
from pycni.kernel.model import parse_mac
from pycni.spec.errors import CniError
from pycni.spec.request import MAX_IFNAME
from pycni_plugins.host_device.config import Wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link

SYSFS = "/sys"

_USERSPACE_DRIVERS = ("vfio-pci", "uio_pci_generic", "igb_uio")
"""Drivers that give a device to a program of its own, DPDK's: the kernel has no interface of it."""


class Place:
    """Where in sysfs a wanted device is: `pci` is its PCI address, `auxiliary` its name on the auxiliary bus, each ""
    when it has none; `dpdk` says that no interface of it can be moved."""

    __slots__ = ("_root", "auxiliary", "dpdk", "pci", "wanted")

    def __init__(self, wanted: Wanted, root: str = SYSFS) -> None:
        """CniError for a device that is on no bus, or a PCI device without a driver."""
        self._root = root
        self.wanted = wanted
        self.pci, self.auxiliary = wanted.pci, ""
        if wanted.device_id:
            self._take_device_id(wanted.device_id)
        self.dpdk = self._has_userspace_driver() if self.pci else wanted.dpdk

    def _take_device_id(self, device_id: str) -> None:
        if _is_entry(device_id):
            if os.path.exists(self._on_bus("pci", device_id)):
                self.pci = device_id
                return
            if os.path.exists(self._on_bus("auxiliary", device_id)):
                self.pci, self.auxiliary = "", device_id
                return
        raise CniError(f"runtime config DeviceID {device_id} not found or unsupported")

    def _on_bus(self, bus: str, name: str) -> str:
        return f"{self._root}/bus/{bus}/devices/{name}"

    def _has_userspace_driver(self) -> bool:
        if not _is_entry(self.pci):
            raise CniError(f"error with host device: {self.pci!r} is not a PCI address")
        device = self._on_bus("pci", self.pci)
        driver = f"{device}/driver"
        for path in (device, driver):
            try:
                os.lstat(path)
            except OSError as error:
                raise CniError(f"error with host device: lstat {path}: {errno_text(error.errno or 0)}") from None
        return os.path.basename(os.path.realpath(driver)) in _USERSPACE_DRIVERS

    def find(self, host: NamespaceApi, ifname: str) -> Link:
        """The device in the host's namespace.  CniError when it is not there."""
        try:
            return self._find(host, ifname)
        except CniError as error:
            raise CniError(f"failed to find host device: {error.msg}") from None

    def _find(self, host: NamespaceApi, ifname: str) -> Link:
        wanted = self.wanted
        if wanted.device:
            link = host.link(wanted.device)
            return _present(returned(host, wanted.device, ifname) if link is None else link)
        if wanted.hwaddr:
            return _with_mac(host, wanted.hwaddr)
        if wanted.kernelpath:
            return _listed(host, self._below_devices(wanted.kernelpath))
        if self.pci:
            return _listed(host, self._pci_directory())
        return _listed(host, self._on_bus("auxiliary", self.auxiliary) + "/net")

    def _below_devices(self, path: str) -> str:
        root = f"{self._root}/devices/"
        if not os.path.normpath(path).startswith(root):
            raise CniError(f'kernel device path "{path}" must be absolute and begin with {root}')
        return f"{os.path.normpath(path)}/net"

    def _pci_directory(self) -> str:
        device = self._on_bus("pci", self.pci)
        if os.path.lexists(f"{device}/net"):
            return f"{device}/net"
        for name in _entries(device):
            if name.startswith("virtio") and os.path.lexists(f"{device}/{name}/net"):
                return f"{device}/{name}/net"
        raise CniError(f"no net directory under pci device {self.pci}")


def returned(host: NamespaceApi, name: str, ifname: str) -> Link | None:
    """The device that was called `name` and came back from a namespace that ended with its alias, under the name that
    it had there; None when there is not exactly one."""
    found = [link for link in host.links() if link.alias == name and _has_foreign_name(link, ifname)]
    return found[0] if len(found) == 1 else None


def original_name(host: NamespaceApi, link: Link, ifname: str) -> str:
    """What to call a device of the host when it comes back: what it is called now, or what it was called before, if
    a namespace ended while it was there."""
    if is_name(link.alias) and _has_foreign_name(link, ifname) and host.link(link.alias) is None:
        return link.alias
    return link.name


def is_name(text: str) -> bool:
    """Whether the kernel could call a device so."""
    plain = not any(char in "/:" or char.isspace() for char in text) and text.isprintable()
    return plain and 0 < len(text.encode()) <= MAX_IFNAME and text not in (".", "..")


def _has_foreign_name(link: Link, ifname: str) -> bool:
    """The kernel leaves a device that comes back its name or, where that is taken, calls it by its index; it is down
    then."""
    return not link.is_up and link.alias != link.name and link.name in (ifname, f"dev{link.index}")


def _is_entry(name: str) -> bool:
    return "/" not in name and name not in (".", "..")


def _with_mac(host: NamespaceApi, text: str) -> Link:
    try:
        mac = parse_mac(text)
    except ValueError as error:
        raise CniError(f'failed to parse MAC address "{text}": {error}') from None
    for link in host.links():
        if link.mac == mac:
            return link
    raise CniError("failed to find physical interface")


def _listed(host: NamespaceApi, directory: str) -> Link:
    """The device that the first entry of a `net` directory names."""
    names = _entries(directory)
    if not names:
        raise CniError(f"failed to find network device in path {directory}")
    return _present(host.link(names[0]))


def _entries(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        reason = f"open {directory}: {errno_text(error.errno or 0)}"
        raise CniError(f'failed to read directory {directory}: "{reason}"') from None


def _present(link: Link | None) -> Link:
    if link is None:
        raise CniError("Link not found")
    return link
