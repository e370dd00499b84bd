"""What is published of one container, as this process knows it."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from netd.ports.gateways import Gateways
from netd.ports.hold import Held
from netd.ports.nat import Lead, Rules
from netd.ports.proxy import Listener
from netd.ports.streams import Target
from netd.ports.wanted import Bound
from netd.runtime.model import Container, PortBinding
from pycni.firewall.facts import Owner


class Port:
    """One host port on one address.  `port` is the container's ("80/tcp"), `number` its number."""

    __slots__ = ("held", "listener", "number", "port")

    def __init__(self, port: str, number: int, held: Held) -> None:
        self.port = port
        self.number = number
        self.held = held
        self.listener: Listener | None = None

    @property
    def lead(self) -> Lead:
        return self.held.claim, self.number

    @property
    def binding(self) -> PortBinding:
        return PortBinding(str(self.held.claim.address), str(self.held.claim.port))

    def target(self, gateways: Gateways) -> Target | None:
        """Where the proxy is to connect to."""
        gateway = gateways.towards(self.held.claim.address.family)
        if gateway is None:
            return None
        address = gateway.address.address
        family = socket.AF_INET if address.family == 4 else socket.AF_INET6
        return family, (str(address), self.number)


class Published:
    """`rules` are those that hold, `ports` are held whether or not there are gateways to lead to."""

    def __init__(self, container: Container, gateways: Gateways) -> None:
        self.container = container
        self.gateways = gateways
        self.ports: list[Port] = []
        self.rules: dict[Owner, Rules] = {}

    @property
    def bound(self) -> Bound:
        """As docker's clients see it; a container that nothing leads to publishes nothing."""
        return bound(self.ports) if self.gateways.exist else {}


def bound(ports: Iterable[Port]) -> Bound:
    found: Bound = {}
    for port in ports:
        found.setdefault(port.port, []).append(port.binding)
    return found
