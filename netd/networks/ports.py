"""What `-p` says: `[HOST-ADDRESS:]HOST-PORT:CONTAINER-PORT[/PROTOCOL]`, ports as ranges of equal length too; pure."""

from __future__ import annotations

from netd.networks.errors import InvalidRequest
from pycni.record import Record
from pycni.spec.address import Address

PROTOCOLS = ("tcp", "udp", "sctp")


class PublishedPort(Record):
    """`host_address` None: every address of the host."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_address: Address | None = None

    def as_mapping(self) -> dict[str, object]:
        """An entry of the portMappings capability (contract 4.1)."""
        mapping: dict[str, object] = {
            "hostPort": self.host_port,
            "containerPort": self.container_port,
            "protocol": self.protocol,
        }
        if self.host_address is not None:
            mapping["hostIP"] = str(self.host_address)
        return mapping


def parse_published(text: str) -> tuple[PublishedPort, ...]:
    """One port for each pair of a range; InvalidRequest names what is wrong with `text`."""
    body, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise InvalidRequest(f"-p {text}: protocol {protocol or 'missing'}: one of {', '.join(PROTOCOLS)}")
    head, colon, container = body.rpartition(":")
    address_text, _, host = head.rpartition(":")
    if not colon or not host:
        raise InvalidRequest(f"-p {text}: expected [HOST-ADDRESS:]HOST-PORT:CONTAINER-PORT[/PROTOCOL]")
    address = None
    if address_text:
        try:
            address = Address.parse(address_text.removeprefix("[").removesuffix("]"))
        except ValueError as error:
            raise InvalidRequest(f"-p {text}: {error}") from None
    host_ports, container_ports = _range(text, host), _range(text, container)
    if len(host_ports) != len(container_ports):
        raise InvalidRequest(f"-p {text}: {len(host_ports)} host ports for {len(container_ports)} container ports")
    return tuple(
        PublishedPort(outside, inside, protocol, address)
        for outside, inside in zip(host_ports, container_ports, strict=True)
    )


def _range(text: str, ports: str) -> range:
    low, dash, high = ports.partition("-")
    if not (low.isascii() and low.isdigit() and (not dash or (high.isascii() and high.isdigit()))):
        raise InvalidRequest(f"-p {text}: {ports!r} is not a port or a range of ports")
    first, last = int(low), int(high if dash else low)
    if not 1 <= first <= last <= 65535:
        raise InvalidRequest(f"-p {text}: {ports!r} is not a range between 1 and 65535")
    return range(first, last + 1)
