"""The environment of a container's process, in docker's order.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(hostname: str, terminal: bool, links: Sequence[str], own: Iterable[str]) -> list[str]:
    """`own` overrides what comes before; an entry without "=" takes the variable away."""
    entries = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={hostname}", *(["TERM=xterm"] if terminal else []), *links]
    variables = {entry.partition("=")[0]: entry for entry in entries}
    for entry in own:
        name, equals, _value = entry.partition("=")
        if equals:
            variables[name] = entry
        else:
            variables.pop(name, None)
    return list(variables.values())
