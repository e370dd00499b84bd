"""Cheap questions to nf_tables over one long-lived socket: its generation, and whether a table or chain exists.

Closing an nfnetlink socket may wait 7-20 ms for freed rules, so the socket is opened once and kept.
"""

from __future__ import annotations

import sys
from errno import ENOENT

from pycni.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, Refused, attribute_text, attributes, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message, Reply

SUBSYSTEM = 10 << 8
"""NFNL_SUBSYS_NFTABLES in a message kind."""

INET = 1
FAMILY = {4: 2, 6: 10}
"""NFPROTO_* of an address family."""

_GETTABLE = SUBSYSTEM | 1
_GETCHAIN = SUBSYSTEM | 4
_GETGEN = SUBSYSTEM | 16
_HEADER_SIZE = 4
_SOL_SOCKET = 1
_SO_NETNS_COOKIE = 71


def header(family: int, resource: int = 0) -> bytes:
    """struct nfgenmsg."""
    return bytes((family, 0)) + resource.to_bytes(2, "big")


_ALL_TABLES = (_GETTABLE, 0, header(0))


class NfTables:
    """nf_tables of one namespace.  One thread at a time uses it.

    `known` is the generation for which somebody here remembers what the tables hold; commits of our own move it."""

    def __init__(self, namespace: NamespaceApi) -> None:
        self._namespace = namespace
        self._socket: NetlinkSocket | None = None
        self.known = -1

    @property
    def socket(self) -> NetlinkSocket:
        """Opened at first use; OSError when the kernel has no nfnetlink."""
        if self._socket is None:
            with self._namespace.entered():
                self._socket = NetlinkSocket(NETLINK_NETFILTER)
        return self._socket

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def commit(self, messages: Sequence[Message]) -> None:
        """Send a whole transaction, begin and end included; Refused, and nothing of it holds, when one is refused."""
        before = self.generation() if self.known != -1 else -1
        self.socket.batch(messages, len(messages) - 2)
        if before != -1 and before == self.known:
            self.known = before + 1

    def request(self, message: Message) -> list[Reply]:
        return self.socket.request(message)

    def dump(self, message: Message) -> list[Reply]:
        return self.socket.dump(message)

    def generation(self) -> int:
        """Counts the commits of this namespace; Refused when the kernel has no nf_tables."""
        (_, payload), *_ = self.socket.request((_GETGEN, 0, header(0)))
        return int.from_bytes(attributes(payload, _HEADER_SIZE)[1], "big")

    def cookie(self) -> int:
        """The namespace's number, which no other gets until the next boot; OSError before Linux 5.14."""
        return int.from_bytes(self.socket.option(_SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)

    def tables(self) -> set[tuple[int, str]]:
        """(NFPROTO_* number, name) of every table."""
        return {(payload[0], text(attributes(payload, _HEADER_SIZE)[1])) for _, payload in self.dump(_ALL_TABLES)}

    def table_exists(self, family: int, table: str) -> bool:
        return self._exists(_GETTABLE, header(family) + attribute_text(1, table))

    def chain(self, family: int, table: str, chain: str) -> dict[int, bytes] | None:
        """The chain's attributes (NFTA_CHAIN_*), None when it or its table is absent."""
        try:
            request = header(family) + attribute_text(1, table) + attribute_text(3, chain)
            (_, payload), *_ = self.socket.request((_GETCHAIN, 0, request))
        except Refused as error:
            if error.errno == ENOENT:
                return None
            raise
        return attributes(payload, _HEADER_SIZE)

    def _exists(self, kind: int, request: bytes) -> bool:
        try:
            self.socket.request((kind, 0, request))
        except Refused as error:
            if error.errno == ENOENT:
                return False
            raise
        return True
