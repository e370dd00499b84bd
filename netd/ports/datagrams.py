"""The proxy's UDP side: what comes to a host port goes to a container from a socket of its own for each client, so
that answers find their way back.  They leave from the address that the client had sent to (contract docker 3.4, S21).
"""

from __future__ import annotations

import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from netd.loop import Loop, Timer
from netd.ports.streams import Target

IDLE_SECONDS = 90.0
"""How long a client's socket is kept without a packet either way; docker's number."""

CLIENTS = 1024
"""A port's clients at a time; with more, the one that was silent longest has to begin anew."""

_LARGEST = 65535
_BATCH = 64
_ANCILLARY = 64
_IP_PKTINFO = 8
_PKTINFO_4 = struct.Struct("@i4s4s")
_PKTINFO_6 = struct.Struct("@16si")

Ancillary = list[tuple[int, int, bytes]]


class DatagramListener:
    """A bound socket (not ours to close) whose datagrams go to `target`.  Used by the loop's thread only."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        target: Target,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._target = target
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._sessions: OrderedDict[tuple[Any, Any], _Session] = OrderedDict()
        self._timer: Timer | None = None
        loop.add(sock.fileno(), self._receive)

    @property
    def target(self) -> Target:
        return self._target

    @target.setter
    def target(self, target: Target) -> None:
        """Its clients begin anew there."""
        self._target = target
        self._end_all()

    @property
    def connections(self) -> int:
        return len(self._sessions)

    def _receive(self) -> None:
        for _ in range(_BATCH):
            try:
                data, ancillary, _flags, client = self._socket.recvmsg(_LARGEST, _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an earlier answer could not be delivered
            session = self._session(client, _local(ancillary))
            if session is not None:
                session.send(data)

    def _session(self, client: Any, local: Ancillary) -> _Session | None:
        key = (client, local[0][2] if local else b"")
        session = self._sessions.get(key)
        if session is None:
            try:
                session = self._new(client, local)
            except OSError:
                return None  # no descriptor left, or no way to the container: lost, as datagrams may be
            self._sessions[key] = session
            if len(self._sessions) > CLIENTS:
                self._sessions.popitem(last=False)[1].close()
        self._sessions.move_to_end(key)
        session.last = self._clock()
        if self._timer is None:
            self._timer = self._loop.after(self._idle_seconds, self._expire)
        return session

    def _new(self, client: Any, local: Ancillary) -> _Session:
        family, address = self._target
        upstream = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            upstream.connect(address)
        except OSError:
            upstream.close()
            raise
        return _Session(self, self._loop, upstream, client, local)

    def answer(self, session: _Session, data: bytes) -> None:
        """To the session's client.  What the host's buffers have no room for is lost, as datagrams may be."""
        session.last = self._clock()
        try:
            self._socket.sendmsg([data], session.local, 0, session.client)
        except OSError:
            return

    def _expire(self) -> None:
        self._timer = None
        now = self._clock()
        idle = [key for key, each in self._sessions.items() if now - each.last >= self._idle_seconds]
        for key in idle:
            self._sessions.pop(key).close()
        if self._sessions:
            oldest = min(each.last for each in self._sessions.values())
            self._timer = self._loop.after(oldest + self._idle_seconds - now, self._expire)

    def _end_all(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stop(self) -> None:
        """Nothing is received any more, and no answer passed on."""
        self._loop.remove(self._socket.fileno())
        self._end_all()


class _Session:
    """One client's way to the container.  `local` says from which address it is answered."""

    __slots__ = ("_listener", "_loop", "_upstream", "client", "last", "local")

    def __init__(
        self, listener: DatagramListener, loop: Loop, upstream: socket.socket, client: Any, local: Ancillary
    ) -> None:
        self._listener = listener
        self._loop = loop
        self._upstream = upstream
        self.client = client
        self.local = local
        self.last = 0.0
        loop.add(upstream.fileno(), self._answers)

    def send(self, data: bytes) -> None:
        try:
            self._upstream.send(data)
        except OSError:
            return  # nobody there, which an earlier datagram told, or no room: lost, as datagrams may be

    def _answers(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._upstream.recv(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # the container's port is closed just now
            self._listener.answer(self, data)

    def close(self) -> None:
        self._loop.remove(self._upstream.fileno())
        self._upstream.close()


def _local(ancillary: list[tuple[int, int, bytes]]) -> Ancillary:
    """What makes the kernel send from the address a datagram had come to; the device matters for link-local ones."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _device, local, _destination = _PKTINFO_4.unpack_from(data)
            return [(level, kind, _PKTINFO_4.pack(0, local, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            address, device = _PKTINFO_6.unpack_from(data)
            link_local = address[0] == 0xFE and address[1] & 0xC0 == 0x80
            return [(level, kind, _PKTINFO_6.pack(address, device if link_local else 0))]
    return []
