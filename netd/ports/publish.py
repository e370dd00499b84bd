"""Publishes the ports of containers: holds the host's ports, has the firewall lead them to the containers, and serves
through the proxy what the firewall does not take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from netd.ports.gateways import Endpoint, Gateways
from netd.runtime.model import Container, PortBinding
from netd.runtime.places import RuntimePlaces

Wanted = Mapping[str, list[PortBinding] | None]
Bound = dict[str, list[PortBinding]]


class Ports:
    """Thread-safe; the caller does one thing at a time for one container.

    The host is the network namespace of the thread that makes the object.  `warn` takes lines for the operator."""

    def __init__(self, runtime: RuntimePlaces, warn: Callable[[str], None] = lambda _text: None) -> None:
        self._runtime = runtime
        self._warn = warn

    def publish(self, container: Container, gateways: Gateways, wanted: Wanted | None = None) -> Bound:
        """Publishes what the container's configuration asks for, or `wanted`; what is really bound, by container port.
        Nothing of the container may be published before.  PublishFailed, InvalidParameter: and nothing is."""
        raise NotImplementedError

    def unpublish(self, container: Container) -> None:
        """Nothing of the container is published, held or shielded.  Failure, when something could not be taken back,
        only after everything else was."""
        raise NotImplementedError

    def change(self, container: Container, add: Wanted, remove: Wanted) -> Bound:
        """On a running container: removes, then adds; the others go on meanwhile.  What is bound after it.
        NotFound for a binding that is not there; PublishFailed: and everything is as before."""
        raise NotImplementedError

    def move(self, container: Container, gateways: Gateways) -> Bound:
        """Its ports, the same ones, lead to other endpoints from now on.  What is bound after it."""
        raise NotImplementedError

    def restore(self, container: Container, gateways: Gateways) -> list[str]:
        """Takes over what another process published (`container.sandbox.ports`) and makes everything hold again; what
        cannot be, one text each."""
        raise NotImplementedError

    def shield(self, container: Container, endpoints: Iterable[Endpoint]) -> None:
        """Packets for these addresses, and no others of the container, are dropped unless they come through their
        device: from elsewhere only published ports are reachable (contract docker 3.1, raw)."""
        raise NotImplementedError

    def close(self) -> None:
        """Lets go of all ports; rules stay, and with them the traffic of containers."""
        raise NotImplementedError
