"""Where published ports lead: the endpoints of a container through which it is reached, one an address family."""

from __future__ import annotations

from pycni.firewall.facts import Owner
from pycni.record import Record
from pycni.spec.address import Address, Prefix


class Gateway(Record):
    """A container's endpoint that is its gateway for one family.

    `network` is the CNI list's name and `ifname` the interface, under which the plugins know the attachment;
    `address` the container's address there, with its subnet's length; `backend` the firewall backend the list names
    ("" lets the host decide)."""

    network: str
    ifname: str
    address: Prefix
    backend: str = ""

    def owner(self, container_id: str) -> Owner:
        return Owner(self.network, container_id, self.ifname)


class Gateways(Record):
    """A container without either is not published at all.  `host_address` is where bindings that name no address go
    (the network's option `com.docker.network.bridge.host_binding_ipv4`); None: every address of both families."""

    ipv4: Gateway | None = None
    ipv6: Gateway | None = None
    host_address: Address | None = None

    @property
    def exist(self) -> bool:
        return self.ipv4 is not None or self.ipv6 is not None

    def of(self, family: int) -> Gateway | None:
        """Of family 4 or 6."""
        return self.ipv4 if family == 4 else self.ipv6

    def towards(self, family: int) -> Gateway | None:
        """Where traffic to the host's addresses of this family goes: the other family serves where this one lacks."""
        return self.of(family) or self.of(10 - family)


class Endpoint(Record):
    """One address of a container and the host's device that leads to it, for `Ports.shield`."""

    address: Address
    device: str
