"""Interfaces of the container as ports of a vrf, as operations (contract 2.17).

A port goes down and up again when it joins a vrf and when it leaves: the kernel drops its routes, and its global IPv6
addresses unless `keep_addr_on_down` says otherwise.
"""

from __future__ import annotations

import time
from errno import EEXIST

from pycni.kernel import pseudo, route_copies
from pycni.kernel.addresses import new_address
from pycni.kernel.failure import errno_text
from pycni.kernel.model import IFA_F_DADFAILED, IFA_F_TENTATIVE, TABLE_MAIN, InterfaceAddress
from pycni.kernel.netlink import Refused, attribute_u32
from pycni.plan import ops
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link
    from pycni.kernel.route_copies import Copy
    from pycni.plan.transaction import Transaction

_IFA_FLAGS = 8
_GIVEN_FLAGS = 0x02 | 0x10 | 0x100 | 0x200 | 0x400
"""Of an address' flags those that whoever adds it chooses: no duplicate detection, home address, temporary addresses,
no route to its subnet, multicast groups."""

_PROTOCOL_KERNEL = 2
_HOST_ROUTE_SECONDS = 2.55
"""How long the reference waits: nine times, from 10 ms on doubling."""


class EnsureVrf(ops.Step):
    """The container has a vrf of this name with this routing table; 0: it keeps the one it has, a new one gets the
    lowest that no vrf has.  CniError in the reference's words."""

    name: str
    table: int = 0

    def apply(self, transaction: Transaction) -> None:
        container = transaction.place(ops.CONTAINER)
        tables = pseudo.vrf_tables(container)
        link = container.link(self.name)
        if link is None:
            _create(container, self.name, self.table or lowest_free(tables.values()))
            transaction.on_undo(f"vrf {self.name}", lambda: remove_unused(container, self.name))
            return
        if link.index not in tables:
            raise CniError(f"Netlink {self.name} is not a VRF")
        if self.table not in (0, tables[link.index]):
            raise CniError(f"VRF {self.name} already exist with different routing table {tables[link.index]}")


def lowest_free(tables: Iterable[int]) -> int:
    """The lowest table from 1 on that is none of these."""
    taken = frozenset(tables)
    return next(each for each in range(1, len(taken) + 2) if each not in taken)


def _create(container: NamespaceApi, name: str, table: int) -> None:
    try:
        container.rtnetlink().request(pseudo.new_vrf(name, table))
    except Refused as error:
        raise CniError(f"could not add VRF {name}: {error.msg}") from None


def remove_unused(container: NamespaceApi, name: str) -> None:
    """The vrf of this name is absent unless it has ports; a device of another kind stays."""
    link = container.link(name)
    if (
        link is not None
        and link.kind == pseudo.VRF
        and not any(each.master == link.index for each in container.links())
    ):
        container.delete_link(link.index)


class JoinVrf(ops.Step):
    """An interface of the container is a port of a vrf that exists, and keeps its IPv6 addresses and, in the vrf's
    table, its routes.  CniError in the reference's words when it has a master already."""

    interface: str
    vrf: str

    def apply(self, transaction: Transaction) -> None:
        container = transaction.place(ops.CONTAINER)
        vrf, link = container.link(self.vrf), container.link(self.interface)
        if link is None or vrf is None:
            raise CniError(f"could not get link by name {self.interface if link is None else self.vrf}")
        if link.master:
            master = container.link_by_index(link.master)
            raise CniError(f"interface {link.name} has already a master set: {'' if master is None else master.name}")
        table = pseudo.vrf_tables(container)[vrf.index]
        addresses = _global6(container, link.index)
        routes = _own_routes(container, link.index)
        try:
            container.set_link(link.index, master=vrf.index)
        except KernelError as error:
            reason = errno_text(error.errno)
            raise CniError(f"could not set vrf {vrf.name} as master of {link.name}: {reason}") from None
        transaction.on_undo(f"vrf of {link.name}", lambda: _leave(container, link, addresses, routes))
        _await(container, link, table, _restore_addresses(container, link, addresses))
        _restore_routes(container, routes, table)


def _leave(container: NamespaceApi, link: Link, addresses: Iterable[InterfaceAddress], routes: Iterable[Copy]) -> None:
    container.set_link(link.index, master=0)
    _restore_addresses(container, link, addresses)
    _restore_routes(container, routes, TABLE_MAIN)


def _own_routes(container: NamespaceApi, index: int) -> list[Copy]:
    """The main table's routes through the interface that the kernel does not make by itself for its IPv4 addresses;
    those to neighbours first, which lead to the others' gateways."""
    found = route_copies.copies(container, index)
    kept = [each for each in found if each.route.protocol != _PROTOCOL_KERNEL or not each.route.scope]
    return sorted(kept, key=lambda copy: copy.route.gateway is not None)


def _global6(container: NamespaceApi, index: int) -> list[InterfaceAddress]:
    return [each for each in container.addresses(index) if each.prefix.family == 6 and each.scope == 0]


def _restore_addresses(
    container: NamespaceApi, link: Link, addresses: Iterable[InterfaceAddress]
) -> list[InterfaceAddress]:
    """Those that had gone, and are there again."""
    present = {each.prefix for each in _global6(container, link.index)}
    missing = [each for each in addresses if each.prefix not in present]
    for each in missing:
        kind, flags, body = new_address(link.index, each.prefix)
        body += attribute_u32(_IFA_FLAGS, each.flags & _GIVEN_FLAGS)
        try:
            container.rtnetlink().request((kind, flags, body))
        except Refused as error:
            if error.errno != EEXIST:
                raise CniError(f"could not restore address {each.prefix} to {link.name}: {error.msg}") from None
    return missing


def _await(container: NamespaceApi, link: Link, table: int, addresses: list[InterfaceAddress]) -> None:
    """The kernel makes an address' own route, without which no packets to it arrive, when it has found no duplicate."""
    wanted = {each.prefix for each in addresses}
    deadline = time.monotonic() + _HOST_ROUTE_SECONDS
    pause = 0.001
    while wanted:
        found = [each for each in _global6(container, link.index) if each.prefix in wanted]
        for each in found:
            if each.flags & IFA_F_DADFAILED:
                raise CniError(f"link {link.name} has address {each.prefix.address} in DADFAILED state")
        waiting = [each for each in found if each.flags & IFA_F_TENTATIVE]
        if not waiting:
            return
        if time.monotonic() >= deadline:
            what = f"failed getting local/host addresses for {link.name} in table {table}"
            raise CniError(f"{what} with dst {waiting[0].prefix}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _restore_routes(container: NamespaceApi, routes: Iterable[Copy], table: int) -> None:
    """All that can be; CniError with the first that cannot."""
    failure: CniError | None = None
    for each in routes:
        try:
            container.rtnetlink().request(route_copies.put(each, table))
        except Refused as error:
            failure = failure or CniError(f"could not add route '{each.route.destination}': {error.msg}")
    if failure is not None:
        raise failure
