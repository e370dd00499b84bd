"""The record of who has which firewall facts: one small file per attachment and kind, written before the kernel is
changed and removed after it, so that a crash in between leaves a name to clean up by.

    <run_dir>/ledger/<namespace>/<h(network)>/<h(container id)>/<h(ifname)>.<kind>

One process a namespace writes at a time (see `pycni.firewall.firewall`), first into a draft, the name and `~`.

An address or a bridge that several attachments may have rules for is found in an index beside it, empty files

    <run_dir>/ledger/<namespace>/.addresses/<address>/<h(network)>.<h(container id)>.<h(ifname)>
    <run_dir>/ledger/<namespace>/.bridges/<h(bridge)>/<h(network)>.<h(container id)>.<h(ifname)>

which only says where to look.

Rules live as long as the kernel's namespace, so does everything here (/run is emptied at boot, and a namespace's
identity names its directory).  Names are hashed: any network name or container id is safe as a path.
"""

from __future__ import annotations

import os

from pycni.firewall.facts import (
    FIREWALLD,
    Admit,
    Fact,
    Isolate,
    Mapping,
    Masquerade,
    Owner,
    Publish,
    SpoofCheck,
    Trust,
)
from pycni.firewall.naming import FIREWALL, attachment_hash, h16
from pycni.record import Record
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError
from pycni.spec.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

VERSION = 1

IPTABLES = "iptables"

_ADDRESSES = ".addresses"
_BRIDGES = ".bridges"
_DRAFT = "~"
_LINKS_OF_ONE = 3


class Entry(Record):
    """What one attachment has.  `stale` are facts of an earlier ADD that a later one was replacing when it was cut
    short; they are removed with the others.  `backend` is where the facts are, `stale_backend` where the stale ones,
    `walled_in` a second backend that has the Isolate facts too (see `pycni.firewall.walls`)."""

    owner: Owner
    kind: str
    backend: str
    facts: tuple[Fact, ...]
    stale: tuple[Fact, ...] = ()
    stale_backend: str = ""
    walled_in: str = ""

    @property
    def walls(self) -> tuple[Fact, ...]:
        """The Isolate facts."""
        return tuple([fact for fact in self.facts if isinstance(fact, Isolate)])

    @property
    def wall_backend(self) -> str:
        """Where the Isolate facts are in any case: firewalld has nothing for them (contract 5.3)."""
        return IPTABLES if self.backend == FIREWALLD else self.backend

    def facts_in(self, backend: str) -> tuple[Fact, ...]:
        """Everything this backend may have of the attachment."""
        facts = self.facts if self.backend == backend else ()
        if not facts and backend in (self.walled_in, self.wall_backend):
            facts = self.walls
        return facts + self.stale if self.stale_backend == backend else facts


def encode_fact(fact: Fact) -> dict[str, Any]:
    """A fact as a JSON object; `fact` tells which it is."""
    if isinstance(fact, Masquerade):
        return {"fact": "masquerade", "addresses": [str(prefix) for prefix in fact.addresses]}
    if isinstance(fact, Admit):
        addresses = [str(address) for address in fact.addresses]
        return {"fact": "admit", "addresses": addresses, "admin_chain": fact.admin_chain}
    if isinstance(fact, Isolate):
        return {"fact": "isolate", "bridge": fact.bridge, "policy": fact.policy, "family": fact.family}
    if isinstance(fact, SpoofCheck):
        return {"fact": "spoofcheck", "interface": fact.interface, "mac": fact.mac.hex()}
    if isinstance(fact, Trust):
        addresses = [str(address) for address in fact.addresses]
        return {"fact": "trust", "addresses": addresses, "zone": fact.zone, "bus": fact.bus}
    return {
        "fact": "publish",
        "target": str(fact.target),
        "mappings": [
            [m.protocol, m.host_port, m.container_port, "" if m.host_address is None else str(m.host_address)]
            for m in fact.mappings
        ],
        "snat": fact.snat,
        "masq_all": fact.masq_all,
        "mark_bit": fact.mark_bit,
        "external_mark_chain": fact.external_mark_chain,
        "conditions": list(fact.conditions),
        "proxied": fact.proxied,
    }


def decode_fact(data: dict[str, Any]) -> Fact:
    """The reverse of `encode_fact`; KeyError or ValueError for anything else."""
    name = data["fact"]
    if name == "masquerade":
        return Masquerade(tuple([Prefix.parse(text) for text in data["addresses"]]))
    if name == "admit":
        return Admit(tuple([Address.parse(text) for text in data["addresses"]]), data["admin_chain"])
    if name == "isolate":
        return Isolate(data["bridge"], data["policy"], data["family"])
    if name == "spoofcheck":
        return SpoofCheck(data["interface"], bytes.fromhex(data["mac"]))
    if name == "trust":
        return Trust(tuple([Address.parse(text) for text in data["addresses"]]), data["zone"], data["bus"])
    if name != "publish":
        raise ValueError(f"unknown fact {name}")
    mappings = [
        Mapping(protocol, host_port, container_port, Address.parse(address) if address else None)
        for protocol, host_port, container_port, address in data["mappings"]
    ]
    return Publish(
        Prefix.parse(data["target"]),
        tuple(mappings),
        data["snat"],
        data["masq_all"],
        data["mark_bit"],
        data["external_mark_chain"],
        tuple(data["conditions"]),
        data.get("proxied", False),
    )


