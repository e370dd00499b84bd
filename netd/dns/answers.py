"""What to do with a question; pure (contract docker 2.2).

A local answer is a tuple of messages without their ids, ready to send: one for each order of its addresses.  The
caller takes them in turn, which spreads clients evenly over the containers that share a name.
"""

from __future__ import annotations

from netd.dns import wire
from netd.dns.zone import View, Zone, address_of_reverse
from pycni.record import Record

TTL = 5
"""Seconds.  Docker says 600, and clients that cache then miss a restarted container (contract 2.5)."""

MAX_ORDERS = 64
"""Orders kept of one answer; more addresses than that still each come first about as often."""


class Local(Record):
    """Answered here; see the module's docstring.  `outcome` is a word for counters and the query log."""

    replies: tuple[bytes, ...]
    outcome: str


class Forward(Record):
    """For the upstream servers to answer."""

    question: wire.Question


Action = Local | Forward


def decide(zone: Zone, view: View, message: bytes, question: wire.Question, udp: bool, ttl: int = TTL) -> Action:
    """What becomes of a well-formed query."""
    limit = question.limit if udp else 0xFFFF
    if question.kind_class != wire.IN:
        return Forward(question)
    if question.kind == wire.PTR:
        return _reverse(zone, view, message, question, ttl, limit)
    if question.kind not in (wire.A, wire.AAAA, wire.MX):
        return Forward(question)
    addresses = zone.lookup(view, question.labels)
    if addresses is None:
        if len(question.labels) == 1 and question.kind != wire.MX and view.keeps_single_labels:
            return Local((wire.reply(message, question, (), ttl, limit)[2:],), "kept")
        return Forward(question)
    wanted = {wire.A: 4, wire.AAAA: 16}.get(question.kind, 0)
    rdata = [address.packed for address in addresses if len(address.packed) == wanted]
    orders = [rdata[start:] + rdata[:start] for start in range(min(len(rdata), MAX_ORDERS))] or [[]]
    replies = tuple(wire.reply(message, question, each, ttl, limit)[2:] for each in orders)
    return Local(replies, "answered" if rdata else "nodata")


def _reverse(zone: Zone, view: View, message: bytes, question: wire.Question, ttl: int, limit: int) -> Action:
    try:
        address = address_of_reverse(question.labels)
    except ValueError:
        return Local((wire.error_reply(message, question, wire.SERVFAIL)[2:],), "malformed")
    name = zone.reverse(view, address) if address is not None else None
    if name is None:
        return Forward(question)
    return Local((wire.reply(message, question, (name,), ttl, limit)[2:],), "answered")
