"""The text of a container's /etc/resolv.conf (contract docker 1.8, 2.2, 2.6).  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netd.dns.resolvconf import nameservers
from netd.failure import InvalidParameter
from pycni.names import RESOLVER
from pycni.record import Record
from pycni.spec.address import Address

_STUB = "127.0.0.53"
"""systemd-resolved's own; the real servers are in another file of its."""

_FALLBACK4 = ("8.8.8.8", "8.8.4.4")
_FALLBACK6 = ("2001:4860:4860::8888", "2001:4860:4860::8844")

_HEADER = """\
# Made by pynetd for this container.
# It may be edited: a file that was changed from inside is left alone until the
# container starts anew.
"""


class HostFile(Record):
    """What the host's file says, and where it is."""

    path: str
    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    text: str = ""

    @property
    def is_stub(self) -> bool:
        """Whether systemd-resolved stands in for all servers."""
        return self.servers == (_STUB,)


class Wishes(Record):
    """`--dns`, `--dns-search`, `--dns-opt`; a search list of only "." is an empty one."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse(text: str, path: str) -> HostFile:
    """resolv.conf(5): the last `search` or `domain` counts, options add up."""
    search: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] in ("search", "domain"):
            search = [word for word in words[1:] if word != "."]
        elif words[0] == "options":
            options += words[1:]
    return HostFile(path, nameservers(text), tuple(search), tuple(options), text)


def wishes(servers: Sequence[str] | None, search: Sequence[str] | None, options: Sequence[str] | None) -> Wishes:
    """InvalidParameter for what is no address, or would break the file."""
    for server in servers or ():
        try:
            Address.parse(server.partition("%")[0])
        except ValueError:
            raise InvalidParameter(f"invalid IP address: {server!r} (--dns)") from None
    for flag, words in (("--dns-search", search), ("--dns-opt", options)):
        for word in words or ():
            if not word or not word.isprintable() or " " in word:
                raise InvalidParameter(f"{flag} {word!r}: must be one word")
    return Wishes(tuple(servers or ()), tuple(search or ()), tuple(options or ()))


class Rendered(Record):
    """The file, and whether somebody set `ndots` on purpose."""

    text: str
    ndots: bool = False


def internal(host: HostFile, wanted: Wishes) -> Rendered:
    """For a container that asks 127.0.0.11; `ndots:0` unless somebody says otherwise, so that bare names are asked
    first."""
    options = list(wanted.options or host.options)
    source = "override" if wanted.options else "host"
    notes = []
    given = [option for option in options if option.startswith("ndots:")]
    for option in given:
        if not _is_number(option.removeprefix("ndots:")):
            notes.append(f"# Invalid option {option} was replaced by ndots:0")
            options = ["ndots:0" if each == option else each for each in options]
    if not given:
        options.append("ndots:0")
        source = "internal"
    outside = [f"host({server})" for server in host.servers] if not wanted.servers else list(wanted.servers)
    notes = [
        f"# Based on host file: '{host.path}' (internal resolver)",
        f"# ExtServers: [{' '.join(outside)}]",
        f"# Overrides: [{' '.join(_overridden(wanted))}]",
        f"# Option ndots from: {source}",
        *notes,
    ]
    return Rendered(_render((RESOLVER,), _search(host, wanted), options, notes), bool(given))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def legacy(host: HostFile, wanted: Wishes, ipv6: bool) -> str:
    """For a container without a resolver of ours: the host's servers that can be reached from inside, public ones where
    there is none."""
    servers = wanted.servers or tuple(server for server in host.servers if _reachable(server, ipv6))
    if not servers:
        servers = _FALLBACK4 + (_FALLBACK6 if ipv6 else ())
    notes = [
        f"# Based on host file: '{host.path}' (legacy)",
        f"# Overrides: [{' '.join(_overridden(wanted))}]",
    ]
    return _render(servers, _search(host, wanted), wanted.options or host.options, notes)


def _reachable(server: str, ipv6: bool) -> bool:
    address = Address.parse(server.partition("%")[0])
    return not address.is_loopback and (address.family == 4 or ipv6)


def shared(host: HostFile, wanted: Wishes) -> str:
    """For a container in the host's own network: the host's file as it is, unless something was asked for."""
    if not _overridden(wanted):
        return host.text
    notes = [f"# Based on host file: '{host.path}'", f"# Overrides: [{' '.join(_overridden(wanted))}]"]
    return _render(wanted.servers or host.servers, _search(host, wanted), wanted.options or host.options, notes)


def _overridden(wanted: Wishes) -> list[str]:
    given = (("nameservers", wanted.servers), ("search", wanted.search), ("options", wanted.options))
    return [name for name, values in given if values]


def _search(host: HostFile, wanted: Wishes) -> tuple[str, ...]:
    return tuple(word for word in wanted.search if word != ".") if wanted.search else host.search


def _render(servers: Iterable[str], search: Sequence[str], options: Sequence[str], notes: Iterable[str]) -> str:
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return _HEADER + "\n" + "".join(f"{line}\n" for line in (*lines, "", *notes))
