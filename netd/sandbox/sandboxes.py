"""Sandboxes: everything of a container that is network, from its create to its end (contract docker 1.6 to 1.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from netd.failure import Unsupported
from netd.networks.places import Places
from netd.runtime.model import Container, Endpoint
from netd.runtime.places import RuntimePlaces
from netd.sandbox.opened import Opened, Publisher


class Announcer(Protocol):
    """The part of `netd.runtime.bus.Events` that is used here."""

    def publish(self, type_: str, action: str, actor_id: str, attributes: dict[str, str] | None = None) -> object: ...


class Sandboxes:
    """Thread-safe; the caller holds one container's lock during a call about it."""

    def __init__(
        self,
        places: Places,
        runtime: RuntimePlaces,
        ports: Publisher,
        lookup: Callable[[str], Container],
        everyone: Callable[[], list[Container]],
        events: Announcer,
    ) -> None:
        self._places = places
        self._runtime = runtime
        self._ports = ports
        self._lookup = lookup
        self._everyone = everyone
        self._events = events

    def check(self, container: Container) -> list[str]:
        """At create: normalises mode, host name and networks in place; the warnings.  Failure names the flag."""
        raise Unsupported("sandboxes are being built")

    def open(self, container: Container) -> Opened:
        """At start: namespace, networks, routes, sysctls, files, names, links, ports; fills `container.networks` and
        `container.sandbox`.  Failure, with everything undone."""
        raise Unsupported("sandboxes are being built")

    def close(self, container: Container) -> None:
        """At the end: names, ports, endpoints, namespace; never stops at the first error."""
        raise Unsupported("sandboxes are being built")

    def connect(self, container: Container, network: str, endpoint: Endpoint) -> None:
        """A running container gets an interface, another one only the wish."""
        raise Unsupported("sandboxes are being built")

    def disconnect(self, container: Container, network: str, force: bool = False) -> None:
        """The reverse; Failure (500) when it is not connected."""
        raise Unsupported("sandboxes are being built")

    def renamed(self, container: Container, old: str) -> None:
        """`container.name` is new: others find it by that name at once, and by `old` no more."""
        raise Unsupported("sandboxes are being built")

    def restore(self, containers: Iterable[Container]) -> None:
        """At daemon start, before anything else: `containers` is everyone, those whose processes live with a `state`
        that says so.  Their names and ports are served again; what nobody uses any more is returned."""
        raise Unsupported("sandboxes are being built")

    def prepare_default_bridge(self) -> None:
        """The default network's list exists, and its bridge has its address."""
        raise Unsupported("sandboxes are being built")
