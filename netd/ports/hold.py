"""Host ports held by sockets, so that no other program gets them.

A TCP socket is bound first and listens only once the firewall leads the port to the container: until then connections
are refused, and none is ever accepted here that belongs there (contract docker 3.4, S18).  A UDP socket drops all it
gets until then, by a filter that the kernel evaluates.  An SCTP socket never listens, for no proxy takes
what comes: whom the firewall does not lead on is refused at once.  The kernel may lack SCTP: then nobody else can have
the port.
"""

from __future__ import annotations

import ctypes
import resource
import socket
import struct
from collections.abc import Iterable
from errno import EMFILE, EPROTONOSUPPORT, ESOCKTNOSUPPORT

from netd.ports import holders
from netd.ports.allocator import Claim
from netd.ports.errors import PortInUse
from pycni.kernel.failure import errno_text

BACKLOG = 1024

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_IP_PKTINFO = 8
_BPF_RETURN_CONSTANT = 0x06

_DROP_ALL = ctypes.create_string_buffer(struct.pack("@HBBI", _BPF_RETURN_CONSTANT, 0, 0, 0), 8)
_DROP_PROGRAM = struct.pack("@HP", 1, ctypes.addressof(_DROP_ALL))

_KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_NO_SUCH_PROTOCOL = (EPROTONOSUPPORT, ESOCKTNOSUPPORT)


class Held:
    """One host port.  `socket` is None where the kernel has no such protocol."""

    __slots__ = ("claim", "socket")

    def __init__(self, claim: Claim, sock: socket.socket | None) -> None:
        self.claim = claim
        self.socket = sock

    def open(self) -> None:
        """From now on it takes what comes; PortInUse when somebody else began to listen meanwhile."""
        if self.socket is None or self.claim.protocol == "sctp":
            return
        if self.claim.protocol == "udp":
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            return
        try:
            self.socket.listen(BACKLOG)
        except OSError as error:
            raise _refused(self.claim, error) from None

    def shut(self) -> None:
        """Takes nothing any more, and still holds the port."""
        if self.socket is None or self.claim.protocol == "sctp":
            return
        if self.claim.protocol == "udp":
            _drop_all(self.socket)
        else:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it was not listening

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()


def hold(claim: Claim) -> Held:
    """In the namespace of the calling thread; PortInUse naming the program that has the port, or what the host says."""
    try:
        return Held(claim, _bound(claim))
    except OSError as error:
        if error.errno == EMFILE and _allow_more_files():
            return hold(claim)
        if error.errno in _NO_SUCH_PROTOCOL and claim.protocol == "sctp":
            return Held(claim, None)
        raise _refused(claim, error, holders.program(claim.protocol, claim.address, claim.port)) from None


def _refused(claim: Claim, error: OSError, holder: str = "") -> PortInUse:
    number = error.errno or 0
    who = f" by {holder}" if holder else ""
    return PortInUse(f"failed to bind host port {claim}: {errno_text(number)}{who}", number)


def hold_all(claims: Iterable[Claim]) -> list[Held]:
    """Each of them; PortInUse, and none."""
    held: list[Held] = []
    try:
        for claim in claims:
            held.append(hold(claim))
    except PortInUse:
        for each in held:
            each.close()
        raise
    return held


def listens_on_ipv6() -> bool:
    """Whether the host can have IPv6 sockets at all."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError as error:
        if error.errno == EMFILE and _allow_more_files():
            return listens_on_ipv6()
        return False
    return True


def _bound(claim: Claim) -> socket.socket:
    family = socket.AF_INET if claim.address.family == 4 else socket.AF_INET6
    kind, protocol = _KINDS[claim.protocol]
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if claim.protocol == "udp":
            _prepare_datagrams(sock, family)
        elif claim.protocol == "tcp":
            # connections of an earlier holder that are still in TIME_WAIT are not in the way
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((str(claim.address), claim.port))
    except BaseException:
        sock.close()
        raise
    return sock


def _prepare_datagrams(sock: socket.socket, family: int) -> None:
    """An answer must come from the address that the question was sent to (S21)."""
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    _drop_all(sock)


def _drop_all(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _DROP_PROGRAM)


def _allow_more_files() -> bool:
    """A thousand published ports are two thousand sockets; whether more are allowed now than before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= hard:
        return False
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return True
