"""What the clients of both protocols have in common: when something is due, what is said again, and what becomes of a
lease.  Without sockets and without a clock of its own.

Its owner calls `due` at `deadline` and `receive` with what came in; it calls `send` and `tell`:

    bound    `lease` is new or prolonged; its address may be another one than before
    lost     the address must not be used any more; the client goes on looking for one
    failed   no lease within the time for the first one; the client has stopped
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from netd.dhcp.timing import Backoff, Random, Timing

BOUND, LOST, FAILED = "bound", "lost", "failed"

NO_MORE_TRIES = "no more tries"
"""The reference's words, which its users know (contract 2.4)."""

FIRST_PAUSE = 1.0
_AFTER_REFUSAL = 2.0
_SOONEST = 1.0
"""Seconds a new lease is left alone, if it lasts twice as long: a server whose leases are over at
once would be asked as fast as it answers."""


class Held(Protocol):
    """`since` is when it was given, in seconds of the owner's clock, `t1` when to renew it, in seconds from then."""

    @property
    def since(self) -> float: ...
    @property
    def t1(self) -> int: ...
    def ends(self) -> float:
        """In seconds of the owner's clock; infinity for a lease without end."""
        ...


L = TypeVar("L", bound=Held)
M = TypeVar("M")


class Machine(ABC, Generic[M, L]):
    """`deadline` None: nothing to be done until something comes in, if ever."""

    def __init__(self, timing: Timing, random: Random, tell: Callable[[str, str], None]) -> None:
        self.lease: L | None = None
        self.deadline: float | None = None
        self._timing = timing
        self._random = random
        self._tell = tell
        self._give_up: float | None = None
        self._step: Callable[[float], None] = self._again
        self._message: M | None = None
        self._pauses = self._backoff()
        self._began = 0.0
        self._until = 0.0
        self._reason = ""

    @abstractmethod
    def _look(self, now: float) -> None:
        """Begins to look for a lease."""

    @abstractmethod
    def _again(self, now: float) -> None:
        """Says once more what waits for an answer."""

    @abstractmethod
    def _renew(self, now: float) -> None:
        """Asks for the lease to be prolonged."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is expected to come in."""
        return self._message is None

    def begin(self, now: float, for_ever: bool = False) -> None:
        """Looks for a lease, until `resend_timeout` or `for_ever`."""
        self._give_up = None if for_ever else now + self._timing.resend_timeout
        self._look(now)

    def resume(self, now: float) -> None:
        """Goes on with `lease`, which is of before."""
        assert self.lease is not None
        self._rest(self.lease)
        if self.deadline is not None and now >= self.deadline:
            self.due(now)

    def stop(self) -> None:
        """Says nothing more, but for `release`."""
        self.deadline = self._message = None

    def due(self, now: float) -> None:
        """`deadline` has come."""
        if self._give_up is not None and now >= self._give_up:
            self.stop()
            self._tell(FAILED, f"{NO_MORE_TRIES}{self._reason}")
        elif self.lease is not None and now >= self.lease.ends():
            self._lose(now, "it has expired")
        else:
            self._step(now)

    def _backoff(self) -> Backoff:
        return Backoff(FIRST_PAUSE, self._timing.resend_max, self._random)

    def _request_again(self, now: float) -> None:
        """The server that offered something is silent: from `_until` on any other will do."""
        if now >= self._until:
            self._look(now)
        else:
            self._again(now)
            self._sooner(self._until)

    def _look_later(self, now: float) -> None:
        """A server has refused: it is asked again, but not at once."""
        self._message = None
        self._step = self._again
        self.deadline = now + _AFTER_REFUSAL * (0.5 + self._random())
        if self._give_up is not None:
            self._sooner(self._give_up)

    def _rest(self, lease: L) -> None:
        self._message = self._give_up = None
        self._step = self._renew
        self.deadline = None
        if lease.ends() != float("inf"):
            self.deadline = lease.since + max(lease.t1, min(_SOONEST, (lease.ends() - lease.since) / 2))

    def _lose(self, now: float, reason: str) -> None:
        self.lease = None
        self._tell(LOST, reason)
        self._look(now)

    def _sooner(self, moment: float) -> None:
        self.deadline = moment if self.deadline is None else min(self.deadline, moment)
