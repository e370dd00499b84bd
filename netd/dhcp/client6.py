"""A DHCPv6 client for one address as a state machine (RFC 8415 section 18.2).

It takes the first server that offers an address instead of waiting a second for better ones: the wait is for networks
with several servers of different preference, and every container's start would pay for it.
"""

from __future__ import annotations

from collections.abc import Callable

from netd.dhcp import messages6 as m
from netd.dhcp.machine import BOUND, LOST, Machine
from netd.dhcp.messages6 import Assigned, Association, Message
from netd.dhcp.timing import INFINITE, Backoff, Random, Timing
from pycni.record import Record

_RENEW_PAUSE, _LONGEST_RENEW = 10.0, 600.0
"""Seconds: REN_TIMEOUT and REN_MAX_RT."""
_RELEASE_PAUSE, _RELEASES = 1.0, 4
"""REL_TIMEOUT in seconds, and REL_MAX_RC."""


class Identity(Record):
    """`duid` tells the container, `iaid` its interface.  `wishes` are the options asked for."""

    duid: bytes
    iaid: int
    wishes: tuple[int, ...] = (m.NAME_SERVERS, m.SEARCH)
    rapid_commit: bool = False


class Lease(Record):
    """`server` is its DUID; `since` in seconds of the owner's clock, durations in seconds from then on; `options` what
    was asked for and came."""

    address: bytes
    server: bytes
    since: float
    preferred: int
    valid: int
    t1: int
    t2: int
    options: dict[int, bytes]

    def ends(self) -> float:
        return self.since + self.valid if self.valid != INFINITE else float("inf")


