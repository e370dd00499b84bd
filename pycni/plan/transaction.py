"""Applies plans, and reverses what was done when the handler that made them fails.

Each step notes how to undo itself as soon as it has changed something, before its next change, so the failing step's
own partial work is undone too.  Undoing never stops at the first error.  Shared things (a bridge that others joined
meanwhile, forwarding) stay.
"""

from __future__ import annotations

import os
import time
from errno import EINVAL, ERANGE, EXFULL

from pycni.kernel.failure import errno_text
from pycni.kernel.model import IFA_F_DADFAILED, IFA_F_TENTATIVE, IFF_ALLMULTI, IFF_PROMISC, OPER_UP, Link
from pycni.kernel.namespace import NEWBORN_GROUP, TRASH_GROUP
from pycni.plan import ops
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any

    from pycni.firewall.firewall import Firewall
    from pycni.kernel.api import NamespaceApi

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
"""The sysctl that makes a host forward packets of a family."""

_EEXIST = 17
_VETH_ATTEMPTS = 10
_DAD_SECONDS = 5.0
_PORT_SECONDS = 2.55
"""How long the reference waits for a bridge port (contract 2.1 step 8)."""

_OPER_STATES = ("unknown", "not-present", "down", "lower-layer-down", "testing", "dormant", "up")
"""By IFLA_OPERSTATE's numbers (RFC 2863)."""


class Applied:
    """What became of a plan: the links its operations made or found."""

    __slots__ = ("bridge", "container_link", "gateway", "gateway_op", "host_link")

    def __init__(self) -> None:
        self.bridge: Link | None = None
        self.gateway: Link | None = None
        """The VLAN gateway device, as it was when it was first asked for."""
        self.gateway_op: ops.EnsureVlanGateway | None = None
        self.host_link: Link | None = None
        self.container_link: Link | None = None


