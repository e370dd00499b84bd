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
            if len(host_ports) != 1 or binding not in there:
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
            found = [each for each in bound.get(port, ()) if _means(binding, each)]
            yield from ((port, each) for each in _some(port, binding, found))


def _means(binding: PortBinding, there: PortBinding) -> bool:
    ports = grammar.parse_host_port(binding.host_port)
    if ports and int(there.host_port) not in ports:
        return False
    return not binding.host_ip or _address(binding.host_ip) == _address(there.host_ip)


def _some(port: str, binding: PortBinding, found: list[PortBinding]) -> list[PortBinding]:
    if not found:
        where = f" on {_spoken(binding)}" if binding != PortBinding() else ""
        raise NotFound(f"port {port} is not published{where}")
    return found


def _spoken(binding: PortBinding) -> str:
    parts = [f"host port {binding.host_port}"] if binding.host_port else []
    return " of ".join([*parts, f"address {binding.host_ip}"] if binding.host_ip else parts)


def amended(
    bindings: Wanted | None, add: Wanted, remove: Wanted, bound: Bound | None = None
) -> dict[str, list[PortBinding] | None]:
    """A container's configured bindings after such a change, for its next start.  `bound` is what a running one has
    published before it.  NotFound, for one that does not run, when nothing of the kind is configured."""
    kept = normalised(bindings or {})
    for port, gone in normalised(remove).items():
        for binding in gone:
            wishes = kept.get(port, [])
            found = [each for each in wishes if _configured(binding, each, bound is not None)]
            if bound is None:
                _some(port, binding, found)
            there = [each for each in (bound or {}).get(port, ()) if _means(binding, each)]
            kept[port] = _without(wishes, binding, _withdrawn(found, binding, there))
    for port, new in normalised(add).items():
        kept[port] = normalised({port: [*kept.get(port, ()), *new]})[port]
    return {port: each for port, each in kept.items() if each}


def _configured(binding: PortBinding, wish: PortBinding, running: bool) -> bool:
    """As `_means`, for what was asked rather than what it became: what left a choice may have become any of it, and
    what named no address, while it runs, the default one of a network."""
    ports, choice = grammar.parse_host_port(binding.host_port), grammar.parse_host_port(wish.host_port)
    if ports and not (set(ports) & set(choice) if choice else running):
        return False
    if not wish.host_ip:
        return running or binding.host_ip == "" or _address(binding.host_ip) in _ANY
    return not binding.host_ip or _address(binding.host_ip) == _address(wish.host_ip)


def _withdrawn(found: list[PortBinding], binding: PortBinding, there: list[PortBinding]) -> list[PortBinding]:
    """Which of the wishes have become what is `there` and goes: the fixed ones, and of those that had a choice as many
    as the rest needs, narrow ones first."""
    if not binding.host_port or not there:
        return found
    gone, others, numbers = [], [], {int(each.host_port) for each in there}
    for each in sorted(found, key=lambda each: len(grammar.parse_host_port(each.host_port)) or 1 << 16):
        choice = grammar.parse_host_port(each.host_port)
        if len(choice) == 1:
            gone.append(each)
            numbers.discard(choice[0])
        else:
            others.append((choice, each))
    for choice, each in others:
        number = min((number for number in numbers if not choice or number in choice), default=None)
        if number is not None:
            gone.append(each)
            numbers.discard(number)
    return gone


def _without(wishes: list[PortBinding], binding: PortBinding, gone: list[PortBinding]) -> list[PortBinding]:
    """Of a wish for both families one is left when the other goes."""
    address = _address(binding.host_ip)
    other = next((str(each) for each in _ANY if each != address), "") if address in _ANY else ""
    kept, rest = [], list(gone)
    for wish in wishes:
        if wish not in rest:
            kept.append(wish)
            continue
        rest.remove(wish)
        if other and not wish.host_ip:
            kept.append(PortBinding(other, wish.host_port))
    return kept


_ANY = (Address.parse("0.0.0.0"), Address.parse("::"))
