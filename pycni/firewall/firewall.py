"""The firewall of one network namespace: what plugins and the plan's executor call.

Facts are recorded in the ledger before the kernel is changed and forgotten after, so whatever a crash left is found by
the next DEL or GC.  One thread of one process changes a namespace's rules at a time (a lock file below `run_dir`).
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock

from pycni.firewall import presence, programs
from pycni.firewall.facts import BRIDGE_NAT, FIREWALLD, Trust
from pycni.firewall.generation import NfTables
from pycni.firewall.ledger import IPTABLES, Entry, Ledger
from pycni.firewall.naming import SPOOFCHECK
from pycni.firewall.walls import join
from pycni.spec.errors import CniError, FirewallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet
    from types import TracebackType
    from typing import Protocol

    from pycni.firewall.facts import Fact, Owner
    from pycni.firewall.iptables import Iptables
    from pycni.firewall.iptables_forward import ForwardAccept
    from pycni.firewall.restore import Restored
    from pycni.kernel.namespace import Namespace

    Collects = Callable[[str, Owner | None], bool]

    class Backend(Protocol):
        """What a backend can do; the caller holds the namespace's lock."""

        def status(self) -> None: ...
        def install(self, entry: Entry) -> None: ...
        def remove(self, owner: Owner, kind: str, facts: tuple[Fact, ...], search: bool) -> None: ...
        def missing(self, owner: Owner, kind: str, facts: tuple[Fact, ...]) -> list[str]: ...
        def collect(
            self, network: str, kind: str, valid: AbstractSet[tuple[str, str]], wanted: Callable[[str], bool]
        ) -> list[str]: ...
        def restore(self, entries: list[Entry]) -> Restored: ...


NFTABLES = "nftables"


def collect_all(_what: str, _owner: Owner | None) -> bool:
    """What GC does unless whoever runs it wants to be asked."""
    return True


class _Lock:
    """Between threads by a lock, between processes by flock(2) on a file that stays; a program that we started and
    did not live to wait for holds it on."""

    def __init__(self, path: str, namespace: Namespace) -> None:
        self._path = path
        self._namespace = namespace
        self._threads = allocate_lock()
        self._fd = -1

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            if self._fd < 0:
                os.makedirs(os.path.dirname(self._path), 0o755, exist_ok=True)
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                programs.guard(self._namespace, self._fd)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            self._threads.release()
            raise FirewallError(f"locking {self._path}: {(error.strerror or '').lower()}") from None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        if self._fd >= 0:
            programs.guard(self._namespace, -1)
            os.close(self._fd)
            self._fd = -1


