"""How long something is ago, and a container's state, in docker's words.  Pure."""

from __future__ import annotations

from netd.api.query import rfc3339
from netd.runtime.model import NEVER, State

_SECOND = 1_000_000_000
_HOUR = 3600
_DAY = 24


def human(nanoseconds: int) -> str:
    """ "About a minute", "3 weeks": docker's rounding, which scripts compare with."""
    seconds = max(0, nanoseconds) // _SECOND
    minutes = seconds // 60
    hours = (seconds + _HOUR // 2) // _HOUR
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 2 * _DAY:
        return f"{hours} hours"
    if hours < 14 * _DAY:
        return f"{hours // _DAY} days"
    if hours < 60 * _DAY:
        return f"{hours // _DAY // 7} weeks"
    if hours < 2 * 365 * _DAY:
        return f"{hours // _DAY // 30} months"
    return f"{seconds // _HOUR // _DAY // 365} years"


def status_text(state: State, now_ns: int) -> str:
    """The STATUS column of `docker ps`."""

    def ago(moment: str) -> str:
        return human(now_ns - (rfc3339(moment) or 0))

    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {ago(state.finished_at)} ago"
    if state.running:
        return f"Up {ago(state.started_at)}{' (Paused)' if state.status == 'paused' else ''}"
    if state.status == "dead":
        return "Dead"
    if state.started_at == NEVER:
        return "Created"
    return f"Exited ({state.exit_code}) {ago(state.finished_at)} ago"
