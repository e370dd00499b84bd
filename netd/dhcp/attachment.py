"""One CNI attachment that has its addresses by DHCP: an interface, a client for each protocol, and their leases."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from hashlib import sha256

from netd.dhcp import answers, client4, client6, frames, messages4, messages6
from netd.dhcp.clock import Clock, now
from netd.dhcp.machine import BOUND, LOST, NO_MORE_TRIES
from netd.dhcp.port import Port
from netd.dhcp.timing import Timing
from netd.loop import Loop, Timer
from pycni.record import Record
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.dhcp.config import DUAL, IPV4, IPV6, Keys

MAX_ID = 254
"""Bytes of a lease's key: option 61 has one more, for the kind of id."""

Answer = Callable[[Result | CniError], None]

_DUID_UUID = b"\0\4"


class Origin(Record):
    """The call an attachment came from: whose it is, where, and the configuration as it was sent."""

    container_id: str
    network: str
    ifname: str
    netns: str
    arguments: str
    stdin: str

    @property
    def key(self) -> str:
        """The reference's: what the server knows the interface by."""
        return key_of(self.container_id, self.network, self.ifname)

    @property
    def client_id(self) -> bytes:
        """Option 61: of no hardware type, so a name."""
        return b"\0" + self.key.encode("utf-8", "surrogateescape")

    @property
    def duid(self) -> bytes:
        """The container's, the same at each of its starts (RFC 6355)."""
        digest = bytearray(sha256(self.container_id.encode("utf-8", "surrogateescape")).digest()[:16])
        digest[6] = digest[6] & 0x0F | 0x80  # a UUID of version 8: made of what its maker likes (RFC 9562)
        digest[8] = digest[8] & 0x3F | 0x80
        return _DUID_UUID + bytes(digest)

    @property
    def iaid(self) -> int:
        """The interface's among the container's."""
        return int.from_bytes(
            sha256(f"{self.network}/{self.ifname}".encode("utf-8", "surrogateescape")).digest()[:4], "big"
        )


def key_of(container_id: str, network: str, ifname: str) -> str:
    text = f"{container_id}/{network}/{ifname}".encode("utf-8", "surrogateescape")
    return text[:MAX_ID].decode("utf-8", "surrogateescape")