class Firewall:
    """Thread-safe; keep one per namespace, because it remembers listings and owns a netlink socket."""

    def __init__(self, namespace: Namespace, run_dir: str, keep_listing: bool = False) -> None:
        """`keep_listing`: what is known of iptables' tables is kept in a file below `run_dir`, for whoever comes next;
        for a process of one call."""
        name = "-".join(map(str, namespace.identity))
        self._ledger = Ledger(run_dir, name)
        self._lock = _Lock(f"{run_dir}/firewall-{name}.lock", namespace)
        self._nftables = NfTables(namespace)
        self._namespace = namespace
        self._listing = f"{run_dir}/iptables-{name}.listing" if keep_listing else ""
        self._iptables: Iptables | None = None
        self._backends: dict[str, Backend] = {}

    def _backend(self, name: str) -> Backend:
        """Loaded and made when it is first used."""
        if name not in self._backends:
            makers = {
                IPTABLES: self._make_iptables,
                NFTABLES: self._make_nftables,
                BRIDGE_NAT: self._make_spoofcheck,
                FIREWALLD: self._make_firewalld,
            }
            self._backends[name] = makers[name]()
        return self._backends[name]

    def _make_iptables(self) -> Backend:
        from pycni.firewall.iptables_backend import IptablesBackend

        return IptablesBackend(self._iptables_tables(), self._ledger)

    def _make_nftables(self) -> Backend:
        from pycni.firewall.nft_backend import NftBackend

        return NftBackend(self._namespace, self._nftables, self._ledger, self._forward)

    def _make_spoofcheck(self) -> Backend:
        from pycni.firewall.spoofcheck import SpoofCheckBackend

        return SpoofCheckBackend(self._nftables)

    def _make_firewalld(self) -> Backend:
        from pycni.firewall.firewalld import FirewalldBackend

        return FirewalldBackend(self._ledger)

    def _iptables_tables(self) -> Iptables:
        if self._iptables is None:
            from pycni.firewall.iptables import Iptables
            from pycni.firewall.kept_listing import KeptListing

            kept = KeptListing(self._listing) if self._listing else None
            self._iptables = Iptables(self._namespace, self._nftables, kept)
        return self._iptables

    def _forward(self) -> ForwardAccept | None:
        """What lets our packets pass iptables' FORWARD, None without one."""
        if not presence.of_iptables(self._nftables):
            return None
        from pycni.firewall.iptables_forward import ForwardAccept

        return ForwardAccept(self._iptables_tables(), self._nftables)

    def _concerned(self, kind: str, entry: Entry | None, fallback: tuple[Fact, ...]) -> list[str]:
        """The backends in which an attachment may have something."""
        if kind == SPOOFCHECK:
            return [BRIDGE_NAT] if entry is not None or fallback else []
        if entry is not None and entry.backend == FIREWALLD:
            # what is on record is all there is; and a socket to look further waits for what firewalld deletes
            return [name for name in (IPTABLES, NFTABLES, FIREWALLD) if entry.facts_in(name)]
        found = [
            name
            for name, present in ((IPTABLES, presence.of_iptables), (NFTABLES, presence.of_nftables))
            if (entry is not None and entry.facts_in(name)) or present(self._nftables)
        ]
        if entry is None and any(isinstance(fact, Trust) for fact in fallback):
            found.append(FIREWALLD)
        return found

    def close(self) -> None:
        """Release the socket and the lock file; the object may be used again."""
        self._nftables.close()
        self._lock.close()

    def choose(self, kind: str, requested: str) -> str:  # noqa: ARG002  # the same for every kind so far
        """The backend's name for a plugin's `backend` key; "" is automatic: iptables where its programs are, else
        nftables (contract 2.0.5, 4.1, 5.1)."""
        if requested:
            return requested
        return NFTABLES if programs.missing_iptables(4) else IPTABLES

    def status(self, backend: str) -> None:
        """NotAvailable saying what is missing for this backend to work."""
        with self._lock:
            self._backend(backend).status()

    def install(self, owner: Owner, kind: str, backend: str, facts: Iterable[Fact]) -> None:
        """These facts hold for this owner, and no others of this kind; all of them or, with a FirewallError, none."""
        facts = tuple(facts)
        with self._lock:
            old = self._ledger.get(owner, kind)
            # an earlier ADD was cut short while it replaced another; or firewalld is to be told something else
            told = (
                old is not None and FIREWALLD in (old.backend, backend) and (old.facts, old.backend) != (facts, backend)
            )
            if old is not None and (old.stale or told):
                self._remove(owner, kind, ())
                old = None
            entry = Entry(owner, kind, backend, facts)
            if old is not None and (old.facts, old.backend) != (facts, backend):
                entry = entry.replace(stale=old.facts, stale_backend=old.backend)
            entry, walls = join(self._ledger, entry)
            self._ledger.put(entry)
            try:
                for each in (entry, *walls):
                    self._backend(each.backend).install(each)
            except CniError as error:
                self._undo(owner, kind, error)
                raise
            if entry.stale:
                if entry.stale_backend != backend:
                    self._backend(entry.stale_backend).remove(owner, kind, entry.stale, False)
                self._ledger.settle(entry)

    def _undo(self, owner: Owner, kind: str, cause: CniError) -> None:
        try:
            self._remove(owner, kind, ())
        except CniError as error:
            raise FirewallError(f"{cause.msg}; and undoing it: {error.msg}") from None

    def remove(self, owner: Owner, kind: str, fallback: Iterable[Fact] = ()) -> None:
        """Nothing of this kind is left of this owner, whichever backend or implementation made it.  `fallback` are
        the facts to assume where the ledger knows none."""
        with self._lock:
            self._remove(owner, kind, tuple(fallback))

    def _remove(self, owner: Owner, kind: str, fallback: tuple[Fact, ...]) -> None:
        entry = self._ledger.get(owner, kind)
        problems = []
        names = self._concerned(kind, entry, fallback)
        if not names and kind == SPOOFCHECK:
            return  # of nearly all attachments, for which nothing more is to be looked at
        for name in names:
            facts = fallback if entry is None else entry.facts_in(name)
            try:
                self._backend(name).remove(owner, kind, facts, entry is None)
            except CniError as error:
                problems.append(error.msg)
        if problems:
            raise FirewallError("\n".join(problems))
        self._ledger.delete(owner, kind)

    def missing(self, owner: Owner, kind: str, backend: str, facts: Iterable[Fact]) -> list[str]:
        """What CHECK does not find, one text each; nothing is changed."""
        with self._lock:
            return self._backend(backend).missing(owner, kind, tuple(facts))

    def restore(self) -> Restored:
        """After somebody else removed rules: everything on record holds again."""
        from pycni.firewall.restore import restore

        with self._lock:
            return restore(self._ledger, lambda name: self._backend(name).restore)

    def pass_marked(self, again: bool = False) -> None:
        """Forwarded packets with our mark pass iptables' FORWARD: a policy of DROP, and isolation; FirewallError.
        `again`: somebody may have removed a part of what lets them."""
        with self._lock:
            forward = self._forward()
            if forward is not None:
                forward.ensure(again)
                forward.pass_isolation()

    def owners(self, container_id: str, kind: str) -> list[Owner]:
        """The container's attachments that have facts of this kind on record."""
        with self._lock:
            return [entry.owner for entry in self._ledger.networks_of(container_id, kind)]

    def strangers(self, kind: str, known: Iterable[str]) -> list[Entry]:
        """What all containers but the known ones have on record."""
        with self._lock:
            return list(self._ledger.strangers(kind, known))

    def collect(
        self,
        network: str,
        kind: str,
        keep: AbstractSet[tuple[str, str]],
        collects: Collects = collect_all,
    ) -> list[str]:
        """GC: remove everything of the network's attachments that are not in `keep`, (container id, interface) each,
        and that `collects`, given what it is and whose, says yes to; what was removed.  Asked for "" it says whether
        anything may be removed at all, such as what killed calls did not finish writing."""
        removed, spared = [], set(keep)
        with self._lock:
            for entry in list(self._ledger.network(network, kind)):
                owner = entry.owner
                if owner.network != network or (owner.container_id, owner.ifname) in keep:
                    continue
                what = f'{kind} rules of container "{owner.container_id}" interface "{owner.ifname}"'
                if collects(what, owner):
                    self._remove(owner, kind, ())
                    removed.append(what)
                else:
                    spared.add((owner.container_id, owner.ifname))
            if collects("", None):
                self._ledger.sweep(network)
            for name in (IPTABLES, NFTABLES) if kind != SPOOFCHECK else ():
                removed += self._backend(name).collect(network, kind, spared, lambda what: collects(what, None))
        return removed
