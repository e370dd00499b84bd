"""Who has which name and address, and who sees it; pure (contract docker 2.2).

A zone is filled from attachments alone.  What a container sees is its view: the networks it is attached to, in the
order of its default gateways.  The first network that knows a name answers; results are not merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netd.dns.wire import encode_name
from pycni.names import Attachment
from pycni.record import Record
from pycni.spec.address import Address

HOST_NAMES = (b"host", b"gateway")
_DOCKER_INTERNAL = (b"docker", b"internal")


class Network:
    """The names and addresses on one network.  Values are in the order the attachments came."""

    __slots__ = ("addresses", "members", "names")

    def __init__(self) -> None:
        self.members: dict[str, Attachment] = {}
        self.names: dict[bytes, list[Attachment]] = {}
        self.addresses: dict[bytes, list[Attachment]] = {}

    def add(self, key: str, attachment: Attachment) -> None:
        self.members[key] = attachment
        for name in dict.fromkeys(fold(name) for name in attachment.names):
            self.names.setdefault(name, []).append(attachment)
        for address in attachment.addresses:
            self.addresses.setdefault(address.packed, []).append(attachment)

    def remove(self, key: str) -> None:
        attachment = self.members.pop(key)
        for name in dict.fromkeys(fold(name) for name in attachment.names):
            _drop(self.names, name, attachment)
        for address in attachment.addresses:
            _drop(self.addresses, address.packed, attachment)


def _drop(index: dict[bytes, list[Attachment]], key: bytes, attachment: Attachment) -> None:
    holders = index[key]
    holders.remove(attachment)
    if not holders:
        del index[key]


def fold(name: str) -> bytes:
    """A name as the wire has it, in lower case, without a final dot."""
    return name.removesuffix(".").encode().lower()


class View(Record):
    """What one container sees: `networks` in the order they are asked, `own` its attachments in the same order."""

    own: tuple[Attachment, ...]

    @property
    def has_way_out(self) -> bool:
        """Whether any of its networks leads outside: without one, nothing is asked of the host's servers
        (contract 2.4, CVE-2024-29018)."""
        return any(each.external for each in self.own)

    @property
    def keeps_single_labels(self) -> bool:
        """`ndots` was set on purpose, so names without a dot are not told to strangers (contract 2.2)."""
        return any(each.ndots for each in self.own)

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers given for the container, without repetition; empty: the host's."""
        return tuple(dict.fromkeys(server for each in self.own for server in each.servers))


def order(own: Iterable[Attachment]) -> tuple[Attachment, ...]:
    """In the order of default gateways (contract 1.6): priority, a way out, both families, then the network's name
    byte by byte."""
    return tuple(sorted(own, key=_rank))


def _rank(each: Attachment) -> tuple[int, bool, int, bytes, str]:
    families = len({gateway.family for gateway in each.gateways})
    return -each.priority, not each.external, -families, each.owner.network.encode(), each.owner.ifname