class Transaction:
    """A context manager; leaving it with an exception undoes everything applied, newest first."""

    def __init__(
        self,
        host: NamespaceApi,
        container: Callable[[], NamespaceApi],
        firewall: Firewall,
        warn: Callable[[str], None],
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._host = host
        self._container = container
        self._firewall = firewall
        self.warn = warn
        self.random_bytes = random_bytes
        self._undo: list[tuple[str, Callable[[], object]]] = []
        self.applied = Applied()

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.rollback()
        self._undo.clear()

    def on_undo(self, what: str, undo: Callable[[], object]) -> None:
        """Notes how to reverse something done outside a plan (a delegated ADD)."""
        self._undo.append((what, undo))

    def rollback(self) -> None:
        """Undoes everything, reporting but not stopping at failures."""
        while self._undo:
            what, undo = self._undo.pop()
            try:
                undo()
            except (CniError, OSError) as error:
                self.warn(f"undoing {what}: {error}")

    def apply(self, plan: Iterable[ops.Operation]) -> Applied:
        """Makes the operations true, in order; CniError when one cannot be.  The answer grows over several calls."""
        for operation in plan:
            if isinstance(operation, ops.Step):
                operation.apply(self)
            else:
                _APPLY[type(operation)](self, operation)
        return self.applied

    def place(self, place: str) -> NamespaceApi:
        """The namespace that an operation's `place` means."""
        return self._host if place == ops.HOST else self._container()

    def _others_on(self, index: int) -> bool:
        """Whether other attachments use the bridge or VLAN gateway with this index."""
        own = 0 if self.applied.host_link is None else self.applied.host_link.index
        gateway, bridge, op = self.applied.gateway, self.applied.bridge, self.applied.gateway_op
        if gateway is not None and gateway.index == index and bridge is not None and op is not None:
            from pycni.plan.vlans import gateway_in_use

            return gateway_in_use(self._host, bridge.index, op, own)
        return any(
            each.master == index and each.index != own and each.group != TRASH_GROUP for each in self._host.links()
        )

    def _ensure_bridge(self, op: ops.EnsureBridge) -> None:
        host = self._host
        link = host.link(op.name)
        if link is None:
            try:
                host.create_bridge(op.name, op.mtu, op.vlan_filtering)
                self.on_undo(f"bridge {op.name}", lambda: self._remove_unused_bridge(op.name))
            except KernelError as error:
                if error.errno != _EEXIST:
                    reason = f'could not add "{op.name}": {errno_text(error.errno)}'
                    raise CniError(f'failed to create bridge "{op.name}": {reason}') from None
            link = host.link(op.name)
        if link is None or link.kind != "bridge":
            raise CniError(f'failed to create bridge "{op.name}": "{op.name}" already exists but is not a bridge')
        if op.promiscuous and not link.flags & IFF_PROMISC:
            host.set_link(link.index, promiscuous=True)
        self._sysctl(ops.Sysctl(ops.HOST, f"net/ipv6/conf/{op.name}/accept_ra", "0"))
        if not link.is_up:
            host.set_link(link.index, up=True)
        self.applied.bridge = link

    def _remove_unused_bridge(self, name: str) -> None:
        link = self._host.link(name)
        if link is not None and not self._others_on(link.index):
            self._host.delete_link(link.index)

    def _create_veth(self, op: ops.CreateVeth) -> None:
        host, container = self._host, self._container()
        host_link, link = self._new_veth(op, host, container)
        self.on_undo(f"veth {host_link.name}", lambda: host.delete_link(host_link.index))
        self.applied.host_link, self.applied.container_link = host_link, link
        if op.alias:
            host.set_link(host_link.index, alias=op.alias, group=0)
        if op.hairpin or op.isolated:
            host.set_port(host_link.index, hairpin=op.hairpin, isolated=op.isolated)
        # CVE-2020-10749: a container must not configure the host by router advertisements
        self._sysctl(ops.Sysctl(ops.HOST, f"net/ipv6/conf/{host_link.name}/accept_ra", "0"))

    def _new_veth(self, op: ops.CreateVeth, host: NamespaceApi, container: NamespaceApi) -> tuple[Link, Link]:
        bridge = self.applied.bridge
        master = bridge.index if op.bridge and bridge is not None else 0
        name = op.host_name
        group = (op.newborn_group or NEWBORN_GROUP) if op.alias else 0
        for attempt in range(_VETH_ATTEMPTS):
            try:
                return host.create_veth(name, op.name, container, mtu=op.mtu, mac=op.mac, master=master, group=group)
            except KernelError as error:
                if error.errno == EXFULL and not attempt:
                    host.delete_group(TRASH_GROUP)  # retired ports count until they are deleted
                    continue
                if error.errno != _EEXIST:
                    raise CniError(f"failed to make veth pair: {error.msg}") from None
                if container.link(op.name) is not None:
                    break
            name = "veth" + self.random_bytes(4).hex()
        raise CniError(f'container veth name ("{op.name}") peer provided ("{name}") already exists')

    def _join_vlans(self, op: ops.JoinVlans) -> None:
        from pycni.plan.vlans import join

        port = self.applied.host_link
        if port is None:
            raise CniError("no bridge port was made for these VLANs")
        join(self._host, port, op.vlans, op.keep_default)

    def _ensure_vlan_gateway(self, op: ops.EnsureVlanGateway) -> None:
        from pycni.plan.vlans import ensure_gateway

        bridge = self.applied.bridge
        if bridge is None or bridge.name != op.bridge:
            raise CniError(f'no bridge "{op.bridge}" was made for vlan gateway "{op.name}"')

        def created() -> None:
            self.on_undo(f"vlan gateway {op.name}", self._remove_vlan_gateway)

        self.applied.gateway_op = op
        self.applied.gateway = ensure_gateway(self._host, bridge, op, self.random_bytes, created)

    def _remove_vlan_gateway(self) -> None:
        op = self.applied.gateway_op
        link = None if op is None else self._host.link(op.name)
        if link is not None and not self._others_on(link.index):
            self._host.delete_link(link.index)

    def _configure(self, op: ops.ConfigureInterface) -> None:
        container = self._container()
        link = self.applied.container_link
        if link is None or link.name != op.name:
            link = container.link(op.name)
        if link is None:
            raise CniError(f'failed to lookup "{op.name}": Link not found')
        if any(each.family == 6 for each in op.addresses):
            self._allow_ipv6(container, op.name)
        index = link.index
        self.on_undo(f"addresses of {op.name}", lambda: _remove_addresses(container, index, op.addresses))
        container.configure(index, op.addresses, op.routes, up=True)
        if op.await_dad:
            self._await_dad(container, index, op.name)

    def _allow_ipv6(self, container: NamespaceApi, name: str) -> None:
        for each in ("lo", name):
            path = f"net/ipv6/conf/{each}/disable_ipv6"
            try:
                if container.read_sysctl(path) == "0":
                    continue
            except OSError as error:
                self.warn(f"could not read {path}: {error.strerror}")
                continue
            self._sysctl(ops.Sysctl(ops.CONTAINER, path, "0", required=True))
        try:
            self._sysctl(ops.Sysctl(ops.CONTAINER, f"net/ipv6/conf/{name}/keep_addr_on_down", "1", required=True))
        except CniError as error:
            raise CniError(f'failed to enable keep_addr_on_down for interface "{name}": {error.msg}') from None

    def _await_dad(self, container: NamespaceApi, index: int, name: str) -> None:
        deadline = time.monotonic() + _DAD_SECONDS
        pause = 0.001
        while True:
            found = [each for each in container.addresses(index) if each.prefix.family == 6]
            for each in found:
                if each.flags & IFA_F_DADFAILED:
                    raise CniError(f"link {name} has address {each.prefix.address} in DADFAILED state")
            if not any(each.flags & IFA_F_TENTATIVE for each in found):
                return
            if time.monotonic() >= deadline:
                break
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        link = container.link_by_index(index)
        if link is not None and link.operstate == OPER_UP:
            raise CniError(f"link {name} still has tentative addresses after {_DAD_SECONDS:.0f} seconds")

    def _ensure_address(self, op: ops.EnsureAddress) -> None:
        host = self._host
        bridge = self.applied.bridge
        link = bridge if bridge is not None and bridge.name == op.device else host.link(op.device)
        if link is None:
            raise CniError(f'failed to lookup "{op.device}": Link not found')
        what = self._gateway_words(index := link.index)
        existing = [each.prefix for each in host.addresses(index) if each.prefix.family == op.address.family]
        if op.address in existing:
            return
        for each in existing:
            if op.address.family == 6 and not each.overlaps(op.address):
                continue
            if not op.force:
                raise CniError(f'{what}"{op.device}" already has an IP address different from {op.address}')
            host.remove_address(index, each)
            self.on_undo(f"address {each}", lambda gone=each: host.add_address(index, gone))  # type: ignore[misc]
        asks = op.address.family == 4 or self._may_be_taken(link)
        try:
            host.add_address(index, op.address, dad=asks)
        except KernelError as error:
            if error.errno == _EEXIST:  # a parallel ADD on the same bridge was quicker
                return
            raise CniError(f'{what}could not add IP address to "{op.device}": {error.msg}') from None
        self.on_undo(f"address {op.address}", lambda: self._remove_gateway(index, op.address))
        # a bridge whose address is not set by hand adopts the lowest one of its ports and changes with them
        link = host.link_by_index(index)
        if link is not None:
            host.set_link(index, mac=link.mac)
        if not asks:
            from pycni.plan.in_force import await_own

            await_own(host, index, op.address.address)

    def _may_be_taken(self, device: Link) -> bool:
        """Whether somebody out there may have the gateway's address: not where all of a bridge's ports lead to
        containers, whose first packets would only wait a second or two for the kernel to be sure."""
        ports = [link.kind for link in self._host.links() if link.master == device.index]
        return device.kind != "bridge" or any(kind != "veth" for kind in ports)

    def _gateway_words(self, index: int) -> str:
        """What the reference puts before an error about this device's address."""
        if self.applied.gateway is not None and self.applied.gateway.index == index:
            return "failed to set vlan interface for bridge with addr: "
        bridge = self.applied.bridge
        return "failed to set bridge addr: " if bridge is not None and bridge.index == index else ""

    def _remove_gateway(self, index: int, address: Prefix) -> None:
        if not self._others_on(index):
            self._host.remove_address(index, address)

    def _enable_forwarding(self, op: ops.EnableForwarding) -> None:
        path = FORWARDING[op.family]
        try:
            if self._host.read_sysctl(path) != "1":
                self._host.write_sysctl(path, "1")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CniError(f"failed to enable forwarding: open /proc/sys/{path}: {reason}") from None

    def _sysctl(self, op: ops.Sysctl) -> None:
        where = self.place(op.place)
        try:
            before = where.replace_sysctl(op.path, op.value)
        except OSError as error:
            if op.required:
                # what is not there cannot be opened, what is not a value cannot be written
                verb = "write" if error.errno in (EINVAL, ERANGE) else "open"
                raise CniError(f"{verb} /proc/sys/{op.path}: {(error.strerror or str(error)).lower()}") from None
            return
        if before is not None and before != op.value:
            old = before
            self.on_undo(f"sysctl {op.path}", lambda: where.write_sysctl(op.path, old))

    def _set_link(self, op: ops.SetLink) -> None:
        where = self.place(op.place)
        link = where.link(op.name)
        if link is None:
            raise CniError(f'failed to get "{op.name}": Link not found')
        before = {
            "mac": link.mac if op.mac is not None else None,
            "mtu": link.mtu if op.mtu is not None else None,
            "promiscuous": bool(link.flags & IFF_PROMISC) if op.promiscuous is not None else None,
            "allmulti": bool(link.flags & IFF_ALLMULTI) if op.allmulti is not None else None,
            "txqlen": link.txqlen if op.txqlen is not None else None,
            "up": link.is_up if op.up is not None else None,
        }
        self.on_undo(f"attributes of {op.name}", lambda: where.set_link(link.index, **before))  # type: ignore[arg-type]
        try:
            where.set_link(link.index, **{each: getattr(op, each) for each in before})
        except KernelError as error:
            if op != ops.SetLink(op.place, op.name, up=True):
                raise
            text = f'failed to set "{op.name}" UP: {errno_text(error.errno)}'
            raise KernelError(text, error.errno, error.details) from None

    def _await_port(self, _op: ops.AwaitPort) -> None:
        link = self.applied.host_link
        deadline = time.monotonic() + _PORT_SECONDS
        pause = 0.0005
        while link is not None:
            link = self._host.link_by_index(link.index)
            if link is not None and link.operstate == OPER_UP:
                self.applied.host_link = link
                return
            if time.monotonic() >= deadline:
                break
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        raise CniError(f"bridge port in error state: {_OPER_STATES[link.operstate] if link is not None else 'gone'}")

    def _install_rules(self, op: ops.InstallRules) -> None:
        self.on_undo(f"{op.kind} rules", lambda: self._firewall.remove(op.owner, op.kind, op.facts))
        self._firewall.install(op.owner, op.kind, op.backend, op.facts)

    def _flush_udp(self, op: ops.FlushUdp) -> None:
        try:
            self._host.flush_udp_conntrack(op.family, op.ports)
        except (KernelError, OSError) as error:
            self.warn(f"flushing conntrack entries of UDP ports {op.ports}: {error}")


def _remove_addresses(container: NamespaceApi, index: int, addresses: tuple[Prefix, ...]) -> None:
    for each in addresses:
        container.remove_address(index, each)


_APPLY: dict[type, Callable[[Transaction, Any], None]] = {
    ops.EnsureBridge: Transaction._ensure_bridge,
    ops.CreateVeth: Transaction._create_veth,
    ops.JoinVlans: Transaction._join_vlans,
    ops.EnsureVlanGateway: Transaction._ensure_vlan_gateway,
    ops.ConfigureInterface: Transaction._configure,
    ops.EnsureAddress: Transaction._ensure_address,
    ops.EnableForwarding: Transaction._enable_forwarding,
    ops.Sysctl: Transaction._sysctl,
    ops.SetLink: Transaction._set_link,
    ops.AwaitPort: Transaction._await_port,
    ops.InstallRules: Transaction._install_rules,
    ops.FlushUdp: Transaction._flush_udp,
}
