"""The text of /etc/hosts and /etc/hostname (contract docker 1.7, 1.8).  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netd.failure import InvalidParameter
from pycni.spec.address import Address

HOST_GATEWAY = "host-gateway"

_IPV4 = (("127.0.0.1", "localhost"),)
_IPV6 = (
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)

Line = tuple[str, str]
"""An address, and the names behind it."""


def extra_hosts(given: Iterable[str], gateway: Sequence[Address]) -> list[Line]:
    """`NAME:ADDRESS` entries in order; `host-gateway` stands for all of `gateway`.  InvalidParameter."""
    found: list[Line] = []
    for entry in given:
        name, colon, text = entry.partition(":")
        if not colon or not name or any(character.isspace() for character in name):
            raise InvalidParameter(f"bad format for add-host: {entry!r} (--add-host NAME:ADDRESS)")
        if text == HOST_GATEWAY:
            if not gateway:
                raise InvalidParameter(f"--add-host {entry}: the host has no gateway address for containers")
            found += [(str(address), name) for address in gateway]
            continue
        try:
            address = Address.parse(text.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise InvalidParameter(f"invalid IP address in add-host: {text!r} (--add-host {entry})") from None
        found.append((str(address), name))
    return found


def check_extra_hosts(given: Iterable[str]) -> None:
    """InvalidParameter names a bad one."""
    extra_hosts(given, (Address(bytes(4)),))


def own_names(hostname: str, domainname: str) -> str:
    """`web`, or `web.example.org web`: a dotted host name, or one with a domain, is written in both forms."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    short = full.partition(".")[0]
    return full if short == full else f"{full} {short}"


def own_lines(addresses: Iterable[Address], hostname: str, domainname: str) -> list[Line]:
    """One line for each address, IPv4 first within an endpoint."""
    names = own_names(hostname, domainname)
    return [(str(address), names) for address in addresses]


def hosts(extra: Iterable[Line], own: Iterable[Line], ipv6: bool = True) -> str:
    """The whole file.  `ipv6` False where the container has none at all."""
    return _text((*_IPV4, *(_IPV6 if ipv6 else ()), *extra, *own))


def _text(lines: Iterable[Line]) -> str:
    return "".join(f"{address}\t{names}\n" for address, names in lines)


def without(text: str, lines: Iterable[Line]) -> str:
    """The file without these lines, whatever else a container's processes wrote into it.  A line goes when address and
    names are the same, in any spacing."""
    gone = {(address, *names.split()) for address, names in lines}
    return "".join(line for line in text.splitlines(keepends=True) if tuple(line.split()) not in gone)


def with_lines(text: str, lines: Iterable[Line]) -> str:
    """The file with these lines at its end, where it does not have them yet."""
    present = {tuple(line.split()) for line in text.splitlines()}
    new = [(address, names) for address, names in lines if (address, *names.split()) not in present]
    return (text if text.endswith("\n") or not text else text + "\n") + _text(new)


def renamed(text: str, old: str, new: str) -> str:
    """The file in which lines of exactly the names `old`, whatever their address, have the names `new`; without these
    lines where `new` is ""."""
    wanted, found = old.split(), []
    for line in text.splitlines(keepends=True):
        address, *names = line.split() or ("",)
        if names != wanted:
            found.append(line)
        elif new:
            found.append(f"{address}\t{new}\n")
    return "".join(found)


def with_names_at(text: str, lines: Iterable[Line]) -> str:
    """The file in which these names are at these addresses and nowhere else; lines of other names stay."""
    new = list(lines)
    moved = {tuple(names.split()) for _, names in new}
    kept = [line for line in text.splitlines(keepends=True) if tuple(line.split()[1:]) not in moved]
    return with_lines("".join(kept), new)