class Zone:
    """Every attachment, by a key of the caller's choice.  `generation` changes with every change."""

    def __init__(self) -> None:
        self._networks: dict[bytes, Network] = {}
        self._sandboxes: dict[str, dict[str, Attachment]] = {}
        self._domains: dict[bytes, dict[bytes, int]] = {}
        self._all: dict[str, Attachment] = {}
        self.generation = 0

    def __len__(self) -> int:
        return len(self._all)

    def put(self, key: str, attachment: Attachment) -> None:
        """Adds or replaces."""
        if self._all.get(key) == attachment:
            return
        self.remove(key)
        self.generation += 1
        self._all[key] = attachment
        network = fold(attachment.owner.network)
        self._networks.setdefault(network, Network()).add(key, attachment)
        self._sandboxes.setdefault(attachment.sandbox, {})[key] = attachment
        if attachment.domain:
            holders = self._domains.setdefault(network, {})
            domain = fold(attachment.domain)
            holders[domain] = holders.get(domain, 0) + 1

    def remove(self, key: str) -> None:
        """Forgets; nothing when it is unknown."""
        attachment = self._all.pop(key, None)
        if attachment is None:
            return
        self.generation += 1
        name = fold(attachment.owner.network)
        network = self._networks[name]
        network.remove(key)
        if not network.members:
            del self._networks[name]
        sandbox = self._sandboxes[attachment.sandbox]
        del sandbox[key]
        if not sandbox:
            del self._sandboxes[attachment.sandbox]
        self._drop_domain(name, fold(attachment.domain))

    def _drop_domain(self, network: bytes, domain: bytes) -> None:
        holders = self._domains.get(network, {})
        if domain not in holders:
            return
        holders[domain] -= 1
        if not holders[domain]:
            del holders[domain]
        if not holders:
            del self._domains[network]

    def view(self, sandbox: str) -> View:
        """What the container of this sandbox sees; an unknown sandbox sees nothing."""
        return View(order(self._sandboxes.get(sandbox, {}).values()))

    def lookup(self, view: View, labels: Sequence[bytes]) -> tuple[Address, ...] | None:
        """The addresses behind a name, of both families; None when nobody in view has that name.

        The whole name is tried on all networks, then all but the last label on the network of that name, and so on:
        network names may have dots."""
        for split in range(len(labels), 0, -1):
            name, rest = b".".join(labels[:split]), b".".join(labels[split:])
            for own in view.own:
                if rest and rest not in self._suffixes(own):
                    continue
                found = self._on_network(own, name)
                if found is not None:
                    return found
        return self._host(view, labels)

    def _suffixes(self, own: Attachment) -> Iterable[bytes]:
        network = fold(own.owner.network)
        return (network, *self._domains.get(network, ()))

    def _on_network(self, own: Attachment, name: bytes) -> tuple[Address, ...] | None:
        network = self._networks[fold(own.owner.network)]
        for alias, target in own.links:
            if fold(alias) == name:
                holders = network.names.get(fold(target))
                if holders:
                    return _addresses(holders)
        holders = network.names.get(name)
        return _addresses(holders) if holders else None

    def _host(self, view: View, labels: Sequence[bytes]) -> tuple[Address, ...] | None:
        """host.docker.internal and gateway.docker.internal: the first gateway of each family."""
        if len(labels) != 3 or labels[0] not in HOST_NAMES or tuple(labels[1:]) != _DOCKER_INTERNAL:
            return None
        first: dict[int, Address] = {}
        for own in view.own:
            for gateway in own.gateways:
                first.setdefault(gateway.family, gateway)
        return tuple(first.values()) or None

    def reverse(self, view: View, address: Address) -> bytes | None:
        """`name.network` of whoever has this address on a network in view, in wire form."""
        for own in view.own:
            holders = self._networks[fold(own.owner.network)].addresses.get(address.packed, ())
            for holder in holders:
                if holder.names:
                    return _full_name(holder.names[0], holder.owner.network)
        return None


def _full_name(name: str, network: str) -> bytes:
    """The name alone where a network's name is no domain name, as `a..b`, or both together are too long."""
    try:
        return encode_name(f"{name}.{network}")
    except ValueError:
        return encode_name(name)


def _addresses(holders: Sequence[Attachment]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(address for each in holders for address in each.addresses))


def address_of_reverse(labels: Sequence[bytes]) -> Address | None:
    """The address a name below in-addr.arpa or ip6.arpa stands for; None for any other name, and for those of whole
    zones.  ValueError when it has an address's length but a label that is no part of one."""
    head, tail = labels[:-2], tuple(labels[-2:])
    if tail == (b"in-addr", b"arpa") and len(head) == 4:
        if not all(label.isdigit() and len(label) <= 3 and int(label) <= 255 for label in head):
            raise ValueError("a label of the name is no octet")
        return Address(bytes(int(label) for label in reversed(head)))
    if tail == (b"ip6", b"arpa") and len(head) == 32:
        if not all(len(label) == 1 and label in b"0123456789abcdef" for label in head):
            raise ValueError("a label of the name is no hexadecimal digit")
        return Address(bytes.fromhex(b"".join(reversed(head)).decode()))
    return None
