"""Brings back firewall rules that somebody else removed, in two seconds: a thread of `pynetd engine` and `pynetd api`.

It sleeps until the kernel tells of a removal.  Then it looks a moment later, because who flushes one table flushes
others, and puts back what is missing; the first time right at the start, for what happened while nobody watched.  What
cannot be put back is tried again a few times; who removes our rules again and again meets ever longer breaks.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterable
from threading import Thread
from time import monotonic

from netd.rule_events import RuleEvents
from pycni import program_path
from pycni.firewall import programs
from pycni.kernel.namespace import Namespace
from pycni.spec.errors import CniError

QUIET_SECONDS, LONGEST_WAIT = 0.3, 1.0
"""Without another removal until the look at what is missing, and at most so long after the first: who deletes rules one
after the other, as the reference's plugins do, is not met half-way."""

REST_SHARE, LONGEST_REST = 10, 1.0
"""After a look that took a second, ten seconds of rest, but never more than this: a busy firewall costs a tenth of one
processor at most as long as looks are short, and rules are back within two seconds."""

AGAIN_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Until what could not be put back is tried again; then not before something else happens."""

FIGHT_SECONDS, PATIENCE, LONGEST_PAUSE = 10.0, 8, 60.0
"""So many losses, each within so many seconds of the one before, are a fight; then every pause is twice the last."""

LEGACY_SECONDS = 10.0
"""Where the kernel tells nothing (iptables-legacy), a call is the occasion to look, but not more often than this."""


class Pace:
    """When to look next; pure, times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        self.due: float | None = now
        self._first: float | None = None
        self._rested = now
        self._lost_at = now - FIGHT_SECONDS
        self._losses = 0
        self._failures = 0

    def removed(self, now: float) -> None:
        """Something was taken away."""
        if self._first is None:
            self._first = now
        soon = min(max(now, self._first) + QUIET_SECONDS, self._first + LONGEST_WAIT)
        self.due = max(soon, self._rested)

    def looked(self, began: float, now: float, lost: bool, failed: bool) -> None:
        """A look is over: whether anything was missing, and whether some of it still is."""
        self._first = None
        self._rested = now + min(max(QUIET_SECONDS, REST_SHARE * (now - began)), LONGEST_REST)
        if lost:
            self._losses = self._losses + 1 if began - self._lost_at < FIGHT_SECONDS + self._pause() else 1
            self._lost_at = now
            self._rested = max(self._rested, now + self._pause())
        self._failures = self._failures + 1 if failed else 0
        self.due = now + AGAIN_SECONDS[self._failures - 1] if 0 < self._failures <= len(AGAIN_SECONDS) else None

    def _pause(self) -> float:
        over = self._losses - PATIENCE
        return min(2.0**over, LONGEST_PAUSE) if over > 0 else 0.0

    @property
    def fighting(self) -> bool:
        return self._losses > PATIENCE


class RuleWatch:
    """Watches one namespace until `close`.  `mend` puts back what is missing and tells what was, and what cannot be;
    it is called in the watch's own thread."""

    def __init__(
        self,
        namespace: Namespace,
        mend: Callable[[], tuple[Iterable[str], Iterable[str]]],
        log: Callable[[str], None],
    ) -> None:
        self._mend = mend
        self._log = log
        self._told: tuple[str, ...] = ()
        self._closing = False
        self._nudged = False
        self._looked = monotonic()
        self._blind = False
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._events: RuleEvents | None = RuleEvents(namespace)
        except OSError:
            self._events = None  # no nf_tables: what there is of rules is iptables-legacy's
        self._thread = Thread(target=self._run, name="rules", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the thread when it has finished what it does."""
        self._closing = True
        os.eventfd_write(self._wake, 1)
        if self._thread.ident is not None:
            self._thread.join()
        if self._events is not None:
            self._events.close()
        os.close(self._wake)

    def call_ended(self) -> None:
        """Somebody changed something through us: with iptables-legacy the occasion to look."""
        if self._blind and monotonic() - self._looked >= LEGACY_SECONDS:
            self._looked = monotonic()
            self._nudged = True
            os.eventfd_write(self._wake, 1)

    def _is_blind(self) -> bool:
        path = program_path.find(programs.IPTABLES[4])
        return self._events is None or (bool(path) and programs.variant(path) == programs.LEGACY)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._events is not None:
            poll.register(self._events.fileno(), select.POLLIN)
        pace = Pace(monotonic())
        while not self._closing:
            wait = None if pace.due is None else max(0.0, pace.due - monotonic()) * 1000
            for fd, _ in poll.poll(wait):
                if fd == self._wake:
                    os.eventfd_read(self._wake)
            if self._nudged or (self._events is not None and self._events.read()):
                self._nudged = False
                pace.removed(monotonic())
            if pace.due is not None and monotonic() >= pace.due and not self._closing:
                self._look(pace)

    def _look(self, pace: Pace) -> None:
        began = monotonic()
        self._blind = self._is_blind()
        try:
            lost, problems = map(tuple, self._mend())
        except (CniError, OSError) as error:
            lost, problems = (), (str(error),)
        self._looked = monotonic()
        fought = pace.fighting
        pace.looked(began, self._looked, bool(lost), bool(problems))
        if lost and not fought:
            self._log(f"restored firewall rules that somebody else removed: {_listed(lost)}")
            if pace.fighting:
                self._log("somebody keeps removing our firewall rules: restoring them at longer and longer intervals")
        if problems and problems != self._told:
            self._log(f"cannot restore firewall rules: {_listed(problems)}")
        self._told = problems


_SHOWN = 5


def _listed(texts: tuple[str, ...]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
