"""A DHCPv4 client as a state machine (RFC 2131 section 4.4), without sockets and without a clock of its own.

Its owner calls `due` at `deadline` and `receive` with what came in; it calls `send` (with the lease whose server is
meant, None: everybody) and `tell`:

    bound    `lease` is new or prolonged; its address may be another one than before
    lost     the address must not be used any more; the client goes on looking for one
    failed   no lease within the time for the first one; the client has stopped
"""

from __future__ import annotations

from collections.abc import Callable

from netd.dhcp import messages4 as m
from netd.dhcp.messages4 import Message
from netd.dhcp.timing import INFINITE, Backoff, Random, Timing
from pycni.record import Record

BOUND, LOST, FAILED = "bound", "lost", "failed"

NO_MORE_TRIES = "no more tries"
"""The reference's words, which its users know (contract 2.4)."""

_MAX_MESSAGE = (1500).to_bytes(2, "big")
_DEFAULT_SECONDS = 3600
_FIRST_PAUSE = 1.0
_RENEW_PAUSE = 60.0
"""RFC 2131 4.4.5: seconds, at least, between two requests for the same lease; of short leases a thirtieth."""
_AFTER_REFUSAL = 2.0


class Identity(Record):
    """Who asks, and for what.  `provided` are options sent along; they replace ours of the same code."""

    mac: bytes
    client_id: bytes
    wishes: tuple[int, ...]
    provided: tuple[tuple[int, bytes], ...] = ()
    broadcast: bool = False


class Lease(Record):
    """`since` is when it was given, in seconds of the owner's clock; durations are seconds from then on.  The
    server, and the hardware address its answer came from, which is a relay's or a router's when it is far away."""

    address: bytes
    server: bytes
    server_mac: bytes
    since: float
    duration: int
    t1: int
    t2: int
    options: dict[int, bytes]

    def ends(self) -> float:
        return self.since + self.duration if self.duration != INFINITE else float("inf")


