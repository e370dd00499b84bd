"""Which ports a container wants published, and in which order they get host ports; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from netd.failure import InvalidParameter, NotFound
from netd.ports import grammar
from netd.runtime.model import Container, PortBinding
from pycni.record import Record
from pycni.spec.address import Address

Wanted = Mapping[str, list[PortBinding] | None]
Bound = dict[str, list[PortBinding]]

_Value = TypeVar("_Value")


class Request(Record):
    """One binding to be made, the `position`th asked for.  `host_ports` is empty for any, `host_address` None for the
    default."""

    position: int
    port: str
    number: int
    protocol: str
    host_address: Address | None
    host_ports: range


def wanted(container: Container) -> dict[str, list[PortBinding]]:
    """`-p`, and with `-P` any host port for each exposed port that `-p` does not name.  InvalidParameter."""
    found = normalised(container.host_config.port_bindings or {})
    if container.host_config.publish_all_ports:
        for text in container.config.exposed_ports or {}:
            for port in exposed(text):
                found.setdefault(port, [PortBinding()])
    return found


def normalised(bindings: Wanted) -> dict[str, list[PortBinding]]:
    """Keys as "80/tcp", a port without bindings given an empty one, nothing fixed asked for twice.  InvalidParameter
    naming a port or binding that is none."""
    found: dict[str, list[PortBinding]] = {}
    for text, each in bindings.items():
        number, protocol = _checked(text, "container port", grammar.parse_port)
        there = found.setdefault(f"{number}/{protocol}", [])
        for binding in each or [PortBinding()]:
            host_ports = _checked(binding.host_port, f"host port of {text}", grammar.parse_host_port)
            if binding.host_ip:
                _checked(binding.host_ip, f"host address of {text}", Address.parse)
            if not host_ports or binding not in there:
                there.append(binding)
    return found


def exposed(text: str) -> list[str]:
    """["80/tcp"] of "80", a key of ExposedPorts; a range gives several.  InvalidParameter."""
    return grammar.parse_expose(text, "exposed port")


def _checked(text: str, what: str, parse: Callable[[str], _Value]) -> _Value:
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidParameter(f'invalid port specification: "{text}": {what}: {error}') from None


def requests(bindings: Wanted) -> list[Request]:
    """Fixed host ports first, then ranges, then those that may be any: what leaves a choice does not take what another
    binding has to have."""
    flat = [(port, each) for port, bound in normalised(bindings).items() for each in bound]
    found = [
        Request(index, port, *grammar.parse_port(port), _address(each.host_ip), grammar.parse_host_port(each.host_port))
        for index, (port, each) in enumerate(flat)
    ]
    return sorted(found, key=lambda request: len(request.host_ports) or 1 << 16)


def _address(text: str) -> Address | None:
    return Address.parse(text) if text else None


def chosen(bound: Bound, remove: Wanted) -> Iterator[tuple[str, PortBinding]]:
    """The bindings of `bound` that `remove` means: one without a host port or address means any, a port without
    bindings all.  NotFound for what is not there."""
    for port, bindings in normalised(remove).items():
        for binding in bindings:
            ports = grammar.parse_host_port(binding.host_port)
            found = [each for each in bound.get(port, ()) if _means(binding, ports, each)]
            if not found:
                where = f" on {_spoken(binding)}" if binding != PortBinding() else ""
                raise NotFound(f"port {port} is not published{where}")
            yield from ((port, each) for each in found)


def _means(binding: PortBinding, ports: range, there: PortBinding) -> bool:
    if ports and int(there.host_port) not in ports:
        return False
    return not binding.host_ip or Address.parse(binding.host_ip) == Address.parse(there.host_ip)


def _spoken(binding: PortBinding) -> str:
    parts = [f"host port {binding.host_port}"] if binding.host_port else []
    return " of ".join([*parts, f"address {binding.host_ip}"] if binding.host_ip else parts)


def amended(bindings: Wanted | None, add: Wanted, remove: Wanted) -> dict[str, list[PortBinding] | None]:
    """A container's configured bindings after such a change, for its next start."""
    kept = normalised(bindings or {})
    for port, gone in normalised(remove).items():
        for binding in gone:
            ports = grammar.parse_host_port(binding.host_port)
            kept[port] = [each for each in kept.get(port, []) if not _configured(binding, ports, each)]
    for port, new in normalised(add).items():
        kept[port] = kept.get(port, []) + [each for each in new if each not in kept.get(port, [])]
    return {port: each for port, each in kept.items() if each}


def _configured(binding: PortBinding, ports: range, there: PortBinding) -> bool:
    """As `_means`, for what was asked rather than what it became: what left a choice may have become any of it."""
    choice = grammar.parse_host_port(there.host_port)
    if ports and choice and not set(ports) & set(choice):
        return False
    return not binding.host_ip or there.host_ip in ("", binding.host_ip)
