"""Host ports that CNI clients published: the firewall leads them on, and no socket holds them."""

from __future__ import annotations

from collections.abc import Iterable

from netd.ports.allocator import Claim
from pycni.firewall.facts import Publish
from pycni.firewall.ledger import Entry


class Strangers:
    """Who has what, as of the last `refresh`."""

    def __init__(self) -> None:
        self._ports: dict[tuple[str, int, int], list[tuple[Claim, str]]] = {}

    def refresh(self, entries: Iterable[Entry]) -> None:
        """From what the ledger has of containers that are not ours."""
        self._ports.clear()
        for entry in entries:
            name = f"container {entry.owner.container_id} of network {entry.owner.network}"
            for fact in entry.facts:
                if isinstance(fact, Publish):
                    self._note(fact, name)

    def _note(self, fact: Publish, name: str) -> None:
        every = type(fact.target.address)(bytes(len(fact.target.address.packed)))
        for mapping in fact.mappings:
            address = mapping.host_address or every
            if address.family == every.family:
                claim = Claim(mapping.protocol.lower(), address, mapping.host_port)
                self._ports.setdefault((claim.protocol, address.family, claim.port), []).append((claim, name))

    def holder(self, claim: Claim) -> str:
        """The container in whose way this claim is, "" for none."""
        for there, name in self._ports.get((claim.protocol, claim.address.family, claim.port), ()):
            if there.address == claim.address or there.address.is_unspecified or claim.address.is_unspecified:
                return name
        return ""
