"""What the name server knows: one small file per attachment, written by whoever attaches, read by `pynetd dns`.

    <run_dir>/dns/<sandbox>.<h(network)>-<h(ifname:container id)>

The name server watches the directory and reads it anew when it starts, so neither side needs the other to be alive.
A sandbox is a network namespace under a name that is never used twice: the kernel's cookie (Linux 5.14), as inode
numbers are given out again at once.  All state here dies with the kernel's namespaces, so it is below /run.
"""

from __future__ import annotations

import fcntl
import os
from _socket import AF_INET, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET, socket
from errno import ENOPROTOOPT

from pycni.firewall.facts import Owner
from pycni.firewall.naming import attachment_hash, network_hash
from pycni.record import Record
from pycni.spec import jsontext
from pycni.spec.address import Address
from pycni.spec.errors import CniError, StoreError
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Protocol

    class Enterable(Protocol):
        """A namespace that can be stepped into."""

        @property
        def identity(self) -> tuple[int, int]: ...
        def entered(self) -> AbstractContextManager[None]: ...


VERSION = 1
RESOLVER = "127.0.0.11"
"""Where containers ask, as docker's do."""

RESOLVER6 = "::1"
"""Where their questions to servers with IPv6 addresses go: IPv6 has no other loopback address."""

PORT = 61053
"""Where the name server listens inside, at RESOLVER, unless something else does: outside Linux's range for outgoing
connections, so that no container's own sockets take it while the name server is started anew."""

MARK = 0x5044
"""On packets the name server itself sends inside a container: port 53 is not redirected for them."""

_SO_NETNS_COOKIE = 71
_DRAFT = "~"
_LOCK = ".lock"
MAX_NAME = 253
MAX_LABEL = 63


class Attachment(Record):
    """One interface of one container, as others find it.

    `sandbox` and `netns` say which namespace and where (a path, "" when it has no resolver of ours), `port` the one
    its resolver listens on there, at RESOLVER, with `ipv6` at RESOLVER6 too.  `names` are in the order of contract
    docker 2.2, `domain` is another suffix they go under besides the network's name.  `gateways` are the network's
    addresses of the host;  `external` when the network leads outside, `priority` its rank among the container's
    networks.  `links` are (alias, name) pairs only this container sees; `servers` replace the host's and are asked from
    inside; `ndots` when the container's was set on purpose."""

    owner: Owner
    sandbox: str
    netns: str = ""
    port: int = 0
    names: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    gateways: tuple[Address, ...] = ()
    domain: str = ""
    external: bool = True
    priority: int = 0
    links: tuple[tuple[str, str], ...] = ()
    servers: tuple[str, ...] = ()
    ndots: bool = False
    ipv6: bool = False


def is_domain_name(text: str) -> bool:
    """Whether it can be asked for: labels of 1 to 63 bytes, 253 in all, none of them blank or a control character."""
    labels = text.split(".")
    sizes = [len(label.encode("utf-8", "surrogateescape")) for label in labels]
    total = sum(sizes) + len(labels) - 1
    printable = text.isprintable() and " " not in text
    return printable and total <= MAX_NAME and all(0 < size <= MAX_LABEL for size in sizes)


def encode(attachment: Attachment) -> str:
    """One file's text."""
    owner = attachment.owner
    return jsontext.dumps(
        {
            "version": VERSION,
            "owner": {"network": owner.network, "container_id": owner.container_id, "ifname": owner.ifname},
            "sandbox": attachment.sandbox,
            "netns": attachment.netns,
            "port": attachment.port,
            "names": list(attachment.names),
            "addresses": [str(address) for address in attachment.addresses],
            "gateways": [str(address) for address in attachment.gateways],
            "domain": attachment.domain,
            "external": attachment.external,
            "priority": attachment.priority,
            "links": [list(link) for link in attachment.links],
            "servers": list(attachment.servers),
            "ndots": attachment.ndots,
            "ipv6": attachment.ipv6,
        }
    )


