"""Applies the operations about a bridge's VLANs; loaded by the plans that have some.

A gateway's pair is in the newborn group until it is complete, so what a killed ADD left of one is finished by the next
ADD, or found by GC.
"""

from __future__ import annotations

from pycni.kernel.model import PortVlan
from pycni.kernel.namespace import NEWBORN_GROUP, TRASH_GROUP
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link
    from pycni.plan import ops

_EEXIST = 17
_ATTEMPTS = 10


def join(host: NamespaceApi, port: Link, vlans: tuple[PortVlan, ...], keep_default: bool) -> None:
    """The port is in these VLANs; CniError in the reference's words (contract 2.1 step 4)."""
    if not keep_default:
        try:
            present = host.port_vlans(port.index)
            if present:
                host.remove_port_vlans(port.index, present)
        except KernelError as error:
            raise CniError(f'failed to remove default vlan on interface "{port.name}": {error.msg}') from None
    try:
        host.add_port_vlans(port.index, vlans)
    except KernelError as error:
        raise CniError(f'failed to setup vlan tag on interface "{port.name}": {error.msg}') from None


def missing(host: NamespaceApi, port: Link, vlans: Iterable[PortVlan]) -> list[PortVlan]:
    """Those of the VLANs that the port is not in as `join` left it: of several entries of a number the last counts."""
    present = {each.vid: each for each in host.port_vlans(port.index)}
    last = {each.vid: each for each in vlans}
    return [each for each in last.values() if present.get(each.vid) != each]


def ensure_gateway(
    host: NamespaceApi,
    bridge: Link,
    op: ops.EnsureVlanGateway,
    random_bytes: Callable[[int], bytes],
    created: Callable[[], None],
) -> Link:
    """The gateway device; CniError in the reference's words, its spelling included.  `created` is called
    as soon as there is something to undo."""
    found = _find(host, op.name)
    if found is None:
        found = _create(host, bridge, op, random_bytes)
        created()
    device, port = found
    if port.group == NEWBORN_GROUP:
        try:
            join(host, port, (PortVlan(op.vlan, pvid=True, untagged=True),), op.keep_default)
        except CniError as error:
            raise _uncreated(op.name, error.msg) from None
        for each in (port, device):
            # CVE-2020-10749: a container must not configure the host by router advertisements
            try:
                host.replace_sysctl(f"net/ipv6/conf/{each.name}/accept_ra", "0")
            except OSError:
                continue  # the host may have no IPv6
        host.set_link(port.index, group=0)
    if not device.is_up:
        host.set_link(device.index, up=True)
    return device


def gateway_in_use(host: NamespaceApi, bridge: int, op: ops.EnsureVlanGateway, own: int) -> bool:
    """Whether a port of the bridge is in the gateway's VLAN besides the gateway's and the one with index `own`."""
    found = _find(host, op.name)
    besides = {own} if found is None else {own, found[1].index}
    ports = [
        each.index
        for each in host.links()
        if each.master == bridge and each.group != TRASH_GROUP and each.index not in besides
    ]
    return any(each.vid == op.vlan for index in ports for each in host.port_vlans(index))


def _find(host: NamespaceApi, name: str) -> tuple[Link, Link] | None:
    """The device and its other end; a device that is no pair's, as an operator may have made, is both."""
    device = host.link(name)
    if device is None:
        return None
    port = host.link_by_index(device.link) if device.kind == "veth" else None
    return device, port if port is not None and port.link == device.index else device


def _create(
    host: NamespaceApi, bridge: Link, op: ops.EnsureVlanGateway, random_bytes: Callable[[int], bytes]
) -> tuple[Link, Link]:
    for _ in range(_ATTEMPTS):
        name = "veth" + random_bytes(4).hex()
        try:
            port, device = host.create_veth(
                name, op.name, host, mtu=bridge.mtu, master=bridge.index, group=NEWBORN_GROUP
            )
        except KernelError as error:
            if error.errno != _EEXIST:
                raise _uncreated(op.name, f"failed to make veth pair: {error.msg}") from None
            found = _find(host, op.name)
            if found is not None:  # a parallel ADD was quicker
                return found
        else:
            return device, port
    raise _uncreated(op.name, f'container veth name ("{op.name}") peer provided ("{name}") already exists')


def _uncreated(name: str, cause: str) -> CniError:
    return CniError(f'failed to create vlan interface: faild to create vlan gateway "{name}": {cause}')