class Client(Machine[Message, Lease]):
    """Everything is sent to all servers, and names the one that is meant."""

    def __init__(
        self,
        identity: Identity,
        timing: Timing,
        random: Random,
        send: Callable[[Message], None],
        tell: Callable[[str, str], None],
    ) -> None:
        super().__init__(timing, random, tell)
        self._identity = identity
        self._send = send
        self._left = 0

    def release(self, now: float) -> None:
        """Gives the lease back, if there is one; said again until the server has heard it, or the interface goes."""
        self.stop()
        lease, self.lease = self.lease, None
        if lease is not None:
            self._give_up = None
            self._pauses = Backoff(_RELEASE_PAUSE, _LONGEST_RENEW, self._random)
            self._left = _RELEASES
            server = [(m.SERVER_ID, lease.server)]
            self._start(self._new(m.RELEASE, server, (Assigned(lease.address, 0, 0),)), now, self._release_again)

    def _release_again(self, now: float) -> None:
        self._left -= 1
        if self._left:
            self._again(now)
        else:
            self.stop()

    def decline(self, now: float) -> None:
        """Somebody else on the link has the address: says so, and looks for another one."""
        if self.lease is not None:
            self._refuse()
            self._tell(LOST, "somebody else has the address")
            self._look(now)

    # --- looking for a lease -----------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        self._pauses = self._backoff()
        options = [(m.RAPID_COMMIT, b"")] if self._identity.rapid_commit else []
        self._start(self._new(m.SOLICIT, options, ()), now, self._again)

    def _request(self, server: bytes, addresses: tuple[Assigned, ...], now: float) -> None:
        self._pauses = self._backoff()
        self._until = now + self._timing.timeout
        hint = tuple(each.replace(preferred=0, valid=0) for each in addresses)
        self._start(self._new(m.REQUEST, [(m.SERVER_ID, server)], hint), now, self._request_again)

    def _again(self, now: float) -> None:
        if self._message is None:
            self._look(now)
            return
        self._transmit(now)
        self.deadline = now + self._pauses.next()
        for moment in (self._give_up, self.lease.ends() if self.lease is not None else None):
            if moment is not None:
                self._sooner(moment)

    def _start(self, message: Message, now: float, step: Callable[[float], None]) -> None:
        self._message = message
        self._began = now
        self._step = step
        self._again(now)

    def _transmit(self, now: float) -> None:
        assert self._message is not None
        elapsed = min(int((now - self._began) * 100), 0xFFFF).to_bytes(2, "big")
        self._send(self._message.replace(options=(*self._message.options, (m.ELAPSED, elapsed))))

    # --- keeping it --------------------------------------------------------------------------------------------------

    def _renew(self, now: float) -> None:
        lease = self.lease
        if lease is None:
            self._look(now)
            return
        turn = lease.since + lease.t2
        kind = m.RENEW if now < turn else m.REBIND
        if self._message is None or self._message.type != kind:
            self._pauses = Backoff(min(_RENEW_PAUSE, lease.valid / 30), _LONGEST_RENEW, self._random)
            server = [(m.SERVER_ID, lease.server)] if kind == m.RENEW else []
            self._message = self._new(kind, server, (Assigned(lease.address, 0, 0),))
            self._began = now
        self._transmit(now)
        self.deadline = min(now + self._pauses.next(), turn if now < turn else lease.ends())

    def _refuse(self) -> None:
        self.stop()
        if self.lease is not None:
            lease, self.lease = self.lease, None
            server = [(m.SERVER_ID, lease.server), (m.ELAPSED, bytes(2))]
            self._send(self._new(m.DECLINE, server, (Assigned(lease.address, 0, 0),)))

    # --- what comes in -----------------------------------------------------------------------------------------------

    def receive(self, message: Message, now: float) -> None:
        """A message from a server; others' are left alone."""
        asked = self._message
        server = message.option(m.SERVER_ID)
        if (
            asked is None
            or message.xid != asked.xid
            or message.option(m.CLIENT_ID) != self._identity.duid
            or not server
        ):
            return
        if asked.type == m.RELEASE:
            if message.type == m.REPLY:  # whatever it says (RFC 8415 section 18.2.10.2)
                self.stop()
            return
        found = next((each for each in message.associations if each.iaid == self._identity.iaid), None)
        status = message.status or (found.status if found is not None else m.SUCCESS)
        usable = tuple(each for each in found.addresses if each.valid) if found is not None and not status else ()
        if asked.type == m.SOLICIT:
            self._offered(message, server, usable, status, now)
        elif message.type == m.REPLY:
            self._answered(message, server, found, usable, status, now)

    def _offered(self, message: Message, server: bytes, usable: tuple[Assigned, ...], status: int, now: float) -> None:
        if not usable:
            self._reason = ": the server has no addresses" if status == m.NO_ADDRESSES else self._reason
        elif message.type == m.ADVERTISE:
            self._request(server, usable, now)
        elif message.type == m.REPLY and self._identity.rapid_commit and message.option(m.RAPID_COMMIT) is not None:
            self._bind(message, server, usable, now)

    def _answered(
        self,
        message: Message,
        server: bytes,
        found: Association | None,
        usable: tuple[Assigned, ...],
        status: int,
        now: float,
    ) -> None:
        lease = self.lease
        if usable:
            self._bind(message, server, usable, now)
        elif status == m.NO_BINDING and lease is not None:
            self._request(server, (Assigned(lease.address, 0, 0),), now)
        elif lease is not None and (status == m.NOT_ON_LINK or (found is not None and found.addresses)):
            self._lose(now, "the server has withdrawn it")
        elif lease is None and status in (m.NO_ADDRESSES, m.NOT_ON_LINK, m.NO_BINDING):
            self._reason = ": the server has no addresses" if status == m.NO_ADDRESSES else self._reason
            self._look_later(now)

    def _bind(self, message: Message, server: bytes, usable: tuple[Assigned, ...], now: float) -> None:
        held = self.lease.address if self.lease is not None else b""
        chosen = next((each for each in usable if each.address == held), usable[0])
        found = next(each for each in message.associations if each.iaid == self._identity.iaid)
        t1, t2 = found.t1, found.t2
        basis = chosen.preferred or chosen.valid
        if not 0 < t1 <= t2 < chosen.valid:
            t1, t2 = basis // 2, basis * 4 // 5
        options = {code: value for code, value in message.options if code in self._identity.wishes}
        self.lease = Lease(chosen.address, server, now, chosen.preferred, chosen.valid, t1, t2, options)
        self._rest(self.lease)
        self._tell(BOUND, "")

    def _new(self, kind: int, options: list[tuple[int, bytes]], addresses: tuple[Assigned, ...]) -> Message:
        wishes = b"".join(each.to_bytes(2, "big") for each in self._identity.wishes)
        asking = [] if kind in (m.RELEASE, m.DECLINE) else [(m.WISHES, wishes)]
        mine = ((m.CLIENT_ID, self._identity.duid), *options, *asking)
        association = Association(self._identity.iaid, addresses=addresses)
        return Message(kind, int(self._random() * (1 << 24)), mine, (association,))
