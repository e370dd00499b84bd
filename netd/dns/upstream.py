"""Which servers to ask, in which order, and what their silence costs; pure, with the time as a parameter
(contract docker 2.3).

A server that let a query wait its whole time-out without answering any other meanwhile is silent.  Silent servers are
left out while others answer, and one query at a time goes to them to see whether they are back: a dead server costs one
time-out and not one per query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netd.dns import wire
from netd.dns.zone import View
from pycni.names import RESOLVER
from pycni.record import Record

MAX_SERVERS = 3
TIMEOUT = 4.0
"""Seconds for each server (contract 2.3)."""

RETRY = 5.0
"""Seconds after which a silent server gets another query although others answer."""


class Server(Record):
    """Where a query goes: `address` as text, with a zone when it has one; `sandbox` whose namespace it is asked from,
    "" for the host's."""

    address: str
    sandbox: str = ""


def servers_for(view: View, sandbox: str, host: Sequence[str]) -> tuple[Server, ...]:
    """The container's servers, asked from inside; else the host's, asked from the host, unless all networks are
    internal.  Never our own address inside, which would be a loop."""
    given = view.servers
    if given:
        return tuple(Server(each, sandbox) for each in given if each != RESOLVER)[:MAX_SERVERS]
    return tuple(Server(each) for each in host)[:MAX_SERVERS] if view.has_way_out else ()


class _State:
    __slots__ = ("answered", "probing", "silent_since")

    def __init__(self) -> None:
        self.answered = -1.0
        self.silent_since: float | None = None
        self.probing = -TIMEOUT


class Health:
    """What is known of each server."""

    def __init__(self) -> None:
        self._states: dict[Server, _State] = {}

    def usable(self, servers: Iterable[Server], now: float) -> tuple[Server, ...]:
        """Those to ask for one query, in order: the ones that answer; with none, silent ones that no other query is
        waiting for."""
        answering: list[Server] = []
        silent: list[Server] = []
        for server in servers:
            state = self._states.get(server)
            (answering if state is None or state.silent_since is None else silent).append(server)
        if answering:
            return tuple(answering)
        return tuple(server for server in silent if self._begin_probe(server, now))

    def probes(self, servers: Iterable[Server], now: float) -> tuple[Server, ...]:
        """Silent servers that are due for a copy of a query whose answer is taken from elsewhere."""
        due = []
        for server in servers:
            state = self._states.get(server)
            if state is None or state.silent_since is None or now - max(state.silent_since, state.probing) < RETRY:
                continue
            state.probing = now
            due.append(server)
        return tuple(due)

    def _begin_probe(self, server: Server, now: float) -> bool:
        state = self._states[server]
        if now - state.probing < TIMEOUT:
            return False
        state.probing = now
        return True

    def answered(self, server: Server, now: float) -> None:
        state = self._states.setdefault(server, _State())
        state.answered = now
        state.silent_since = None
        state.probing = -TIMEOUT

    def timed_out(self, server: Server, sent: float, now: float) -> None:
        """A query sent at `sent` got no answer; a packet lost between answers does not count."""
        state = self._states.setdefault(server, _State())
        if state.answered < sent:
            state.silent_since = now

    def is_silent(self, server: Server) -> bool:
        state = self._states.get(server)
        return state is not None and state.silent_since is not None

    def forget(self, keep: Iterable[Server]) -> None:
        """Drops what is known of all others: containers come and go."""
        kept = set(keep)
        for server in [each for each in self._states if each not in kept]:
            del self._states[server]

    def forget_sandbox(self, sandbox: str) -> None:
        for server in [each for each in self._states if each.sandbox == sandbox]:
            del self._states[server]


def is_final(answer: bytes) -> bool:
    """Whether the walk along the servers ends with this answer: SERVFAIL and REFUSED go on (contract 2.3)."""
    return wire.code_of(answer) not in (wire.SERVFAIL, wire.REFUSED)
