"""Whose network namespace a container is in: its own, or that of the container it joined, however many steps away."""

from __future__ import annotations

from netd.failure import Conflict, Failure, NotFound
from netd.runtime.model import Container
from netd.sandbox import modes
from netd.sandbox.parts import Parts

_LONGEST = 64
"""Containers in a row that joined each other; more is a circle."""


def donor_of(parts: Parts, container: Container) -> Container:
    """The container joined, which has to run.  Failure (500) when it is gone, Conflict (409) when it does not run."""
    target = modes.parse(container.host_config.network_mode).target
    try:
        donor = parts.lookup(target)
    except NotFound:
        raise Failure(f"cannot join network of container {target}: no such container") from None
    if donor.id == container.id:
        raise Failure(f"container {container.name} cannot join its own network")
    if donor.state.status == "restarting":
        raise Conflict(f"cannot join network of container {donor.name} ({donor.id}) while it is restarting")
    if not donor.state.running:
        raise Conflict(f"cannot join network of a non running container: {donor.id} ({donor.name})")
    return donor


def root_of(parts: Parts, container: Container) -> Container:
    """Who made the namespace this container is in; the last known one where a container on the way is gone."""
    current = container
    for _ in range(_LONGEST):
        mode = modes.parse(current.host_config.network_mode)
        if mode.kind != modes.CONTAINER:
            return current
        try:
            current = parts.lookup(mode.target)
        except NotFound:
            return current
    raise Failure(f"the containers that {container.name} joins join each other in a circle")
