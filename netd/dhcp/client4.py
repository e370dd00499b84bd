"""A DHCPv4 client as a state machine (RFC 2131 section 4.4): what it says, and what it makes of the answers.  `send`
gets the lease whose server is meant, None for everybody."""

from __future__ import annotations

from collections.abc import Callable

from netd.dhcp import messages4 as m
from netd.dhcp.machine import BOUND, Machine
from netd.dhcp.messages4 import Message
from netd.dhcp.timing import INFINITE, Random, Timing
from pycni.record import Record

_MAX_MESSAGE = (1500).to_bytes(2, "big")
_DEFAULT_SECONDS = 3600
_RENEW_PAUSE = 60.0
"""RFC 2131 4.4.5: seconds, at least, between two requests for the same lease; of short leases a thirtieth."""


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


class Client(Machine[Message, Lease]):
    """`send` gets a message and the lease whose server is meant, None: everybody."""

    def __init__(
        self,
        identity: Identity,
        timing: Timing,
        random: Random,
        send: Callable[[Message, Lease | None], None],
        tell: Callable[[str, str], None],
    ) -> None:
        super().__init__(timing, random, tell)
        self._identity = identity
        self._send = send
        self._offer: Message | None = None

    def release(self) -> None:
        """Gives the lease back, if there is one, and stops."""
        self.stop()
        if self.lease is not None:
            options = {m.SERVER: self.lease.server, m.CLIENT_ID: self._options(0)[m.CLIENT_ID]}
            self._send(self._new(m.RELEASE, options, client=self.lease.address), self.lease)
            self.lease = None

    # --- looking for a lease -----------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        self._offer = None
        self._began = now
        self._pauses = self._backoff()
        self._start(self._new(m.DISCOVER, self._options(m.DISCOVER)), now, self._again)

    def _request(self, offer: Message, now: float) -> None:
        self._offer = offer
        options = self._options(m.REQUEST)
        options[m.REQUESTED_ADDRESS] = offer.yours
        options[m.SERVER] = offer.options[m.SERVER]
        self._pauses = self._backoff()
        self._until = now + self._timing.timeout
        self._start(self._new(m.REQUEST, options, xid=offer.xid), now, self._request_again)

    def _again(self, now: float) -> None:
        if self._message is None:
            self._look(now)
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

    # --- keeping it --------------------------------------------------------------------------------------------------

    def _renew(self, now: float) -> None:
        """The lease's server first; from T2 on any server that listens."""
        lease = self.lease
        if lease is None:
            self._look(now)
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
        held, options = self.lease, message.options
        known = held.server if held is not None else b""
        if self._offer is not None:
            known = self._offer.options[m.SERVER]
        server = options.get(m.SERVER, known)
        if held is not None and held.address == message.yours and m.SUBNET_MASK in held.options:
            # some servers do not say again what is as it was
            options = {m.SUBNET_MASK: held.options[m.SUBNET_MASK], **options}
        duration = message.seconds(m.LEASE_TIME) or _DEFAULT_SECONDS
        t1, t2 = message.seconds(m.RENEWAL_TIME) or 0, message.seconds(m.REBINDING_TIME) or 0
        if not 0 < t1 < t2 < duration:
            t1, t2 = duration // 2, duration * 7 // 8
        self._offer = None
        self.lease = Lease(message.yours, server, mac, now, duration, t1, t2, options)
        self._rest(self.lease)
        self._tell(BOUND, "")

    def _refused(self, now: float) -> None:
        if self.lease is not None:
            self._lose(now, "the server has refused it")
        else:
            self._look_later(now)

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