def encode(entry: Entry) -> str:
    """One file's text."""
    owner = entry.owner
    return dumps(
        {
            "version": VERSION,
            "owner": {"network": owner.network, "container_id": owner.container_id, "ifname": owner.ifname},
            "kind": entry.kind,
            "backend": entry.backend,
            "facts": [encode_fact(fact) for fact in entry.facts],
            "stale": [encode_fact(fact) for fact in entry.stale],
            "stale_backend": entry.stale_backend,
            "walled_in": entry.walled_in,
        }
    )


def decode(text: bytes | str) -> Entry:
    """The reverse of `encode`; ValueError, KeyError or TypeError for anything else."""
    data = loads(text)
    if data["version"] != VERSION:
        raise ValueError(f"ledger entry of version {data['version']}")
    owner = Owner(**data["owner"])
    facts = tuple([decode_fact(fact) for fact in data["facts"]])
    stale = tuple([decode_fact(fact) for fact in data["stale"]])
    return Entry(owner, data["kind"], data["backend"], facts, stale, data["stale_backend"], data["walled_in"])


class Ledger:
    """The entries of one network namespace; `namespace` is any text that identifies it."""

    def __init__(self, run_dir: str, namespace: str) -> None:
        self.directory = f"{run_dir}/ledger/{namespace}"

    def _container(self, owner: Owner) -> str:
        return f"{self.directory}/{h16(owner.network)}/{h16(owner.container_id)}"

    def path(self, owner: Owner, kind: str) -> str:
        return f"{self._container(owner)}/{h16(owner.ifname)}.{kind}"

    def get(self, owner: Owner, kind: str) -> Entry | None:
        """The attachment's entry, None when there is none or it is not readable as one."""
        return _read(self.path(owner, kind))

    def put(self, entry: Entry) -> None:
        """Write an entry atomically; FirewallError when that is impossible."""
        path = self.path(entry.owner, entry.kind)
        draft = path + _DRAFT
        try:
            with open(_created(draft), "w", encoding="utf-8") as file:
                file.write(encode(entry))
            os.rename(draft, path)
            for claim in self._claims(entry):
                os.close(_created(claim))
        except OSError as error:
            raise FirewallError(f"writing firewall ledger {path}: {(error.strerror or '').lower()}") from None

    def settle(self, entry: Entry) -> None:
        """The entry's stale facts are gone."""
        settled = entry.replace(stale=(), stale_backend="")
        self.put(settled)
        for claim in set(self._claims(entry)) - set(self._claims(settled)):
            _unlink(claim)

    def _claims(self, entry: Entry) -> list[str]:
        """The index files of an entry."""
        if entry.kind != FIREWALL:
            return []
        owner = entry.owner
        name = f"{h16(owner.network)}.{h16(owner.container_id)}.{h16(owner.ifname)}"
        keys = dict.fromkeys(key for fact in entry.facts + entry.stale for key in _keys(fact))
        return [f"{self.directory}/{key}/{name}" for key in keys]

    def delete(self, owner: Owner, kind: str) -> None:
        """No entry, and no empty directory of the container or network."""
        entry = self.get(owner, kind)
        for claim in self._claims(entry) if entry is not None else ():
            _unlink(claim)
        _unlink(self.path(owner, kind) + _DRAFT)
        _unlink(self.path(owner, kind))
        container = self._container(owner)
        if _rmdir(container):
            _rmdir(os.path.dirname(container))

    def sweep(self, network: str) -> None:
        """Remove what is no entry: drafts of the network whose writers were killed, claims of nobody, and the
        directories left empty by either."""
        top = f"{self.directory}/{h16(network)}"
        for container in list(_names(top)):
            for name in [name for name in _names(f"{top}/{container}") if name.endswith(_DRAFT)]:
                _unlink(f"{top}/{container}/{name}")
            _rmdir(f"{top}/{container}")
        _rmdir(top)
        for index in (_ADDRESSES, _BRIDGES):
            claims = f"{self.directory}/{index}"
            for key in list(_names(claims)):
                for name in list(_names(f"{claims}/{key}")):
                    if not os.path.exists(self._entry_of(name)):
                        _unlink(f"{claims}/{key}/{name}")
                _rmdir(f"{claims}/{key}")
            _rmdir(claims)

    def _entry_of(self, claim: str) -> str:
        return f"{self.directory}/{claim.replace('.', '/', 2)}.{FIREWALL}"

    def holders(self, owner: Owner, fact: Fact) -> Iterator[Entry]:
        """Other attachments that have an address or the bridge of an Admit or Isolate fact, or had it lately."""
        for key in _keys(fact):
            yield from (entry for entry in self._claimants(key) if entry.owner != owner)

    def bridges(self) -> Iterator[Iterator[Entry]]:
        """For each isolated bridge the entries that isolate it."""
        for name in _names(f"{self.directory}/{_BRIDGES}"):
            yield self._claimants(f"{_BRIDGES}/{name}")

    def _claimants(self, key: str) -> Iterator[Entry]:
        for name in _names(f"{self.directory}/{key}"):
            entry = _read(self._entry_of(name))
            if entry is not None:
                yield entry

    def network(self, network: str, kind: str) -> Iterator[Entry]:
        """The entries of one network."""
        return self._below(h16(network), kind)

    def siblings(self, owner: Owner, kind: str) -> list[Entry]:
        """The entries of the same container on the same network, its other interfaces."""
        found = self._in(self._container(owner), kind)
        return [entry for entry in found if entry.owner.ifname != owner.ifname]

    def has_others(self, owner: Owner) -> bool:
        """Whether the owner's network has other containers with entries of any kind."""
        directory = f"{self.directory}/{h16(owner.network)}"
        try:
            # counted by most file systems: a name in itself, one in its parent and one in each sub-directory
            if os.stat(directory).st_nlink > _LINKS_OF_ONE:
                return True
        except OSError:
            return False
        own = h16(owner.container_id)
        return any(name != own for name in _names(directory))

    def networks_of(self, container_id: str, kind: str) -> list[Entry]:
        """The container's entries of this kind on every network."""
        name = h16(container_id)
        return [
            entry
            for network in _names(self.directory)
            for entry in self._in(f"{self.directory}/{network}/{name}", kind)
            if entry.owner.container_id == container_id
        ]

    def strangers(self, kind: str, known: Iterable[str]) -> Iterator[Entry]:
        """The entries of every container but the known ones, whose files are not even opened."""
        skip = {h16(container_id) for container_id in known}
        for network in _names(self.directory):
            for container in _names(f"{self.directory}/{network}"):
                if container not in skip:
                    yield from self._in(f"{self.directory}/{network}/{container}", kind)

    def by_hash(self, attachment: str, kind: str) -> Entry | None:
        """The entry whose owner has this attachment hash (see `naming.attachment_hash`)."""
        entries = self._below(attachment.partition("-")[0], kind)
        return next((entry for entry in entries if attachment_hash(entry.owner) == attachment), None)

    def others(self, owner: Owner, kind: str) -> Iterator[Entry]:
        """Every entry of this kind except the owner's; those of its own network, the likeliest, first."""
        first = h16(owner.network)
        yield from (entry for entry in self._below(first, kind) if entry.owner != owner)
        for name in _names(self.directory):
            if name != first:
                yield from self._below(name, kind)

    def all(self) -> Iterator[Entry]:
        """Every entry of every kind."""
        for name in _names(self.directory):
            yield from self._below(name, "")

    def _below(self, network: str, kind: str) -> Iterator[Entry]:
        directory = f"{self.directory}/{network}"
        for container in _names(directory):
            yield from self._in(f"{directory}/{container}", kind)

    def _in(self, container: str, kind: str) -> Iterator[Entry]:
        for name in _names(container):
            if name.endswith(_DRAFT) or (kind and not name.endswith(f".{kind}")):
                continue
            entry = _read(f"{container}/{name}")
            if entry is not None:
                yield entry


