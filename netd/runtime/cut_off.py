"""A start that was cut off: what it may have made is taken away, however far it came."""

from __future__ import annotations

import json

from netd.runtime import conmon, control_groups
from netd.runtime.runc import Runc


def take_away(runc: Runc, container_id: str, bundle: str) -> None:
    """Kills conmon and what it started; removes runc's state and control groups.  Failure, OSError."""
    conmon.abandon(bundle)
    _remove(runc, container_id, bundle)
    # what was killed ends a moment later, and may have made something until then
    if conmon.await_end(bundle):
        _remove(runc, container_id, bundle)


def _remove(runc: Runc, container_id: str, bundle: str) -> None:
    runc.delete(container_id)
    path = control_group(bundle)
    if path:
        control_groups.remove(path)


def control_group(bundle: str) -> str:
    """What runc's configuration says; "" when the start did not come to write it."""
    try:
        with open(f"{bundle}/config.json", encoding="utf-8") as stream:
            path: str = json.load(stream)["linux"]["cgroupsPath"]
    except (FileNotFoundError, ValueError):
        return ""
    return path
