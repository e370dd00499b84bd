"""An interface in a container: its sockets, its addresses, and news of both."""

from __future__ import annotations

import os
from _socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    SO_RCVBUF,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_RAW,
    SOL_SOCKET,
    socket,
)
from collections.abc import Callable
from errno import EEXIST
from struct import Struct

from netd.dhcp.frames import CLIENT_PORT, FrameSocket
from netd.loop import Loop
from pycni.kernel.model import IFA_F_DADFAILED, IFA_F_TENTATIVE, Link, Route
from pycni.kernel.namespace import Namespace
from pycni.names import sandbox_of
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, KernelError

CLIENT6_PORT, SERVER6_PORT = 546, 547
_ALL_SERVERS = "ff02::1:2"
_RTMGRP_LINK, _RTMGRP_IPV6_IFADDR = 0x1, 0x100
_RTM_DELLINK, _RTM_NEWADDR = 17, 20
_HEAD = Struct("=IHHII")
_INDEX = Struct("=i")
_SO_BINDTODEVICE = 25
_MIN_MTU, _MIN_MTU6 = 68, 1280
"""RFC 2132 5.1, RFC 8200 section 5."""


class Port:
    """CniError when the namespace cannot be opened or has no such interface.

    `gone` is called when the interface is no more in the namespace, `changed`, if given, when its IPv6 addresses
    changed.  The descriptors keep the namespace alive: its owner has to notice when its path has gone, and close the
    port."""

    def __init__(
        self, loop: Loop, path: str, name: str, gone: Callable[[], None], changed: Callable[[], None] | None
    ) -> None:
        self._loop = loop
        self._gone = gone
        self._changed = changed
        self._namespace = Namespace.open(path)
        self._frames: FrameSocket | None = None
        self._sink: socket | None = None
        self._udp: socket | None = None
        self._news: socket | None = None
        try:
            self.identity = self._namespace.identity
            self.sandbox = sandbox_of(self._namespace)
            with self._namespace.entered():
                self._news = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
            # before the look at what there is, so that no news falls in between
            self._news.bind((0, _RTMGRP_LINK if changed is None else _RTMGRP_LINK | _RTMGRP_IPV6_IFADDR))
            link = self._namespace.link(name)
            if link is None:
                raise CniError(f'error looking up "{name}": Link not found')
            self.link: Link = link
        except OSError as error:
            self.close()
            raise CniError(f'watching "{name}" in {path}: {(error.strerror or "").lower()}') from None
        except BaseException:
            self.close()
            raise
        loop.add(self._news.fileno(), self._hear)

    def close(self) -> None:
        self.close_sockets()
        if self._news is not None:
            self._loop.remove(self._news.fileno())
            self._news.close()
            self._news = None
        self._namespace.close()

    # --- packets -----------------------------------------------------------------------------------------------------

    def frames(self, ready: Callable[[], None]) -> FrameSocket:
        """The socket for DHCPv4; `ready` is called when something came in.  OSError."""
        if self._frames is None:
            name = self._name().encode()
            with self._namespace.entered():
                self._frames = FrameSocket(name.decode())
                self._sink = _sink(name)
            self._loop.add(self._frames.fileno(), ready)
        return self._frames

    def close_frames(self) -> None:
        if self._frames is not None:
            self._loop.remove(self._frames.fileno())
            self._frames.close()
            self._frames = None
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def datagrams(self, ready: Callable[[], None]) -> socket:
        """The socket for DHCPv6.  OSError."""
        if self._udp is None:
            name = self._name().encode()
            with self._namespace.entered():
                udp = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
            try:
                udp.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                udp.setsockopt(SOL_SOCKET, _SO_BINDTODEVICE, name)
                udp.bind(("::", CLIENT6_PORT))
            except BaseException:
                udp.close()
                raise
            self._udp = udp
            self._loop.add(udp.fileno(), ready)
        return self._udp

    def servers6(self) -> tuple[str, int, int, int]:
        """All DHCPv6 servers on this link, as a socket address."""
        return _ALL_SERVERS, SERVER6_PORT, 0, self.link.index

    def close_datagrams(self) -> None:
        if self._udp is not None:
            self._loop.remove(self._udp.fileno())
            self._udp.close()
            self._udp = None

    def close_sockets(self) -> None:
        self.close_frames()
        self.close_datagrams()

    # --- the interface -----------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """KernelError."""
        if not self.link.is_up:
            self._namespace.set_link(self.link.index, up=True)

    def allow_ipv6(self) -> None:
        """IPv6 is not disabled on the interface; KernelError (contract 2.0.3 step 3)."""
        for name in ("lo", self._name()):
            path = f"net/ipv6/conf/{name}/disable_ipv6"
            try:
                self._namespace.replace_sysctl(path, "0")
            except OSError as error:
                raise KernelError(f"writing {path}: {(error.strerror or '').lower()}", error.errno or 0) from None

    def has_link_local(self) -> bool:
        """Whether there is an IPv6 link-local address that duplicate address detection is done with."""
        unfit = IFA_F_TENTATIVE | IFA_F_DADFAILED
        found = self._namespace.addresses(self.link.index)
        return any(
            each.prefix.family == 6 and each.prefix.address.is_link_local and not each.flags & unfit for each in found
        )

    def is_duplicate(self, address: Address) -> bool:
        """Whether duplicate address detection found another owner of an address of the interface."""
        found = self._namespace.addresses(self.link.index)
        return any(each.prefix.address == address and each.flags & IFA_F_DADFAILED for each in found)

    def lower_mtu(self, mtu: int, family: str) -> None:
        """The interface's MTU becomes this one if it was larger and both protocols can live with it."""
        least = _MIN_MTU if family == "ipv4" else _MIN_MTU6
        current = self._namespace.link_by_index(self.link.index)
        if current is not None and least <= mtu < current.mtu:
            self._namespace.set_link(self.link.index, mtu=mtu)

    def take(self, address: Address) -> bool:
        """Removes an address; whether it was there."""
        for each in self._namespace.addresses(self.link.index):
            if each.prefix.address == address:
                self._namespace.remove_address(self.link.index, each.prefix)
                return True
        return False

    def give(self, prefix: Prefix, routes: tuple[Route, ...]) -> None:
        """Adds an address and routes; one that is there already is no failure."""
        try:
            self._namespace.configure(self.link.index, (prefix,), routes)
        except KernelError as error:
            if error.errno != EEXIST:
                raise

    def _name(self) -> str:
        """It may have been renamed."""
        link = self._namespace.link_by_index(self.link.index)
        return self.link.name if link is None else link.name

    # --- news --------------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        gone = changed = False
        while self._news is not None:
            try:
                data = self._news.recv(1 << 16)
            except BlockingIOError:
                break
            except OSError:  # more news than the kernel kept for us
                gone = self._namespace.link_by_index(self.link.index) is None
                changed = True
                continue
            for kind, index in _news(data):
                if index == self.link.index:
                    gone = gone or kind == _RTM_DELLINK
                    changed = changed or kind == _RTM_NEWADDR
        if gone:
            self._gone()
        elif changed and self._changed is not None:
            self._changed()


def _news(data: bytes) -> list[tuple[int, int]]:
    """Kinds of rtnetlink messages and the indexes of the devices they are about."""
    found, at = [], 0
    while at + _HEAD.size + 8 <= len(data):
        length, kind, *_ = _HEAD.unpack_from(data, at)
        found.append((kind, _INDEX.unpack_from(data, at + _HEAD.size + 4)[0]))
        at += max(length + 3 & ~3, _HEAD.size)
    return found


def _sink(device: bytes) -> socket | None:
    """Takes what the packet socket reads too: without a socket at the port, the kernel would answer a server's unicast
    messages with ICMP errors.  Somebody else at that port does as well."""
    sink = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
    try:
        sink.setsockopt(SOL_SOCKET, _SO_BINDTODEVICE, device)
        sink.setsockopt(SOL_SOCKET, SO_RCVBUF, 0)
        sink.bind(("", CLIENT_PORT))
    except OSError:
        sink.close()
        return None
    return sink


def exists(path: str, identity: tuple[int, int]) -> bool:
    """Whether the path still leads to the namespace with this identity."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == identity
