"""docker update: other limits and another restart policy for a container that is there."""

from __future__ import annotations

import copy
import json

from netd.failure import Conflict, InvalidParameter
from netd.runtime.bundle.host import this_host
from netd.runtime.bundle.limits import check_limits, resources
from netd.runtime.entry import Entry
from netd.runtime.model import HostConfig
from netd.runtime.parts import Parts
from netd.runtime.restart import check_policy

_LIMITS = (
    "memory",
    "memory_swap",
    "memory_reservation",
    "cpu_shares",
    "nano_cpus",
    "cpu_period",
    "cpu_quota",
    "cpuset_cpus",
    "cpuset_mems",
    "pids_limit",
)


def update(parts: Parts, entry: Entry, wanted: HostConfig) -> list[str]:
    """Warnings.  What is 0 or "" in `wanted` stays as it is, everything but limits and restart policy is ignored.
    InvalidParameter in docker's words, Conflict; nothing is changed then."""
    with entry.lock:
        container = entry.container
        if entry.removing:
            raise Conflict(f"Container {container.id} is marked for removal and cannot be updated")
        changed = _merged(container.host_config, wanted)
        check_policy(changed)
        warnings = check_limits(changed, this_host())
        before = container.host_config
        if entry.run is not None and any(getattr(changed, key) != getattr(before, key) for key in _LIMITS):
            parts.runc.update(container.id, json.dumps(resources(changed, this_host())))
        container.host_config = changed
        parts.store.save(container, durable=True)
    parts.tell(container, "update")
    return warnings


def _merged(before: HostConfig, wanted: HostConfig) -> HostConfig:
    changed = copy.copy(before)
    for key in _LIMITS:
        if getattr(wanted, key):
            setattr(changed, key, getattr(wanted, key))
    # what a start makes of a limit without one for swap
    swap = before.memory_swap or 2 * before.memory
    if wanted.memory and not wanted.memory_swap and 0 < swap < wanted.memory:
        raise InvalidParameter(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    if wanted.restart_policy.name:
        if before.auto_remove and wanted.restart_policy.name != "no":
            raise InvalidParameter("Restart policy cannot be updated because AutoRemove is enabled for the container")
        changed.restart_policy = wanted.restart_policy
    return changed