class Attachment:
    """Acquires and keeps what `keys` ask for, until `release`; CniError when the interface cannot be reached.

    `saved` is called when the leases changed, `ended` when it is over without anybody having said so."""

    def __init__(
        self,
        loop: Loop,
        clock: Clock,
        origin: Origin,
        keys: Keys,
        timing: Timing,
        broadcast: bool,
        saved: Callable[[Attachment], None],
        ended: Callable[[Attachment, str], None],
        log: Callable[[str], None],
    ) -> None:
        self.origin = origin
        self.keys = keys
        self._clock = clock
        self._timing = timing
        self._saved = saved
        self._ended = ended
        self._write = log
        self._waiting: list[Answer] = []
        self._timer: Timer | None = None
        self._link_local_by: float | None = None
        self._served: dict[int, Prefix] = {}
        self._missing: set[int] = set()
        self._established = self._parting = self._closed = False
        watch = self._addresses_changed if keys.family != IPV4 else None
        self.port = Port(loop, origin.netns, origin.ifname, self._interface_gone, watch)
        mac = self.port.link.mac
        try:
            if len(mac) != 6:
                raise CniError(f'"{origin.ifname}" has no Ethernet address')
            # interfaces of one ipvlan master share its address, so a unicast answer would reach any of them
            mine = client4.Identity(
                mac, origin.client_id, keys.request, keys.provide, broadcast or self.port.link.kind == "ipvlan"
            )
            other = client6.Identity(origin.duid, origin.iaid, rapid_commit=keys.rapid_commit)
            self.four = client4.Client(mine, timing, random.random, self._send4, partial(self._told, 4))
            self.six = client6.Client(other, timing, random.random, self._send6, partial(self._told, 6))
        except BaseException:
            self.port.close()
            raise
        self.clients = [
            client
            for client, families in ((self.four, (IPV4, DUAL)), (self.six, (IPV6, DUAL)))
            if keys.family in families
        ]

    # --- what the service asks ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Looks for leases; CniError when the interface cannot be set up."""
        if self.six in self.clients:
            self.port.allow_ipv6()
        self.port.set_up()
        if self.four in self.clients:
            self.four.begin(now())
        if self.six in self.clients:
            self._link_local_by = now() + self._timing.resend_timeout
            self._addresses_changed()
        self._after()

    def resume(self, four: client4.Lease | None, six: client6.Lease | None) -> None:
        """Goes on with leases of before; CniError when they cannot be used."""
        self.four.lease, self.six.lease = four, six
        # before anything else: a lease may have run out meanwhile, and its address has to go
        self._served = self._prefixes()
        self._established = True
        for client in self.clients:
            if client.lease is None:
                self._missing.add(4 if client is self.four else 6)
                client.begin(now(), for_ever=True)
            else:
                client.resume(now())
        self._after()

    @property
    def is_bound(self) -> bool:
        return all(client.lease is not None for client in self.clients)

    def result(self) -> Result:
        """CniError while there is a lease missing, or when one has no subnet mask."""
        if not self.is_bound:
            raise CniError(f"no lease for {self.origin.key}")
        four = self.four.lease if self.four in self.clients else None
        six = self.six.lease if self.six in self.clients else None
        return answers.result(self.keys, four, six)

    def answer(self, answer: Answer) -> None:
        """Calls `answer` as soon as all leases are there, or cannot be had; at once when one was lost again, which may
        take for ever."""
        if self.is_bound:
            answer(self._result_or_error())
        elif self._established:
            answer(CniError(f"{self.origin.key} has lost its lease, and no server gives another one"))
        else:
            self._waiting.append(answer)

    def forget(self, answer: Answer) -> None:
        """Nobody waits for this answer any more; when it was the last for leases that are not there yet, it is over."""
        if answer in self._waiting:
            self._waiting.remove(answer)
            if not self._waiting and not self._established:
                self._end("whoever asked has gone")

    def release(self) -> None:
        """Gives the leases back; closes everything, and calls `ended`, when DHCPv6 has no more to say."""
        self._parting = True
        self._link_local_by = None
        self.four.release()
        self.six.release(now())
        self._tell_waiting(CniError("the lease was released"))
        self._after()

    def close(self) -> None:
        """Closes everything and leaves the leases to whoever comes next."""
        self._closed = True
        for client in self.clients:
            client.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.port.close()
        self._tell_waiting(CniError("the lease was released"))

    def _log(self, text: str) -> None:
        self._write(f"{self.origin.key}: {text}")

    # --- events ------------------------------------------------------------------------------------------------------

    def _due(self) -> None:
        self._timer = None
        moment = now()
        if self._link_local_by is not None and moment >= self._link_local_by:
            self._end(f"{NO_MORE_TRIES}: {self.origin.ifname} has no IPv6 link-local address")
            return
        for client in self.clients:
            if client.deadline is not None and client.deadline <= moment:
                client.due(moment)
        self._after()

    def _after(self) -> None:
        """After every event: closes sockets nobody needs, and sets the clock."""
        if self._closed:
            return
        if self._parting and self.six.is_quiet:
            self.close()
            self._ended(self, "")
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.four.is_quiet:
            self.port.close_frames()
        if self.six.is_quiet:
            self.port.close_datagrams()
        moments = [each for each in (self.four.deadline, self.six.deadline, self._link_local_by) if each is not None]
        if moments:
            self._timer = self._clock.after(max(0.0, min(moments) - now()), self._due)

    def _addresses_changed(self) -> None:
        if self._link_local_by is not None and self.port.has_link_local():
            self._link_local_by = None
            self.six.begin(now())
            self._after()
        elif self.six.lease is not None and self.port.is_duplicate(Address(self.six.lease.address)):
            self.six.decline(now())
            self._after()

    def _interface_gone(self) -> None:
        if self._parting:
            self.six.stop()
            self._after()
        else:
            self._end("the interface is gone")

    def _end(self, reason: str) -> None:
        self._tell_waiting(CniError(reason))
        self._ended(self, reason)

    def _told(self, family: int, event: str, text: str) -> None:
        if event == BOUND:
            self._bound(family)
        elif event == LOST:
            self._lost(family, text)
        else:
            self._end(text)

    def _bound(self, family: int) -> None:
        if not self._established:
            if self.is_bound:
                self._first()
            return
        try:
            found = self._prefixes()[family]
        except CniError as error:
            self._log(str(error))
            return
        before = self._served.get(family)
        if found != before or family in self._missing:
            self._log(f"leased {found}, before {before}")
            self._replace(family, before, found)
        self._served[family] = found
        self._missing.discard(family)
        self._saved(self)

    def _first(self) -> None:
        outcome = self._result_or_error()
        if isinstance(outcome, CniError):
            self._end(str(outcome))
            return
        self._served = self._prefixes()
        self._established = True
        self._lower_mtu()
        self._saved(self)
        self._log(f"leased {', '.join(str(each) for each in self._served.values())}")
        self._tell_waiting(outcome)

    def _lost(self, family: int, reason: str) -> None:
        """The address must not be used any more; the interface gets the next one the server gives."""
        held = self._served.get(family)
        self._log(f"lost {held}: {reason}")
        self._saved(self)
        if held is None or not self._established:
            return
        try:
            if self.port.take(held.address):
                self._missing.add(family)
        except CniError as error:
            self._log(str(error))

    def _replace(self, family: int, before: Prefix | None, found: Prefix) -> None:
        try:
            if (before is not None and self.port.take(before.address)) or family in self._missing:
                lease = self.four.lease
                routes = answers.routes4(lease, self.keys.priority) if family == 4 and lease is not None else ()
                self.port.give(found, routes)
        except CniError as error:
            self._log(str(error))

    def _lower_mtu(self) -> None:
        lease = self.four.lease
        value = lease.options.get(messages4.MTU, b"") if lease is not None else b""
        if messages4.MTU in self.keys.request and len(value) == 2:
            try:
                self.port.lower_mtu(int.from_bytes(value, "big"), self.keys.family)
            except CniError as error:
                self._log(str(error))

    def _prefixes(self) -> dict[int, Prefix]:
        found = {}
        if self.four in self.clients and self.four.lease is not None:
            found[4] = answers.prefix4(self.four.lease)
        if self.six in self.clients and self.six.lease is not None:
            found[6] = answers.prefix6(self.six.lease)
        return found

    def _result_or_error(self) -> Result | CniError:
        try:
            return self.result()
        except CniError as error:
            return error

    def _tell_waiting(self, outcome: Result | CniError) -> None:
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer(outcome)

    # --- packets -----------------------------------------------------------------------------------------------------

    def _send4(self, message: messages4.Message, lease: client4.Lease | None) -> None:
        source, mac, target = frames.ANYBODY, frames.EVERYBODY_MAC, frames.EVERYBODY
        if any(message.client):
            source = message.client
        if lease is not None:
            mac, target = lease.server_mac, lease.server
        packet = frames.wrap(messages4.encode(message), source, target)
        try:
            self.port.frames(self._frames_ready).send(packet, mac)
        except OSError as error:  # it is down, or about to go: said again, or not needed
            self._log(f"sending on {self.origin.ifname}: {(error.strerror or '').lower()}")

    def _send6(self, message: messages6.Message) -> None:
        try:
            datagrams = self.port.datagrams(self._datagrams_ready)
            datagrams.sendto(messages6.encode(message), self.port.servers6())
        except OSError as error:
            self._log(f"sending on {self.origin.ifname}: {(error.strerror or '').lower()}")

    def _frames_ready(self) -> None:
        try:
            found = self.port.frames(self._frames_ready).receive()
            while found is not None and not self.four.is_quiet:
                payload, mac = found
                if payload:
                    self._received4(payload, mac)
                found = None if self.four.is_quiet else self.port.frames(self._frames_ready).receive()
        except OSError as error:
            self._log(f"receiving on {self.origin.ifname}: {(error.strerror or '').lower()}")
        self._after()

    def _received4(self, payload: bytes, mac: bytes) -> None:
        try:
            message = messages4.decode(payload)
        except messages4.Malformed as error:
            self._log(f"a malformed message from {mac.hex(':')}: {error}")
            return
        self.four.receive(message, mac, now())

    def _datagrams_ready(self) -> None:
        try:
            while not self.six.is_quiet:
                data, _ = self.port.datagrams(self._datagrams_ready).recvfrom(1 << 16)
                self.six.receive(messages6.decode(data), now())
        except BlockingIOError:
            pass  # all is read
        except messages6.Malformed as error:
            self._log(f"a malformed message: {error}")
        except OSError as error:
            self._log(f"receiving on {self.origin.ifname}: {(error.strerror or '').lower()}")
        self._after()