class Client:
    """`deadline` None: nothing to be done until something comes in, if ever."""

    def __init__(
        self,
        identity: Identity,
        timing: Timing,
        random: Random,
        send: Callable[[Message, Lease | None], None],
        tell: Callable[[str, str], None],
    ) -> None:
        self.lease: Lease | None = None
        self.deadline: float | None = None
        self._identity = identity
        self._timing = timing
        self._random = random
        self._send = send
        self._tell = tell
        self._give_up: float | None = None
        self._step: Callable[[float], None] = self._again
        self._message: Message | None = None
        self._offer: Message | None = None
        self._pauses = Backoff(_FIRST_PAUSE, timing.resend_max, random)
        self._began = 0.0
        self._until = 0.0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is expected to come in."""
        return self._message is None

    def begin(self, now: float, for_ever: bool = False) -> None:
        """Looks for a lease, until `resend_timeout` or `for_ever`."""
        self._give_up = None if for_ever else now + self._timing.resend_timeout
        self._discover(now)

    def resume(self, lease: Lease, now: float) -> None:
        """Goes on with a lease of before."""
        self.lease = lease
        self._rest(lease)
        if self.deadline is not None and now >= self.deadline:
            self.due(now)

    def stop(self) -> None:
        """Says nothing more, but for `release`."""
        self.deadline = self._message = None

    def release(self) -> None:
        """Gives the lease back, if there is one, and stops."""
        self.stop()
        if self.lease is not None:
            options = {m.SERVER: self.lease.server, m.CLIENT_ID: self._options(0)[m.CLIENT_ID]}
            self._send(self._new(m.RELEASE, options, client=self.lease.address), self.lease)
            self.lease = None

    def due(self, now: float) -> None:
        """`deadline` has come."""
        if self._give_up is not None and now >= self._give_up:
            self.stop()
            self._tell(FAILED, NO_MORE_TRIES)
        elif self.lease is not None and now >= self.lease.ends():
            self._lose(now, "it has expired")
        else:
            self._step(now)

    # --- looking for a lease -----------------------------------------------------------------------------------------

    def _discover(self, now: float) -> None:
        self._offer = None
        self._began = now
        self._pauses = Backoff(_FIRST_PAUSE, self._timing.resend_max, self._random)
        self._start(self._new(m.DISCOVER, self._options(m.DISCOVER)), now, self._again)

    def _request(self, offer: Message, now: float) -> None:
        self._offer = offer
        options = self._options(m.REQUEST)
        options[m.REQUESTED_ADDRESS] = offer.yours
        options[m.SERVER] = offer.options[m.SERVER]
        self._pauses = Backoff(_FIRST_PAUSE, self._timing.resend_max, self._random)
        self._until = now + self._timing.timeout
        self._start(self._new(m.REQUEST, options, xid=offer.xid), now, self._request_again)

    def _request_again(self, now: float) -> None:
        if now >= self._until:
            self._discover(now)
        else:
            self._again(now)
            self._sooner(self._until)

    def _again(self, now: float) -> None:
        if self._message is None:
            self._discover(now)
            return
        self._message = self._message.replace(secs=int(now - self._began))
        self._send(self._message, None)
        self.deadline = now + self._pauses.next()
        if self._give_up is not None:
            self._sooner(self._give_up)

    def _start(self, message: Message, now: float, step: Callable[[float], None]) -> None:
        self._message = message
        self._step = step
        self._again(now)

    def _sooner(self, moment: float) -> None:
        self.deadline = moment if self.deadline is None else min(self.deadline, moment)

    # --- keeping it --------------------------------------------------------------------------------------------------

    def _rest(self, lease: Lease) -> None:
        self._message = self._give_up = None
        self._step = self._renew
        self.deadline = lease.since + lease.t1 if lease.duration != INFINITE else None

    def _renew(self, now: float) -> None:
        """The lease's server first; from T2 on any server that listens."""
        lease = self.lease
        if lease is None:
            self._discover(now)
            return
        turn = lease.since + lease.t2
        if self.is_quiet:
            self._began = now
            self._message = self._new(m.REQUEST, self._options(m.REQUEST), client=lease.address)
        assert self._message is not None
        self._message = self._message.replace(secs=int(now - self._began))
        self._send(self._message, lease if now < turn else None)
        until = turn if now < turn else lease.ends()
        pause = max((until - now) / 2, min(_RENEW_PAUSE, lease.duration / 30))
        self.deadline = min(now + pause, until)

    def _lose(self, now: float, reason: str) -> None:
        self.lease = None
        self._tell(LOST, reason)
        self._discover(now)

    # --- what comes in -----------------------------------------------------------------------------------------------

    def receive(self, message: Message, mac: bytes, now: float) -> None:
        """A message from a server at this hardware address; others' are left alone."""
        asked = self._message
        if asked is None or not message.from_server or message.xid != asked.xid or message.mac != self._identity.mac:
            return
        # interfaces may share a hardware address (ipvlan); RFC 6842
        if message.options.get(m.CLIENT_ID, asked.options.get(m.CLIENT_ID)) != asked.options.get(m.CLIENT_ID):
            return
        if asked.type == m.DISCOVER:
            if message.type == m.OFFER and any(message.yours) and len(message.options.get(m.SERVER, b"")) == 4:
                self._request(message, now)
        elif message.type == m.ACK and any(message.yours):
            self._bind(message, mac, now)
        elif message.type == m.NAK:
            self._refused(now)

    def _bind(self, message: Message, mac: bytes, now: float) -> None:
        known = self.lease.server if self.lease is not None else b""
        if self._offer is not None:
            known = self._offer.options[m.SERVER]
        server = message.options.get(m.SERVER, known)
        duration = message.seconds(m.LEASE_TIME) or _DEFAULT_SECONDS
        t1, t2 = message.seconds(m.RENEWAL_TIME) or 0, message.seconds(m.REBINDING_TIME) or 0
        if not 0 < t1 < t2 < duration:
            t1, t2 = duration // 2, duration * 7 // 8
        self._offer = None
        self.lease = Lease(message.yours, server, mac, now, duration, t1, t2, message.options)
        self._rest(self.lease)
        self._tell(BOUND, "")

    def _refused(self, now: float) -> None:
        if self.lease is not None:
            self._lose(now, "the server has refused it")
        else:
            self._message = None
            self._step = self._again
            self.deadline = now + _AFTER_REFUSAL * (0.5 + self._random())
            if self._give_up is not None:
                self._sooner(self._give_up)

    def _options(self, kind: int) -> dict[int, bytes]:
        identity = self._identity
        ours = {m.MAX_SIZE: _MAX_MESSAGE, m.CLIENT_ID: identity.client_id}
        if identity.wishes:
            ours[m.WISHES] = bytes(identity.wishes)
        return {**ours, **dict(identity.provided), m.TYPE: bytes((kind,))}

    def _new(self, kind: int, options: dict[int, bytes], client: bytes = bytes(4), xid: int | None = None) -> Message:
        number = int(self._random() * (1 << 32)) if xid is None else xid
        # the kernel takes a unicast answer to an address that is ours; until then it can only be broadcast or caught
        broadcast = self._identity.broadcast and not any(client)
        mine = {**options, m.TYPE: bytes((kind,))}
        return Message(False, number, self._identity.mac, mine, broadcast=broadcast, client=client)
