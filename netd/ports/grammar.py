"""What `-p` and `--expose` say; pure, and quick to import for the command line.

    -p        [HOST-ADDRESS:][HOST-PORT[-END]]:CONTAINER-PORT[-END][/PROTOCOL]   or just CONTAINER-PORT[-END][/PROTOCOL]
    --expose  PORT[-END][/PROTOCOL]

The answers are in docker's wire form (contract docker 1.9): container ports as "80/tcp", bindings as
{"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}.  HostIp "" means every address of both families, HostPort ""
any free port, "8000-8010" the first free one of these.  A host address is an address, never a name.
"""

from __future__ import annotations

from netd.failure import InvalidParameter
from pycni.record import Record
from pycni.spec.address import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PROTOCOLS = ("tcp", "udp", "sctp")

Bindings = dict[str, list[dict[str, str]]]

_LAST = 65535


class PublishedPort(Record):
    """One fixed host port, as a CNI plugin takes it.  `host_address` None: every address of the host."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_address: Address | None = None

    def as_mapping(self) -> dict[str, object]:
        """An entry of the portMappings capability (contract cni 4.1)."""
        mapping: dict[str, object] = {
            "hostPort": self.host_port,
            "containerPort": self.container_port,
            "protocol": self.protocol,
        }
        if self.host_address is not None:
            mapping["hostIP"] = str(self.host_address)
        return mapping


def parse_publish(text: str, flag: str = "-p") -> tuple[list[str], Bindings]:
    """The container ports and their bindings of one `-p`; InvalidParameter names the flag, its value and the part."""
    try:
        return _parse_publish(text)
    except ValueError as error:
        raise InvalidParameter(f"{flag} {text}: {error}") from None


def parse_publishes(texts: Iterable[str], flag: str = "-p") -> tuple[list[str], Bindings]:
    """Several `-p` together; a container port may be published more than once."""
    exposed: list[str] = []
    bindings: Bindings = {}
    for text in texts:
        ports, found = parse_publish(text, flag)
        exposed += [port for port in ports if port not in bindings]
        for port in ports:
            bindings.setdefault(port, []).extend(found[port])
    return exposed, bindings


def parse_expose(text: str, flag: str = "--expose") -> list[str]:
    """The container ports of one `--expose`; InvalidParameter names the flag and its value."""
    try:
        if ":" in text:
            raise ValueError("a host port is published with -p")
        ports, protocol = split_protocol(text)
        return [f"{port}/{protocol}" for port in port_range(ports, "port")]
    except ValueError as error:
        raise InvalidParameter(f"{flag} {text}: {error}") from None


def parse_fixed(text: str, flag: str = "-p") -> tuple[PublishedPort, ...]:
    """One `-p` for a CNI plugin, which cannot choose host ports: InvalidParameter where the value leaves a choice."""
    _, bindings = parse_publish(text, flag)
    found = []
    for port, (binding,) in bindings.items():
        number, _, protocol = port.partition("/")
        if not binding["HostPort"].isdigit():
            raise InvalidParameter(f"{flag} {text}: one host port is needed for container port {port}")
        address = Address.parse(binding["HostIp"]) if binding["HostIp"] else None
        found.append(PublishedPort(int(binding["HostPort"]), int(number), protocol, address))
    return tuple(found)


def parse_port(text: str) -> tuple[int, str]:
    """(number, protocol) of a container port, "80/tcp"; ValueError.  Without a protocol it is tcp."""
    ports, protocol = split_protocol(text)
    return single_port(ports, "container port"), protocol


def parse_host_port(text: str) -> range:
    """The host ports that HostPort allows, none for "" and "0" (any at all); ValueError."""
    return range(0) if text in ("", "0") else port_range(text, "host port")


def split_protocol(text: str) -> tuple[str, str]:
    """("80-81", "udp") of "80-81/UDP"; ValueError for a protocol that has no ports."""
    ports, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol or 'missing'}: one of {', '.join(PROTOCOLS)}")
    return ports, protocol


def single_port(text: str, what: str) -> int:
    """A port's number, 1 to 65535; ValueError calls it `what`."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _LAST):
        raise ValueError(f"{what} {text!r} is not a number from 1 to {_LAST}" if text else f"no {what}")
    return int(text)


def port_range(text: str, what: str) -> range:
    """The ports of "80" or "80-90"; ValueError calls it `what`."""
    low, dash, high = text.partition("-")
    first = single_port(low, what)
    last = single_port(high, what) if dash else first
    if last < first:
        raise ValueError(f"{what} {text!r}: a range begins with its lower end")
    return range(first, last + 1)


def _parse_publish(text: str) -> tuple[list[str], Bindings]:
    body, protocol = split_protocol(text)
    head, _, container_text = body.rpartition(":")
    address_text, separated, host_text = head.rpartition(":")
    container = port_range(container_text, "container port")
    address = _host_address(address_text) if separated else ""
    host = parse_host_port(host_text)
    if host and len(container) > 1 and len(host) != len(container):
        raise ValueError(f"{len(host)} host ports for {len(container)} container ports")
    bindings: Bindings = {}
    for index, port in enumerate(container):
        choice = host[index : index + 1] if len(container) > 1 else host
        bindings[f"{port}/{protocol}"] = [{"HostIp": address, "HostPort": _range_text(choice)}]
    return list(bindings), bindings


def _range_text(ports: range) -> str:
    if len(ports) < 2:
        return "".join(map(str, ports))
    return f"{ports[0]}-{ports[-1]}"


def _host_address(text: str) -> str:
    """Brackets around an IPv6 address are usual, and not needed; nothing is no address."""
    if not text:
        return ""
    bracketed = text.startswith("[") and text.endswith("]")
    return str(Address.parse(text[1:-1] if bracketed else text))
