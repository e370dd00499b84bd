"""A container's questions over UDP: many taken at a time, and their answers sent together.

Four fifths of what an answer costs are the kernel's way from one socket to the other.  UDP_SEGMENT (udp(7)) lets
several datagrams of one size for one client go that way as one; the client's socket gets them one by one.
"""

from __future__ import annotations

import os
from _socket import IPPROTO_UDP, socket
from collections.abc import Callable
from itertools import cycle, repeat
from struct import Struct
from typing import Any

from netd.dns.wire import MAX_UDP

BURST = 64
"""Datagrams taken from one container before the others have their turn: less than 1 ms.  Also the most that
UDP_SEGMENT joins (UDP_MAX_SEGMENTS)."""

MAX_CACHED = 1 << 19
"""Bytes of questions and answers remembered; all are forgotten when there are more, and at every change of names."""

MAX_QUERY = 4096
_UDP_SEGMENT = 103
_SIZE = Struct("=H")

_buffer = bytearray(MAX_QUERY)
_view = memoryview(_buffer)

Turn = Callable[[], bytes]
"""The next of the answers to a question, without its id."""

Answer = Callable[[bytes, Callable[[bytes], None]], None]


class Recent:
    """The answers given to one container lately over one protocol, by the question without its id.

    Each question has a turn of its own, from a random begin: clients that ask for A and AAAA by turns would else find
    every second address first."""

    __slots__ = ("_generation", "_size", "_turns", "at_once")

    def __init__(self) -> None:
        self._turns: dict[bytes, Turn] = {}
        self._size = 0
        self._generation = -1
        self.at_once: dict[bytes, Turn] = {}
        """What may be answered without another look at the question."""

    def turn(self, key: bytes, replies: tuple[bytes, ...]) -> bytes:
        """The one of `replies` to answer with."""
        turn = self._turns.get(key)
        if turn is None:
            size = len(key) + sum(map(len, replies))
            if self._size + size > MAX_CACHED:
                self._forget()
            self._size += size
            turn = self._turns[key] = _turn(replies)
        return turn()

    def _forget(self) -> None:
        self._turns.clear()
        self._size = 0

    def valid_for(self, generation: int, remembers: bool) -> None:
        """Forgets what was answered in an earlier generation of names; without `remembers` nothing is `at_once`."""
        if self._generation != generation:
            self._forget()
            self._generation = generation
            self.at_once = self._turns if remembers else {}


def _turn(replies: tuple[bytes, ...]) -> Turn:
    if len(replies) == 1:
        return repeat(replies[0]).__next__
    begin = int.from_bytes(os.urandom(2), "big") % len(replies)
    return cycle(replies[begin:] + replies[:begin]).__next__


class Datagrams:
    """Serves one socket: answers what was asked before, hands on what was not."""

    def __init__(self, sock: socket, recent: Recent, answer: Answer, trouble: Callable[[OSError], None]) -> None:
        """`answer` takes a question and the way to answer it; `trouble` what the kernel says against an answer."""
        self._socket = sock
        self._recent = recent
        self._answer = answer
        self._trouble = trouble
        self._joins = _can_join(sock)

    def take(self) -> int:
        """Answers at most BURST of the datagrams that have come; how many of them at once.  The path of nearly every
        query; kept flat for speed."""
        receive, view, recall, hits = self._socket.recvfrom_into, _view, self._recent.at_once.get, 0
        batch: dict[Any, list[bytes]] = {}
        try:
            for _ in range(BURST):
                size, peer = receive(_buffer)
                message = view[:size].tobytes()
                turn = recall(message[2:])
                if turn is None:
                    self._answer(message, self._reply_to(peer))
                    continue
                hits += 1
                reply = message[:2] + turn()
                if peer in batch:
                    batch[peer].append(reply)
                else:
                    batch[peer] = [reply]
        except BlockingIOError:
            pass  # nothing more to read
        except OSError as error:
            self._trouble(error)
        for peer, replies in batch.items():
            if len(replies) == 1:
                self._send_one(peer, replies[0])
            else:
                self._send(peer, replies)
        return hits

    def _reply_to(self, peer: Any) -> Callable[[bytes], None]:
        return lambda reply: self._send_one(peer, reply)

    def _send(self, peer: Any, replies: list[bytes]) -> None:
        by_size: dict[int, list[bytes]] = {}
        for reply in replies:
            by_size.setdefault(len(reply), []).append(reply)
        for size, alike in by_size.items():
            if len(alike) == 1 or not self._send_joined(peer, size, b"".join(alike)):
                for reply in alike:
                    self._send_one(peer, reply)

    def _send_joined(self, peer: Any, size: int, joined: bytes) -> bool:
        """Whether it was possible: not where the device's packets are smaller, or there is no room for all."""
        if not self._joins or len(joined) > MAX_UDP:
            return False
        try:
            self._socket.sendmsg((joined,), ((IPPROTO_UDP, _UDP_SEGMENT, _SIZE.pack(size)),), 0, peer)
        except OSError:
            return False
        return True

    def _send_one(self, peer: Any, reply: bytes) -> None:
        try:
            self._socket.sendto(reply, peer)
        except BlockingIOError:
            pass  # no room to send: the datagram is lost
        except OSError as error:
            self._trouble(error)


def _can_join(sock: socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT (4.18); one that does not would ignore it and send the joined answers."""
    try:
        sock.getsockopt(IPPROTO_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True
