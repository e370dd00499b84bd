"""What the firewall is told about a container's published ports: the same facts that `portmap` states, under the name
of the attachment they lead to, so that its DEL and GC find them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from netd.ports.allocator import Claim
from netd.ports.gateways import Gateways
from netd.ports.host import Host
from netd.ports.undo import Undo
from pycni.firewall.facts import Fact, Mapping, Owner, Publish
from pycni.firewall.ledger import Entry
from pycni.firewall.naming import PORTMAP
from pycni.firewall.restore import Restored
from pycni.record import Record
from pycni.spec.address import Address
from pycni.spec.errors import CniError, FirewallError

Lead = tuple[Claim, int]
"""A host port and the container's port it leads to."""


class Rules(Record):
    """One attachment's: in which backend ("" lets the host decide), and what."""

    backend: str
    facts: tuple[Fact, ...]


def rules(container_id: str, gateways: Gateways, leads: Iterable[Lead]) -> dict[Owner, Rules]:
    """By attachment, both families' facts together where one is the gateway of both; pure."""
    leads = tuple(leads)
    found: dict[Owner, Rules] = {}
    for family in (4, 6):
        gateway = gateways.of(family)
        mappings = tuple(
            Mapping(claim.protocol, claim.port, port, None if claim.address.is_unspecified else claim.address)
            for claim, port in leads
            if claim.address.family == family and not _cannot_leave(claim.address)
        )
        if gateway is not None and mappings:
            owner = gateway.owner(container_id)
            before = found[owner].facts if owner in found else ()
            found[owner] = Rules(gateway.backend, (*before, Publish(gateway.address, mappings, proxied=True)))
    return found


def _cannot_leave(address: Address) -> bool:
    return address.family == 6 and address.is_loopback


def from_localhost(leads: Iterable[Lead]) -> bool:
    """Whether packets from the host to 127.0.0.1 are to be led on."""
    addresses = [claim.address for claim, _ in leads if claim.address.family == 4]
    return any(address.is_unspecified or address.is_loopback for address in addresses)


class Nat:
    """The firewall and connection tracking of the host's namespace.  Thread-safe.  `warn` takes what only makes traffic
    of the past go astray."""

    def __init__(self, host: Host, warn: Callable[[str], None]) -> None:
        self._host = host
        self._firewall = host.firewall
        self._warn = warn

    def pass_forward(self) -> None:
        """What `Guard` marks passes iptables' FORWARD where that would drop it; FirewallError."""
        self._firewall.pass_marked()

    def repair(self, published: bool) -> Restored:
        """Everything on record holds again, and with `published`, what `Guard` marks passes again."""
        try:
            restored = self._firewall.restore()
            if published:
                self._firewall.pass_marked(again=True)
        except CniError as error:
            return Restored((), (error.msg,))
        return restored

    def apply(self, old: dict[Owner, Rules], new: dict[Owner, Rules], undo: Undo) -> None:
        """`new` holds instead of `old`.  What is new comes first, so that a port that goes over to another attachment
        of its container always leads somewhere.  CniError; `undo` knows the way back."""
        for owner, each in new.items():
            if old.get(owner) != each:
                undo.push(f"port rules of {owner.ifname}", partial(self._settle, owner, old.get(owner)))
                self._settle(owner, each)
        for owner, each in old.items():
            if owner not in new:
                undo.push(f"port rules of {owner.ifname}", partial(self._settle, owner, each))
                self._settle(owner, None)

    def _settle(self, owner: Owner, wanted: Rules | None) -> None:
        if wanted is None:
            self._firewall.remove(owner, PORTMAP)
        else:
            backend = self._firewall.choose(PORTMAP, wanted.backend)
            self._firewall.install(owner, PORTMAP, backend, wanted.facts)

    def withdraw(self, container_id: str, known: Iterable[Owner]) -> list[str]:
        """No rules lead to the container, those of its attachments that only the ledger knows included; why some
        still do."""
        problems = []
        for owner in dict.fromkeys((*known, *self._firewall.owners(container_id, PORTMAP))):
            try:
                self._firewall.remove(owner, PORTMAP)
            except CniError as error:
                problems.append(error.msg)
        return problems

    def strangers(self, known: Iterable[str]) -> list[Entry]:
        """What CNI clients published for containers that are not ours; their ports are held by no socket."""
        return self._firewall.strangers(PORTMAP, known)

    def allow_localhost(self, address: Address) -> None:
        """127.0.0.1 leads to the container only with this switch on the device that faces it (contract cni 4.2);
        `Guard` keeps everybody else's packets to 127.0.0.0/8 out.  CniError."""
        with self._host.namespace() as namespace:
            route = namespace.route_to(address)
            link = namespace.link_by_index(route.device) if route is not None else None
            if link is None:
                return
            path = f"net/ipv4/conf/{link.name}/route_localnet"
            try:
                namespace.replace_sysctl(path, "1")
            except OSError as error:
                raise FirewallError(f"opening /proc/sys/{path}: {(error.strerror or '').lower()}") from None

    def forget_flows(self, claims: Iterable[Claim]) -> None:
        """UDP senders that went on while nobody, or another container, was there are led anew (contract cni 4.6)."""
        claims = tuple(claims)
        for family in (4, 6):
            ports = tuple(
                dict.fromkeys(
                    claim.port for claim in claims if claim.protocol == "udp" and claim.address.family == family
                )
            )
            if not ports:
                continue
            try:
                with self._host.namespace() as namespace:
                    namespace.flush_udp_conntrack(family, ports)
            except (CniError, OSError) as error:
                self._warn(f"flushing conntrack entries of UDP ports {ports}: {error}")

    def sysctl(self, path: str) -> str:
        """Of the host's namespace; OSError."""
        with self._host.namespace() as namespace:
            return namespace.read_sysctl(path)
