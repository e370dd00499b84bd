"""Facts as elements of our table's maps and sets; pure."""

from __future__ import annotations

from pycni.firewall import nft_static as static
from pycni.firewall.facts import INTERNAL, ISOLATED, Admit, Fact, Isolate, Masquerade, Owner, Publish
from pycni.firewall.naming import attachment_hash, owner_comment
from pycni.record import Record
from pycni.spec.address import Prefix
from pycni.spec.errors import FirewallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

PROTOCOLS = {"tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}

SHARED = "shared"
"""Head of the comment of an element that several owners have; the ledger says who."""

_IFNAME_SIZE = 16


class Element(Record):
    """One element: `key` and `data` as the kernel stores them; instead of data a verdict map has the chain to jump to,
    and `subnet` is what that chain is for.  `exclusive`: nobody else may have this key; `label` is the key as text."""

    set: str
    key: bytes
    data: bytes = b""
    jump: str = ""
    subnet: Prefix | None = None
    exclusive: bool = False
    shared: bool = False
    label: str = ""

    def held(self, comment: str) -> Held:
        """The element as it is in the kernel."""
        return Held(self.set, self.key, self.data, self.jump, comment)

    @property
    def identity(self) -> tuple[str, bytes]:
        """What makes two elements the same one to the kernel."""
        return self.set, self.key


class Held(Record):
    """An element that is in the kernel, with its comment."""

    set: str
    key: bytes
    data: bytes
    jump: str
    comment: str

    def belongs_to(self, owner: Owner) -> bool:
        return self.comment.startswith(attachment_hash(owner))

    def means(self, element: Element) -> bool:
        """Whether it does what the element is to do."""
        return (self.data, self.jump) == (element.data, element.jump)

    @property
    def is_shared(self) -> bool:
        return self.comment.startswith(SHARED)

    @property
    def identity(self) -> tuple[str, bytes]:
        return self.set, self.key


def comment_of(element: Element, owner: Owner) -> str:
    """What the element carries to be found by."""
    return f"{SHARED}, {element.label}" if element.shared else owner_comment(owner)


def elements(facts: Iterable[Fact]) -> tuple[Element, ...]:
    """All elements of these facts, each once.  FirewallError for a protocol without ports."""
    found: dict[tuple[str, bytes], Element] = {}
    for fact in facts:
        for element in _of(fact):
            found.setdefault(element.identity, element)
    return tuple(found.values())


def _of(fact: Fact) -> list[Element]:
    if isinstance(fact, Masquerade):
        return [_masquerade(prefix) for prefix in fact.addresses]
    if isinstance(fact, Admit):
        return [Element(static.ADMIT[address.family], address.packed, label=str(address)) for address in fact.addresses]
    if isinstance(fact, Isolate):
        return _isolate(fact)
    return _publish(fact) if isinstance(fact, Publish) else []


def _masquerade(prefix: Prefix) -> Element:
    subnet = prefix.network
    name = static.MASQ[prefix.family]
    chain = static.leave_chain(subnet)
    return Element(name, prefix.address.packed, jump=chain, subnet=subnet, label=str(prefix.address))


def _isolate(fact: Isolate) -> list[Element]:
    name = fact.bridge.encode()
    if len(name) >= _IFNAME_SIZE:
        raise FirewallError(f"bridge name {fact.bridge} is too long")
    key = name.ljust(_IFNAME_SIZE, b"\0")
    label = f"bridge {fact.bridge}"
    if fact.policy == INTERNAL:
        return [
            Element(static.INTERNAL, key, shared=True, label=label),
            Element(static.INTERNAL_PAIRS, key + key, shared=True, label=label),
        ]
    found = [
        Element(static.BRIDGES, key, shared=True, label=label),
        Element(static.OPEN_PAIRS, key + key, shared=True, label=label),
    ]
    if fact.policy == ISOLATED:
        found.append(Element(static.CLOSED_PAIRS, key + key, shared=True, label=label))
    return found


def _publish(fact: Publish) -> list[Element]:
    family = fact.target.family
    target = fact.target.address.packed
    found = []
    for mapping in fact.mappings:
        host = mapping.host_address
        if host is not None and host.family != family:
            continue
        protocol = PROTOCOLS.get(mapping.protocol.lower())
        if protocol is None:
            raise FirewallError(f'unknown port protocol "{mapping.protocol}"')
        key = bytes((protocol, 0, 0, 0)) + _port(mapping.host_port)
        label = f"{mapping.host_port}/{mapping.protocol.lower()}"
        data = target + _port(mapping.container_port)
        if host is None or host.is_unspecified:
            found.append(Element(static.PORTS[family], key, data=data, exclusive=True, label=label))
        else:
            at = f"{label} on {host}"
            found.append(Element(static.PORTS_AT[family], host.packed + key, data=data, exclusive=True, label=at))
    if fact.conditions:
        found = []  # the container's own chain does it
    return found + _hairpin(fact) if fact.snat else found


def _port(number: int) -> bytes:
    if not 0 < number < 65536:
        raise FirewallError(f"invalid port {number}")
    return number.to_bytes(2, "big") + b"\0\0"


def _hairpin(fact: Publish) -> list[Element]:
    target = fact.target
    source = Prefix(target.address, 0).network if fact.masq_all else target.network
    name = static.HAIRPIN[target.family]
    chain = static.from_chain(source)
    return [Element(name, target.address.packed, jump=chain, subnet=source, label=str(target.address))]