def _created(path: str) -> int:
    """An empty file, open for writing; its directory is made where it is missing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)


def _keys(fact: Fact) -> list[str]:
    if isinstance(fact, (Admit, Trust)):
        return [f"{_ADDRESSES}/{address.packed.hex()}" for address in fact.addresses]
    return [f"{_BRIDGES}/{h16(fact.bridge)}"] if isinstance(fact, Isolate) else []


def _unlink(path: str) -> None:
    """The file is absent, and so is its directory when it is empty: whoever removed the file may have been killed.
    FirewallError naming the file when that is impossible."""
    try:
        os.unlink(path)
    except NotADirectoryError:
        return
    except OSError as error:
        if os.path.lexists(path):  # a read-only directory refuses also for what is not there
            raise FirewallError(f"removing from firewall ledger {path}: {(error.strerror or '').lower()}") from None
    _rmdir(os.path.dirname(path))


def _rmdir(directory: str) -> bool:
    """Whether the directory is gone."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # others are in it
    return True


def _names(directory: str) -> Iterator[str]:
    """In no order, and read as far as asked for: the first of thousands is enough for some questions."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    yield entry.name
    except (FileNotFoundError, NotADirectoryError):
        return


def _read(path: str) -> Entry | None:
    try:
        with open(path, "rb") as file:
            return decode(file.read())
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return None  # of another version or damaged: rules are still found by the owner's names and comments
