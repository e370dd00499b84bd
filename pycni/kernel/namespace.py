"""A network namespace and what can be asked and changed in it; the real one.  `pycni.kernel.memory` has the fake.

The sockets are opened inside the namespace on first use, then stay; the thread is inside only for that, and for files
below /proc/sys.  One thread at a time uses an object.  Failures of the kernel are KernelError; OSError when the
namespace cannot be entered for such a file or for nfnetlink.
"""

from __future__ import annotations

import os
from errno import EACCES, EADDRNOTAVAIL, EHOSTUNREACH, EINVAL, ENETUNREACH, ENODEV, ENOENT

from pycni.kernel import addresses as _addresses
from pycni.kernel import links as _links
from pycni.kernel import netns as _netns
from pycni.kernel import routes as _routes
from pycni.kernel import sysctl_files as _sysctls
from pycni.kernel.failure import errno_text
from pycni.kernel.model import TABLE_MAIN, Link
from pycni.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket, Refused
from pycni.spec.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import InterfaceAddress, PortVlan, Route
    from pycni.kernel.netlink import Message, Reply
    from pycni.kernel.virtual_links import VirtualLinks
    from pycni.spec.address import Address, Prefix

TRASH_GROUP = 0x70796E21
"""Devices of this group ("pyn!" in ASCII) are retired: out of use, and anyone may delete them."""

NEWBORN_GROUP = 0x70796E62
"""Devices of this group ("pynb" in ASCII) have not been told yet whose they are: the kernel takes no alias when it
creates one.  Whoever finds one long after has found what a killed ADD left."""


