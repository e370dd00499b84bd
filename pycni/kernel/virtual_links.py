"""Devices on top of others, dummies and taps: making them, moving them to another namespace, asking what they are.

The messages are pure functions of bytes.  Some kernels (Debian 12's) look for the name of a device that is made for
another namespace here as well as there; whoever wants a name that may be taken here makes it under another one and
renames it.
"""

from __future__ import annotations

from errno import EEXIST, ENODEV
from struct import Struct

from pycni.kernel.failure import errno_text
from pycni.kernel.kinds import IPVLAN_MODES, KIND_NAMES, MACVLAN_MODES, Dummy, Ipvlan, Kind, Macvlan, Vlan
from pycni.kernel.links import RTM_NEWLINK, RTM_SETLINK, get_link_by_index, new_name
from pycni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    attribute,
    attribute_text,
    attribute_u16,
    attribute_u32,
    attributes,
    nested,
    text,
    u32,
)
from pycni.spec.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.kinds import Tap
    from pycni.kernel.model import Link
    from pycni.kernel.namespace import Namespace
    from pycni.kernel.netlink import Message

_IFLA_ADDRESS = 1
_IFLA_MTU = 4
_IFLA_LINK = 5
_IFLA_LINKINFO = 18
_IFLA_NET_NS_FD = 28
_IFLA_INFO_KIND = 1
_IFLA_INFO_DATA = 2
_MODE = 1
"""IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE."""
_IFLA_MACVLAN_BC_QUEUE_LEN = 7
_IFLA_VLAN_ID = 1

_IFINFO = Struct("=BxHiII")


def new_device(
    kind: Kind, name: str, parent: int = 0, netns: int | None = None, mtu: int = 0, mac: bytes | None = None
) -> Message:
    """A device, down, on top of the one with index `parent` here, in the namespace `netns` or here.  mtu 0 and no mac
    leave both to the kernel: its parent's, or a random address, as the kind has it."""
    body = [_IFINFO.pack(0, 0, 0, 0, 0), new_name(name)]
    for attribute_kind, number in ((_IFLA_LINK, parent), (_IFLA_MTU, mtu)):
        if number:
            body.append(attribute_u32(attribute_kind, number))
    if mac is not None:
        body.append(attribute(_IFLA_ADDRESS, mac))
    if netns is not None:
        body.append(attribute_u32(_IFLA_NET_NS_FD, netns))
    data = _data(kind)
    info = attribute_text(_IFLA_INFO_KIND, KIND_NAMES[type(kind)])
    body.append(nested(_IFLA_LINKINFO, info, nested(_IFLA_INFO_DATA, data) if data else b""))
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, b"".join(body)


def _data(kind: Kind) -> bytes:
    if isinstance(kind, Macvlan):
        queue = attribute_u32(_IFLA_MACVLAN_BC_QUEUE_LEN, kind.bc_queue_len) if kind.bc_queue_len else b""
        return attribute_u32(_MODE, MACVLAN_MODES[kind.mode]) + queue
    if isinstance(kind, Ipvlan):
        return attribute_u16(_MODE, IPVLAN_MODES[kind.mode])
    return attribute_u16(_IFLA_VLAN_ID, kind.vid) if isinstance(kind, Vlan) else b""


def parse_kind(payload: bytes) -> Kind | None:
    """What kind of device an RTM_NEWLINK message is about, None for any other than ours.  The kernel tells the queue
    length that was asked for, which may be its own default."""
    info = attributes(attributes(payload, 16).get(_IFLA_LINKINFO, b""))
    name, data = text(info.get(_IFLA_INFO_KIND, b"")), attributes(info.get(_IFLA_INFO_DATA, b""))
    mode = u32(data.get(_MODE, b""))
    if name == "macvlan":
        modes = {number: word for word, number in MACVLAN_MODES.items()}
        return Macvlan(modes.get(mode, f"{mode}"), u32(data.get(_IFLA_MACVLAN_BC_QUEUE_LEN, b"")))
    if name == "ipvlan":
        modes = {number: word for word, number in IPVLAN_MODES.items()}
        return Ipvlan(modes.get(mode, f"{mode}"))
    if name == "vlan":
        return Vlan(u32(data.get(_IFLA_VLAN_ID, b"")))
    return Dummy() if name == "dummy" else None


def move_device(index: int, netns: int, name: str) -> Message:
    """Into another namespace and to another name in one step: the old name may be taken there."""
    body = attribute_u32(_IFLA_NET_NS_FD, netns) + new_name(name)
    return RTM_SETLINK, 0, _IFINFO.pack(0, 0, index, 0, 0) + body


class VirtualLinks:
    """These devices of one namespace; the in-memory one is `pycni.kernel.memory_virtual.MemoryVirtualLinks`.

    Failures are KernelError with the bare text of its errno, for the caller to put into its own words."""

    __slots__ = ("_namespace",)

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    def create(
        self, kind: Kind, name: str, target: NamespaceApi, parent: int = 0, mtu: int = 0, mac: bytes | None = None
    ) -> Link:
        """A new device `name` in `target`, down; `parent` is an index here.  EEXIST when the name is taken
        there (or here, as the kernel has it), ENODEV when there is no such parent."""
        netns = None if target.identity == self._namespace.identity else target.fd
        self._namespace.rtnetlink().request(new_device(kind, name, parent, netns, mtu, mac))
        return _present(target, name)

    def create_tap(self, tap: Tap, name: str) -> Link:
        """A new TAP device here, down; errors in the words of `pycni.kernel.taps`."""
        from pycni.kernel.taps import make

        make(self._namespace, tap, name)
        return _present(self._namespace, name)

    def kind(self, index: int) -> Kind | None:
        """What kind of device this is; None for any other than ours, and when there is none."""
        try:
            return parse_kind(self._namespace.rtnetlink().request(get_link_by_index(index))[0][1])
        except KernelError as error:
            if error.errno == ENODEV:
                return None
            raise

    def move(self, index: int, target: NamespaceApi, name: str) -> Link:
        """The device, moved to `target` and renamed: down, without addresses and out of its bridge.  EEXIST when the
        name is taken there, EINVAL for one that may not be moved; it is still here then, but for its flags."""
        if target.link(name) is not None:
            raise KernelError(errno_text(EEXIST), EEXIST)
        before = self._namespace.link_by_index(index)
        try:
            self._namespace.rtnetlink().request(move_device(index, target.fd, name))
        except KernelError:
            # moving comes before renaming, which fails when somebody took the name since we looked
            lost = target.link(before.name) if before is not None else None
            if before is not None and lost is not None and self._namespace.link_by_index(index) is None:
                target.virtual().move(lost.index, self._namespace, before.name)
            raise
        return _present(target, name)


def _present(namespace: NamespaceApi, name: str) -> Link:
    link = namespace.link(name)
    if link is None:
        raise KernelError(errno_text(ENODEV), ENODEV)
    return link