def decode(text: bytes | str) -> Attachment:
    """The reverse of `encode`; ValueError, KeyError, TypeError or ConfigError for anything else."""
    data = jsontext.loads(text)
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ValueError("no attachment of this version")
    section = Section(data)
    found = Attachment(
        Owner(**data["owner"]),
        section.string("sandbox"),
        section.string("netns"),
        section.integer("port", unsigned=True, bits=16),
        tuple(section.strings("names")),
        tuple(Address.parse(each) for each in section.strings("addresses")),
        tuple(Address.parse(each) for each in section.strings("gateways")),
        section.string("domain"),
        section.boolean("external"),
        section.integer("priority"),
        tuple((str(alias), str(name)) for alias, name in data["links"]),
        tuple(section.strings("servers")),
        section.boolean("ndots"),
        section.boolean("ipv6"),
    )
    bad = [name for name in found.names if not is_domain_name(name)]
    if bad:
        raise ValueError(f"{bad[0]!r} is no domain name")
    return found


def sandbox_of(namespace: Enterable) -> str:
    """The namespace's name here; StoreError when it cannot be entered."""
    try:
        with namespace.entered():
            probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    except OSError as error:
        raise StoreError("entering the namespace of", "the container", error) from None
    try:
        return f"n{int.from_bytes(probe.getsockopt(SOL_SOCKET, _SO_NETNS_COOKIE, 8), 'little'):x}"
    except OSError as error:
        if error.errno != ENOPROTOOPT:
            raise StoreError("naming the namespace of", "the container", error) from None
        device, inode = namespace.identity
        return f"i{device:x}-{inode:x}"
    finally:
        probe.close()


class Attachments:
    """The directory.  Names of files are keys to their readers."""

    def __init__(self, run_dir: str) -> None:
        self.directory = f"{run_dir}/dns"

    def lock(self) -> int:
        """One writer at a time while it looks what else a sandbox has; the descriptor is the caller's to close."""
        try:
            os.makedirs(self.directory, 0o700, exist_ok=True)
            lock = os.open(f"{self.directory}/{_LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise StoreError("locking", self.directory, error) from None
        return lock

    def names(self) -> list[str]:
        """Every attachment's file name."""
        try:
            return [name for name in os.listdir(self.directory) if not name.startswith(".") and _DRAFT not in name]
        except FileNotFoundError:
            return []

    def of_owner(self, owner: Owner) -> list[str]:
        """The keys of an attachment: more than one when an earlier namespace of it was never cleaned up."""
        end = f".{attachment_hash(owner)}"
        return [key for key in self.names() if key.endswith(end)]

    def of_sandbox(self, sandbox: str) -> list[str]:
        return [key for key in self.names() if key.startswith(f"{sandbox}.")]

    def of_network(self, network: str) -> Iterator[tuple[str, Attachment]]:
        """(key, attachment) of each that can be read."""
        mark = f".{network_hash(network)}-"
        for key in self.names():
            if mark in key:
                found = self.read(key)
                if found is not None and found.owner.network == network:
                    yield key, found

    def read(self, key: str) -> Attachment | None:
        """None when it is gone, of another version or damaged."""
        try:
            with open(f"{self.directory}/{key}", "rb") as file:
                return decode(file.read())
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, CniError):
            return None

    def put(self, attachment: Attachment) -> str:
        """Written atomically; its key.  Files of earlier namespaces of the same attachment go.  StoreError."""
        key = f"{attachment.sandbox}.{attachment_hash(attachment.owner)}"
        path = f"{self.directory}/{key}"
        try:
            os.makedirs(self.directory, 0o700, exist_ok=True)
            with open(path + _DRAFT, "w", encoding="utf-8") as file:
                file.write(encode(attachment))
            os.rename(path + _DRAFT, path)
        except OSError as error:
            raise StoreError("writing", path, error) from None
        for old in self.of_owner(attachment.owner):
            if old != key:
                self.remove(old)
        return key

    def remove(self, key: str) -> None:
        """Absent, its draft too; StoreError."""
        for name in (key, key + _DRAFT):
            _unlink(f"{self.directory}/{name}")

    def sweep(self, network: str) -> None:
        """Removes drafts of the network whose writers were killed; the caller holds the lock."""
        mark = f".{network_hash(network)}-"
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return
        for name in names:
            if name.endswith(_DRAFT) and mark in name:
                _unlink(f"{self.directory}/{name}")


def _unlink(path: str) -> None:
    """Absent; StoreError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError("removing", path, error) from None