class Namespace:
    """The namespace behind an open descriptor `fd`; with `owned` closing the object closes the descriptor too.
    `identity` is for who knows it already."""

    __slots__ = ("_netfilter", "_owned", "_route", "fd", "identity")

    def __init__(self, fd: int, owned: bool = False, identity: tuple[int, int] | None = None) -> None:
        self.fd = fd
        self._owned = owned
        self._route: NetlinkSocket | None = None
        self._netfilter: NetlinkSocket | None = None
        self.identity = identity or _netns.identity(fd)
        """(st_dev, st_ino): equal exactly for the same namespace."""

    @classmethod
    def open(cls, path: str) -> Self:
        """The namespace at `path`; errors as of `pycni.kernel.netns.open_netns`."""
        return cls(_netns.open_netns(path), owned=True)

    @classmethod
    def current(cls) -> Self:
        """The namespace the calling thread is in."""
        return cls(_netns.open_current(), owned=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the sockets and an owned descriptor; again is harmless."""
        for socket in (self._route, self._netfilter):
            if socket is not None:
                socket.close()
        self._route = self._netfilter = None
        if self._owned:
            self._owned = False
            os.close(self.fd)

    def entered(self) -> _netns.Inside:
        """`with namespace.entered():` runs the block inside, in the current thread.  Start nothing in there."""
        return _netns.Inside(self.fd)

    def netfilter(self) -> NetlinkSocket:
        """The namespace's nfnetlink socket.  It stays open: closing one waits for an RCU grace period, 7-20 ms."""
        if self._netfilter is None:
            with self.entered():
                self._netfilter = NetlinkSocket(NETLINK_NETFILTER)
        return self._netfilter

    def rtnetlink(self) -> NetlinkSocket:
        """The namespace's rtnetlink socket; KernelError when it cannot be opened, as by others than root."""
        if self._route is None:
            try:
                with self.entered():
                    self._route = NetlinkSocket(NETLINK_ROUTE)
            except OSError as error:
                number = error.errno or EINVAL
                text = f"failed to open a netlink socket in the network namespace: {errno_text(number)}"
                raise KernelError(text, number) from None
        return self._route

    # --- devices ---------------------------------------------------------------------------------------------------

    def link(self, name: str) -> Link | None:
        """The device of this name, None when there is none."""
        if not 0 < len(name.encode()) <= _links.NAME_LIMIT:
            return None
        return self._one_link(_links.get_link(name))

    def link_by_index(self, index: int) -> Link | None:
        return self._one_link(_links.get_link_by_index(index)) if index > 0 else None

    def links(self) -> list[Link]:
        """All devices, in the kernel's order (by index)."""
        replies = self._dump("list devices", _links.get_links())
        return [_links.parse_link(payload) for kind, payload in replies if kind == _links.RTM_NEWLINK]

    def create_bridge(self, name: str, mtu: int = 0, vlan_filtering: bool = False) -> Link:
        """A new bridge, down; mtu 0 is the kernel's default.  KernelError with EEXIST when the name is taken."""
        what = f'create bridge "{name}"'
        return self._created(name, self._request(what, _links.new_bridge(name, mtu, vlan_filtering)), 0)

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
        """A veth pair in one request: `host_name` here, up, in `group` and a port of the bridge with index `master`;
        its peer `name` in `container`, down, with hardware address `mac` when given.

        KernelError with the bare text of its errno, for the caller to put into its own words; EEXIST when either
        name is taken.
        """
        message = _links.new_veth(host_name, name, container.fd, mtu, mac, master, group)
        host_link = self._created(host_name, self.rtnetlink().request(message), master)
        link = container.link(name)
        if link is None:
            raise KernelError(f'veth "{name}" vanished from its namespace', ENODEV)
        return host_link, link

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
        """Changes a device in one request; None leaves an attribute as it is, master 0 takes it out of its bridge."""
        message = _links.set_link(index, up, mac, mtu, promiscuous, allmulti, txqlen, name, master, group, alias)
        self._request_device("change device", index, message)

    def set_port(self, index: int, hairpin: bool, isolated: bool) -> None:
        """Sets flags of a bridge port; KernelError when the device is no port of a bridge."""
        self._request_device("change bridge port", index, _links.set_port(index, hairpin, isolated))

    def filters_vlans(self, index: int) -> bool | None:
        """Whether the bridge with this index filters VLANs; None when there is none or the kernel cannot."""
        from pycni.kernel.port_vlans import parse_filtering

        try:
            return parse_filtering(self.rtnetlink().request(_links.get_link_by_index(index))[0][1])
        except Refused as error:
            raise _named(f"look up device {self._name(index)}", error) from None

    def port_vlans(self, index: int) -> list[PortVlan]:
        """The VLANs of a bridge port, by number; none when it is no port."""
        from pycni.kernel.port_vlans import get_port_vlans, parse_port_vlans

        replies = self._dump("list VLANs of bridge ports", get_port_vlans())
        found = [parse_port_vlans(payload) for kind, payload in replies if kind == _links.RTM_NEWLINK]
        return [vlan for port, vlans in found if port == index for vlan in vlans]

    def add_port_vlans(self, index: int, vlans: Sequence[PortVlan]) -> None:
        """Puts a bridge port into VLANs, in this order: a later entry of a number replaces an earlier one.  KernelError
        with the bare text of its errno, for the caller to put into its own words."""
        from pycni.kernel.port_vlans import add_port_vlans

        self.rtnetlink().request(add_port_vlans(index, vlans))

    def remove_port_vlans(self, index: int, vlans: Sequence[PortVlan]) -> None:
        """Takes a bridge port out of VLANs; one that it is not in is no failure.  KernelError as of
        `add_port_vlans`."""
        from pycni.kernel.port_vlans import remove_port_vlans

        self.rtnetlink().request(remove_port_vlans(index, vlans))

    def virtual(self) -> VirtualLinks:
        """Devices on top of others, dummies and taps."""
        from pycni.kernel.virtual_links import VirtualLinks

        return VirtualLinks(self)

    def delete_link(self, index: int) -> None:
        """Deletes a device, and a veth's other end with it; one that is gone already is no failure."""
        try:
            self.rtnetlink().request(_links.delete_link(index))
        except Refused as error:
            if error.errno != ENODEV:
                raise _named(f"delete device {self._name(index)}", error) from None

    def delete_group(self, group: int) -> None:
        """Deletes all devices of a group at once; none is no failure."""
        try:
            self.rtnetlink().request(_links.delete_group(group))
        except Refused as error:
            if error.errno != ENODEV:
                raise _named(f"delete devices of group {group}", error) from None

    def retire(self, container: NamespaceApi, link: Link) -> bool:
        """Puts a veth pair out of use without waiting for its deletion; `link` is the end in `container`.

        The end here goes down and into TRASH_GROUP, for `delete_group` to delete later; the container's end goes down
        and gives up its name.  A bridge keeps its port, which forwards nothing: to take it away means an RCU wait of
        20 ms where the kernel can filter VLANs.  False, and nothing done, when the other end is not here.
        The end here goes first: after a crash in between a reaper still finds the pair.
        """
        host_link = self.link_by_index(link.link)
        if host_link is None or host_link.kind != "veth" or host_link.link != link.index:
            return False
        if host_link.link_netns != self._netns_id(container):
            # an unrelated pair with the same two indexes
            return False
        self.set_link(host_link.index, up=False, group=TRASH_GROUP)
        container.discard_name(link.index)
        return True

    def discard_name(self, index: int) -> None:
        """Takes a device down and gives it a random name; one that is gone already is no failure."""
        name = "pyn" + os.urandom(4).hex()
        try:
            self.rtnetlink().batch((_links.set_link(index, up=False), _links.set_link(index, name=name)))
        except Refused as error:
            if error.errno != ENODEV:
                raise _named(f"rename device {self._name(index)}", error) from None

    # --- addresses and routes --------------------------------------------------------------------------------------

    def addresses(self, index: int) -> list[InterfaceAddress]:
        """The addresses of a device, IPv4 first; none when there is no such device."""
        try:
            replies = self.rtnetlink().dump(_addresses.get_addresses(index))
        except Refused as error:
            if error.errno == ENODEV:
                return []
            raise _named(f"list addresses of device {self._name(index)}", error) from None
        found = [_addresses.parse_address(payload) for kind, payload in replies if kind == _addresses.RTM_NEWADDR]
        return [address for device, address in found if device == index]

    def add_address(self, index: int, prefix: Prefix, dad: bool = True) -> None:
        """KernelError with EEXIST when the device has this address.  `dad` False: nobody is asked whether he has it."""
        self.configure(index, (prefix,), (), up=False, dad=dad)

    def remove_address(self, index: int, prefix: Prefix) -> None:
        """Removes an address; one that is gone already, or its device, is no failure."""
        try:
            self.rtnetlink().request(_addresses.delete_address(index, prefix))
        except Refused as error:
            if error.errno not in (EADDRNOTAVAIL, ENODEV):
                raise _named(f"remove IP addr {prefix} from {self._name(index)}", error) from None

    def configure(
        self, index: int, addresses: Sequence[Prefix], routes: Sequence[Route], up: bool = True, dad: bool = True
    ) -> None:
        """Adds addresses, brings the device up, adds routes through it, in one send (contract 2.0.3 steps 4 to 7).

        `up` False leaves the device's state as it is.  KernelError names the first address or route that was
        refused; what came after it was tried all the same.
        """
        own = [route.replace(device=index) for route in routes]
        messages = [_addresses.new_address(index, prefix, dad) for prefix in addresses]
        if up:
            messages.append(_links.set_link(index, up=True))
        for route in own:
            try:
                messages.append(_routes.new_route(route))
            except ValueError as error:
                raise _named(f"add route '{_routes.route_text(route, self._name(index))}'", error) from None
        if not messages:
            return
        try:
            self.rtnetlink().batch(messages)
        except Refused as error:
            subject = _subject(self._name(index), addresses, own, error.position, up)
            raise _named(subject, error) from None

    def routes(self, family: int, table: int | None = TABLE_MAIN) -> list[Route]:
        """The unicast routes of family 4 or 6, of one table or, with None, of all."""
        try:
            replies = self.rtnetlink().dump(_routes.get_routes(family, table))
        except Refused as error:
            if error.errno == ENOENT:  # a table nobody has put a route into
                return []
            raise _named("list routes", error) from None
        found = [
            route
            for kind, payload in replies
            if kind == _routes.RTM_NEWROUTE
            for route in _routes.parse_routes(payload)
        ]
        return found if table is None else [route for route in found if route.table == table]

    def route_to(self, address: Address) -> Route | None:
        """What a packet to this address would take, as a route to just it; None when there is no way."""
        try:
            replies = self.rtnetlink().request(_routes.get_route_to(address))
        except Refused as error:
            if error.errno in (ENETUNREACH, EHOSTUNREACH, EACCES):
                return None
            raise _named(f"look up the route to {address}", error) from None
        return _routes.parse_routes(replies[0][1], lookup=True)[0]

    # --- the rest --------------------------------------------------------------------------------------------------

    def read_sysctl(self, path: str) -> str:
        """The content of /proc/sys/`path` without its final newline; OSError of the file access passes through."""
        with self.entered():
            return _sysctls.read(path)

    def write_sysctl(self, path: str, value: str) -> None:
        """Writes /proc/sys/`path` in one write; OSError of the file access passes through."""
        with self.entered():
            _sysctls.write(path, value)

    def replace_sysctl(self, path: str, value: str) -> str | None:
        """Makes /proc/sys/`path` hold `value`; what it held before, None for one that can only be written, such as
        net/ipv4/route/flush.  OSError of the write passes through."""
        with self.entered():
            return _sysctls.replace(path, value)

    def flush_udp_conntrack(self, family: int, ports: Sequence[int]) -> None:
        """Deletes the connection tracking entries of UDP flows sent to these ports (contract 4.6)."""
        from pycni.kernel.conntrack import flush_udp

        try:
            flush_udp(self.netfilter(), family, ports)
        except Refused as error:
            raise _named("delete connection tracking entries", error) from None

    def _one_link(self, message: Message) -> Link | None:
        try:
            return _links.parse_link(self.rtnetlink().request(message)[0][1])
        except Refused as error:
            if error.errno == ENODEV:
                return None
            raise _named("look up a device", error) from None

    def _created(self, name: str, replies: list[Reply], master: int) -> Link:
        for kind, payload in reversed(replies):
            if kind == _links.RTM_NEWLINK:
                link = _links.parse_link(payload)
                if link.name == name:
                    # the echo is sent before the device joins its bridge
                    return link.replace(master=master)
        found = self.link(name)
        if found is None:
            raise KernelError(f'device "{name}" vanished after its creation', ENODEV)
        return found

    def _netns_id(self, other: NamespaceApi) -> int | None:
        if other.identity == self.identity:
            return None
        replies = self._request("look up a namespace", _links.get_netns_id(other.fd))
        return _links.parse_netns_id(replies[0][1])

    def _name(self, index: int) -> str:
        """A device's name for an error text."""
        link = self.link_by_index(index)
        return f"with index {index}" if link is None else link.name

    def _request(self, what: str, message: Message) -> list[Reply]:
        try:
            return self.rtnetlink().request(message)
        except Refused as error:
            raise _named(what, error) from None

    def _request_device(self, what: str, index: int, message: Message) -> None:
        try:
            self.rtnetlink().request(message)
        except Refused as error:
            raise _named(f"{what} {self._name(index)}", error) from None

    def _dump(self, what: str, message: Message) -> list[Reply]:
        try:
            return self.rtnetlink().dump(message)
        except Refused as error:
            raise _named(what, error) from None


def _named(what: str, error: Refused | ValueError) -> KernelError:
    if isinstance(error, Refused):
        return KernelError(f"failed to {what}: {error.msg}", error.errno, error.details)
    return KernelError(f"failed to {what}: {error}", EINVAL)


def _subject(device: str, addresses: Sequence[Prefix], routes: Sequence[Route], position: int, up: bool) -> str:
    """What the message at `position` of `configure` was to do."""
    if position < len(addresses):
        return f'add IP addr {addresses[position]} to "{device}"'
    position -= len(addresses)
    if up and position == 0:
        return f'set "{device}" UP'
    return f"add route '{_routes.route_text(routes[position - up], device)}'"
