"""What starting a container's process needs to know of its sandbox, and what publishing its ports does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from netd.runtime.model import Container, PortBinding
from pycni.record import Record
from pycni.spec.address import Address, Prefix


class Opened(Record):
    """An open sandbox.  `netns` is the namespace's path, "" for the host's own; `hosts`, `resolv_conf` and
    `hostname_file` are files to mount over those in /etc, "" for none; `environment` are variables that links add
    ("KEY=value")."""

    netns: str
    hosts: str
    resolv_conf: str
    hostname_file: str
    hostname: str
    environment: tuple[str, ...] = ()


class GatewayEndpoint(Record):
    """The endpoint through which a container's published ports of one address family go: the one that is its default
    gateway, or, without any, none.  `network` is the name of the CNI list (the owner of its rules), `address` the
    container's with its subnet's length, `backend` the list's firewall ("" for automatic)."""

    network: str
    ifname: str
    netns: str
    address: Prefix
    gateway: Address
    backend: str = ""

    @property
    def family(self) -> int:
        return self.address.family


class Publisher(Protocol):
    """What a sandbox asks of `netd.ports`; every method is for a container whose endpoints are attached."""

    def publish(self, container: Container, gateways: Sequence[GatewayEndpoint]) -> Mapping[str, list[PortBinding]]:
        """Everything that `container.host_config` wants published is; what was really bound, by "80/tcp"."""
        ...

    def unpublish(self, container: Container) -> None:
        """Nothing of the container is published."""
        ...

    def move(self, container: Container, gateways: Sequence[GatewayEndpoint]) -> Mapping[str, list[PortBinding]]:
        """The same host ports lead to other endpoints; what is bound now."""
        ...

    def restore(self, container: Container, gateways: Sequence[GatewayEndpoint]) -> None:
        """A new daemon holds the ports that `container.sandbox.ports` names."""
        ...
