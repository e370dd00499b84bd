"""`--link` on the default bridge: a line in /etc/hosts and variables (contract docker 1.6).  Pure.

Docker has dropped the variables; its own client tests still look for them, and so do old images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from netd.failure import InvalidParameter, NotFound
from netd.runtime.model import Container
from netd.sandbox.files import Line
from pycni.record import Record
from pycni.spec.address import Address

_NOT_PASSED_ON = ("HOME", "PATH")

Port = tuple[int, str]
"""Number and protocol."""


class Link(Record):
    """`target` is a name or id as given."""

    target: str
    alias: str


def parse(text: str) -> Link:
    """`CONTAINER[:ALIAS]`, also docker's stored form `/target:/source/alias`; InvalidParameter."""
    target, colon, alias = text.partition(":")
    target, alias = target.removeprefix("/"), alias.rpartition("/")[2]
    if not target or (colon and not alias) or ":" in alias:
        raise InvalidParameter(f"invalid link: {text!r}, expected CONTAINER[:ALIAS] (--link)")
    return Link(target, alias or target)


def target(container: Container, link: Link, lookup: Callable[[str], Container]) -> Container:
    """The container that a link on the default bridge leads to: the one it was made for, however that is called now,
    else one that has its name since.  NotFound names the flag."""
    for text in (container.linked.get(link.alias), link.target):
        if text:
            try:
                return lookup(text)
            except NotFound:
                continue
    text = link.target if link.alias == link.target else f"{link.target}:{link.alias}"
    raise NotFound(f"could not get container for {link.target} (--link {text})")


def hosts_lines(link: Link, target: Container, addresses: Iterable[Address]) -> list[Line]:
    """`ADDRESS alias hostname name` for each address of the target."""
    return [(str(address), host_names(link, target)) for address in addresses]


def host_names(link: Link, target: Container, name: str = "") -> str:
    """The names in such a line, also of a target that is, or was, called `name`."""
    names = (link.alias, target.config.hostname, name or target.name)
    return " ".join(dict.fromkeys(each for each in names if each))


def variables(link: Link, source: str, target: Container, address: Address) -> tuple[str, ...]:
    """What the container named `source` is told about a target it is linked to."""
    prefix = link.alias.upper().replace("-", "_")
    ports = exposed(target)
    found = [f"{prefix}_NAME=/{source}/{link.alias}"]
    if ports:
        found.append(f"{prefix}_PORT={_url(ports[0], address)}")
    for run in _runs(ports):
        found += _range_variables(prefix, run, address)
    for port in ports:
        number, protocol = port
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        found += [f"{name}={_url(port, address)}", f"{name}_ADDR={address}", f"{name}_PORT={number}"]
        found.append(f"{name}_PROTO={protocol}")
    for entry in target.config.env or ():
        key, equals, value = entry.partition("=")
        if equals and key not in _NOT_PASSED_ON:
            found.append(f"{prefix}_ENV_{key}={value}")
    return tuple(found)


def exposed(target: Container) -> list[Port]:
    """The target's exposed ports, lowest first, tcp before others of the same number."""
    found = []
    for text in target.config.exposed_ports or {}:
        number, _, protocol = text.partition("/")
        if number.isascii() and number.isdigit():
            found.append((int(number), protocol.lower() or "tcp"))
    return sorted(found, key=lambda port: (port[0], port[1] != "tcp", port[1]))


def _url(port: Port, address: Address) -> str:
    host = f"[{address}]" if address.family == 6 else str(address)
    return f"{port[1]}://{host}:{port[0]}"


def _runs(ports: Sequence[Port]) -> Iterator[list[Port]]:
    """Runs of two or more successive ports of one protocol."""
    for protocol in dict.fromkeys(protocol for _, protocol in ports):
        run: list[Port] = []
        for port in (each for each in ports if each[1] == protocol):
            if run and port[0] != run[-1][0] + 1:
                if len(run) > 1:
                    yield run
                run = []
            run.append(port)
        if len(run) > 1:
            yield run


def _range_variables(prefix: str, run: Sequence[Port], address: Address) -> list[str]:
    first, last = run[0], run[-1]
    name = f"{prefix}_PORT_{first[0]}_{first[1].upper()}"
    return [
        f"{name}_START={_url(first, address)}",
        f"{name}_PORT_START={first[0]}",
        f"{name}_END={_url(last, address)}",
        f"{name}_PORT_END={last[0]}",
    ]
