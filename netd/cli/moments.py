"""Times as people read and write them; pure."""

from __future__ import annotations

from netd.failure import InvalidParameter

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def since(moment: float, now: float) -> str:
    """`5 minutes ago`; `N/A` for an image that does not tell when it was made."""
    return f"{ago(max(0.0, now - moment))} ago" if moment > 0 else "N/A"


def ago(seconds: float) -> str:
    """`5 minutes`, as docker rounds it."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return f"{int(seconds)} second{'s' if int(seconds) != 1 else ''}"
    minutes = int(seconds / 60)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, size, word in ((24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"), (24 * 365 * 2, 24 * 30, "months")):
        if hours < limit:
            return f"{hours // size} {word}"
    return f"{hours // (24 * 365)} years"


def seconds_of(flag: str, text: str, now: float) -> str:
    """A moment as seconds of the epoch: `1767323045`, `2026-01-02T03:04:05Z`, `2026-01-02`, or `1h30m` before now.
    "" stays; InvalidParameter."""
    if not text or text.replace(".", "", 1).isdecimal():
        return text
    past = _duration(text)
    if past is not None:
        return f"{now - past:.9f}"
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidParameter(f"{flag} {text!r}: expected a time such as 2026-01-02T03:04:05Z, or 10m") from None
    # a time without a zone is one of here
    return f"{moment.timestamp():.9f}"


def _duration(text: str) -> float | None:
    total, digits, rest = 0.0, "", text
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("hms"))]
        if unit not in _UNITS:
            return None
        rest = rest[len(unit) :]
        try:
            total += float(digits) * _UNITS[unit]
        except ValueError:
            return None
    return total


def local(seconds: float) -> str:
    """`2026-01-02 03:04:05 +0000 UTC`, as docker's templates show a moment."""
    if seconds <= 0:
        return "N/A"
    from time import gmtime, strftime

    return strftime("%Y-%m-%d %H:%M:%S +0000 UTC", gmtime(seconds))
