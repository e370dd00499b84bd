"""Dumps of the kernel's tables, by netlink, in the calling thread's network namespace.

Written without pycni on purpose: it judges what pycni does.  Attributes come as `(kind, payload)` pairs.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_DUMP_INTERRUPTED = 0x10
_HEADER = struct.Struct("=IHHII")
_TRIES = 20

Attributes = list[tuple[int, bytes]]


class Entry(NamedTuple):
    """One object of a dump: the fixed header that comes before the attributes, and these."""

    head: bytes
    attributes: Attributes

    def get(self, kind: int) -> bytes | None:
        return next((payload for number, payload in self.attributes if number == kind), None)


def attributes(data: bytes) -> Attributes:
    """The attributes in order, flags of their kinds removed."""
    found, offset = [], 0
    while offset + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, offset)
        if size < 4 or offset + size > len(data):
            break
        found.append((kind & 0x3FFF, data[offset + 4 : offset + size]))
        offset += (size + 3) & ~3
    return found


def attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", len(payload) + 4, kind) + payload + bytes(-len(payload) % 4)


class Interrupted(Exception):
    """The table changed while it was dumped."""


class Dumper:
    """Netlink sockets of one namespace: where they were opened they stay."""

    def __init__(self) -> None:
        self._route = self._open(NETLINK_ROUTE)
        self._netfilter = self._open(NETLINK_NETFILTER)
        self._sequence = 0

    @staticmethod
    def _open(protocol: int) -> socket.socket:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        opened.settimeout(10)
        opened.bind((0, 0))
        return opened

    def close(self) -> None:
        self._route.close()
        self._netfilter.close()

    def dump(self, kind: int, head: bytes, *request: bytes, netfilter: bool = False) -> list[Entry]:
        """All objects; asked again while the table changes.  OSError when the kernel does not know the request."""
        via = self._netfilter if netfilter else self._route
        for _ in range(_TRIES):
            try:
                return list(self._ask(via, kind, _REQUEST | _DUMP, head, b"".join(request)))
            except Interrupted:
                continue
        raise Interrupted(f"netlink request {kind}: the table never stood still")

    def one(self, kind: int, head: bytes, *request: bytes, netfilter: bool = False) -> Entry:
        """One object; OSError when there is none."""
        via = self._netfilter if netfilter else self._route
        return next(self._ask(via, kind, _REQUEST | _ACK, head, b"".join(request)))

    def _ask(self, via: socket.socket, kind: int, flags: int, head: bytes, request: bytes) -> Iterator[Entry]:
        self._sequence += 1
        body = head + request
        via.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body)
        interrupted, found = False, []
        while True:
            data = via.recv(1 << 17)
            offset = 0
            while offset + _HEADER.size <= len(data):
                size, answer, bits, sequence, _ = _HEADER.unpack_from(data, offset)
                payload = data[offset + _HEADER.size : offset + size]
                offset += (size + 3) & ~3
                if sequence != self._sequence:
                    continue
                interrupted |= bool(bits & _DUMP_INTERRUPTED)
                if answer in (_ERROR, _DONE):
                    failure = struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0
                    if failure:
                        raise OSError(-failure, f"netlink request {kind}")
                    if interrupted:
                        raise Interrupted
                    yield from found
                    return
                found.append(Entry(payload[: len(head)], attributes(payload[len(head) :])))
