"""What the modules of this package work with, made once, and what they ask of their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from netd.networks.places import Places
from netd.ports.gateways import Endpoint as Shielded
from netd.ports.gateways import Gateways
from netd.runtime.model import Container, PortBinding
from netd.runtime.places import RuntimePlaces
from netd.sandbox import resolv
from netd.sandbox.attaching import Attacher
from netd.sandbox.catalog import Catalog, Known
from netd.sandbox.chain import Chains
from netd.sandbox.etc import Etc
from netd.sandbox.resolv import HostFile
from netd.sandbox.resolver import Resolver
from netd.sandbox.settings import Settings
from pycni.record import Record

HOSTS = "/etc/hosts"


class Publisher(Protocol):
    """The part of `netd.ports.publish.Ports` that is used here; see there."""

    def publish(self, container: Container, gateways: Gateways) -> dict[str, list[PortBinding]]: ...
    def unpublish(self, container: Container) -> None: ...
    def move(self, container: Container, gateways: Gateways) -> dict[str, list[PortBinding]]: ...
    def restore(self, container: Container, gateways: Gateways) -> list[str]: ...
    def shield(self, container: Container, endpoints: Iterable[Shielded]) -> None: ...


class Announcer(Protocol):
    """The part of `netd.runtime.bus.Events` that is used here."""

    def publish(
        self, type_: str, action: str, actor_id: str, attributes: Mapping[str, str] | None = None
    ) -> object: ...


class Parts(Record):
    """`lookup` finds a container by id or name (NotFound), `everyone` gives all."""

    places: Places
    runtime: RuntimePlaces
    settings: Settings
    chains: Chains
    catalog: Catalog
    attacher: Attacher
    resolver: Resolver
    ports: Publisher
    lookup: Callable[[str], Container]
    everyone: Callable[[], list[Container]]
    events: Announcer
    log: Callable[[str], None]

    def path(self, container_id: str) -> str:
        """Where the namespace of this container's sandbox is."""
        return f"{self.runtime.namespaces}/{container_id[:12]}"

    def etc(self, container_id: str) -> Etc:
        return Etc(self.runtime, container_id)

    def host_file(self, for_inside: bool) -> HostFile:
        """The host's resolv.conf; where systemd-resolved stands in for the real servers and they are to be asked from
        inside a container, the file that names them (contract 2.6)."""
        first, *others = self.places.resolv_confs
        found = _read_host_file(first)
        if for_inside and found.is_stub:
            return next((each for each in map(_read_host_file, others) if each.servers), found)
        return found

    def announce(self, action: str, known: Known, container: Container) -> None:
        driver = known.network.driver if known.network is not None else {"none": "null"}.get(known.name, known.name)
        self.events.publish(
            "network", action, known.id, {"container": container.id, "name": known.name, "type": driver}
        )


def _read_host_file(path: str) -> HostFile:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return resolv.parse(file.read(), path)
    except OSError:
        return HostFile(path)


def host_hosts() -> str:
    """The host's /etc/hosts; "" where there is none."""
    try:
        with open(HOSTS, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
