"""Keeps packets out that no published port explains: a small nftables table of its own, whichever backend leads ports.

- A shielded address is reached through its own device only, not by routing to it: from elsewhere what is published is
  all there is (contract docker 3.4, S1 and S2).  Answers to what the container asked come in.
- 127.0.0.0/8 is never reached from outside the host.  The switch that lets the host's own connections to 127.0.0.1 be
  led to a container would otherwise open it to that container and its neighbours (S3, S17; CVE-2020-8558).

And it marks what published ports explain, both ways, for hosts whose iptables would drop it (docker, ufw; see
`pycni.firewall.iptables_forward`), and for isolation: other networks reach a published port at the host's address, as
everybody does (contract docker 3.3).  The operator's chain of table `inet pynet` comes before what the mark allows.

It looks at packets when their connections are known and before their addresses are changed.  Without nf_tables nothing
is published: going on would only look safe (S26).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from errno import EEXIST, ENOENT
from threading import Lock

from netd.ports.gateways import Endpoint
from pycni import program_path
from pycni.firewall import nft_messages, programs
from pycni.firewall.generation import INET, NfTables
from pycni.firewall.naming import h16
from pycni.firewall.nft_elements import Held
from pycni.firewall.nft_static import MARK, references
from pycni.firewall.restore import Restored
from pycni.kernel.namespace import Namespace
from pycni.kernel.netlink import Refused
from pycni.spec.errors import CniError, FirewallError, KernelError

TABLE = "pynet_guard"
MARKER = "g_version_2"
_SHIELDED = {4: "g_shielded4", 6: "g_shielded6"}
_DOORS = {4: "g_doors4", 6: "g_doors6"}
_SETS = (*_SHIELDED.values(), *_DOORS.values())
_ATTEMPTS = 5
_IFNAME_SIZE = 16

RULESET = f"""
add table inet {TABLE}
add set inet {TABLE} g_shielded4 {{ type ipv4_addr; }}
add set inet {TABLE} g_shielded6 {{ type ipv6_addr; }}
add set inet {TABLE} g_doors4 {{ type ipv4_addr . ifname; }}
add set inet {TABLE} g_doors6 {{ type ipv6_addr . ifname; }}
add chain inet {TABLE} {MARKER}
add chain inet {TABLE} g_prerouting {{ type filter hook prerouting priority mangle; policy accept; }}
flush chain inet {TABLE} g_prerouting
add rule inet {TABLE} g_prerouting iif "lo" accept
add rule inet {TABLE} g_prerouting ip daddr 127.0.0.0/8 drop
add rule inet {TABLE} g_prerouting ct state established,related accept
add rule inet {TABLE} g_prerouting ip daddr . iifname @g_doors4 accept
add rule inet {TABLE} g_prerouting ip6 daddr . iifname @g_doors6 accept
add rule inet {TABLE} g_prerouting ip daddr @g_shielded4 drop
add rule inet {TABLE} g_prerouting ip6 daddr @g_shielded6 drop
add chain inet {TABLE} g_forward {{ type filter hook forward priority -11; policy accept; }}
flush chain inet {TABLE} g_forward
add rule inet {TABLE} g_forward ct status dnat ip daddr . oifname @g_doors4 meta mark set meta mark | {MARK:#x}
add rule inet {TABLE} g_forward ct status dnat ip6 daddr . oifname @g_doors6 meta mark set meta mark | {MARK:#x}
add rule inet {TABLE} g_forward ct status dnat ip saddr . iifname @g_doors4 meta mark set meta mark | {MARK:#x}
add rule inet {TABLE} g_forward ct status dnat ip6 saddr . iifname @g_doors6 meta mark set meta mark | {MARK:#x}
"""
"""Input for `nft -f -`: makes the static part true and leaves the elements as they are."""


def elements(container_id: str, endpoints: Iterable[Endpoint]) -> tuple[Held, ...]:
    """An address and its device, with whose they are; pure.  FirewallError for a name no device can have."""
    comment = f"{_head(container_id)} {container_id}"[:128]
    found = {}
    for each in endpoints:
        device = each.device.encode()
        if not 0 < len(device) < _IFNAME_SIZE:
            raise FirewallError(f"device {each.device!r} of address {each.address}: not a device's name")
        packed, family = each.address.packed, each.address.family
        door = packed + device.ljust(_IFNAME_SIZE, b"\0")
        for name, key in ((_SHIELDED[family], packed), (_DOORS[family], door)):
            found[name, key] = Held(name, key, b"", "", comment)
    return tuple(found.values())


def _head(container_id: str) -> str:
    return h16(container_id)


def _difference(
    there: Mapping[tuple[str, bytes], Held], container_id: str, wanted: Iterable[Held]
) -> tuple[list[Held], list[Held]]:
    """What to delete and what to add.  An address that was given to somebody new changes hands."""
    new = {each.identity: each for each in wanted}
    head = _head(container_id)
    gone = [
        each for key, each in there.items() if (each.comment.startswith(head) or key in new) and each != new.get(key)
    ]
    return gone, [each for key, each in new.items() if each != there.get(key)]


class Guard:
    """The table in one namespace.  Thread-safe."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self._nftables = NfTables(namespace)
        self._lock = Lock()
        self._wanted: dict[str, tuple[Held, ...]] = {}
        """By container, which somebody else may have removed from the kernel."""
        self._there: dict[tuple[str, bytes], Held] | None = None
        """The elements in the kernel, which nobody else changes; None: not read yet, or somebody did."""

    def ensure(self) -> None:
        """The static part is there; FirewallError."""
        with self._lock:
            self._ensure()

    def _ensure(self, again: bool = False) -> bool:
        """Whether it was not; `again`: somebody may have removed parts of it."""
        try:
            there = self._nftables.chain(INET, TABLE, MARKER) is not None
            if there and not (again and self._lacks_rules()):
                return False
            # another version's chains may have other hooks and priorities, which the kernel does not change in place
            left = not there and self._nftables.table_exists(INET, TABLE)
            kept = list(self._read().values()) if left else []
        except (KernelError, OSError) as error:
            raise FirewallError(f"guarding published ports: the kernel does not offer nf_tables: {error}") from None
        nft = program_path.find("nft")
        if not nft:
            raise FirewallError("guarding published ports: nft is not installed")
        text = (f"delete table inet {TABLE}\n" if left else "") + RULESET
        done = programs.run(self._namespace, [nft, "-f", "-"], text)
        if done.status:
            raise FirewallError(f"guarding published ports: {done.complaint or f'nft: exit status {done.status}'}")
        if kept:
            self._nftables.commit(nft_messages.batch([nft_messages.add(INET, TABLE, each, False) for each in kept]))
        return True

    def _lacks_rules(self) -> bool:
        there = nft_messages.chain_uses(self._nftables.dump((nft_messages.GETCHAIN, 0, bytes((INET, 0, 0, 0)))), TABLE)
        return any(there.get(chain, -1) < count for chain, count in references(RULESET).items())

    def shield(self, container_id: str, endpoints: Iterable[Endpoint]) -> None:
        """Exactly these addresses of the container are shielded; FirewallError, and nothing has changed."""
        wanted = elements(container_id, endpoints)
        with self._lock:
            self._ensure()
            self._settle(container_id, wanted)
            self._wanted[container_id] = wanted

    def unshield(self, container_id: str) -> None:
        """None is; FirewallError."""
        with self._lock:
            self._wanted.pop(container_id, None)
            self._settle(container_id, ())

    def repair(self) -> Restored:
        """After somebody changed the table: everything shielded is again."""
        with self._lock:
            wanted = {each.identity: each for container in self._wanted.values() for each in container}
            if not wanted:
                return Restored()
            try:
                loaded = self._ensure(again=True)
                self._there = self._read()
                lost = [each for key, each in wanted.items() if key not in self._there]
                if lost:
                    self._nftables.commit(
                        nft_messages.batch([nft_messages.add(INET, TABLE, each, False) for each in lost])
                    )
                    self._there.update((each.identity, each) for each in lost)
            except CniError as error:
                return Restored((), (f"shielding containers: {error.msg}",))
            return Restored((f"nftables table {TABLE}",) if loaded or lost else ())

    def _settle(self, container_id: str, wanted: tuple[Held, ...]) -> None:
        for _ in range(_ATTEMPTS):
            if self._there is None:
                self._there = self._read()
            gone, new = _difference(self._there, container_id, wanted)
            messages = [nft_messages.delete(INET, TABLE, each) for each in gone]
            messages += [nft_messages.add(INET, TABLE, each, True) for each in new]
            try:
                if messages:
                    self._nftables.commit(nft_messages.batch(messages))
            except Refused as error:
                self._there = None
                if error.errno not in (EEXIST, ENOENT):
                    raise FirewallError(f"changing nftables table {TABLE}: {error.msg}") from None
                if wanted:
                    self._ensure()
                continue
            for each in gone:
                del self._there[each.identity]
            self._there.update((each.identity, each) for each in new)
            return
        raise FirewallError(f"changing nftables table {TABLE}: it kept changing")

    def _read(self) -> dict[tuple[str, bytes], Held]:
        found: dict[tuple[str, bytes], Held] = {}
        for name in _SETS:
            try:
                replies = self._nftables.dump(nft_messages.dump_set(INET, TABLE, name))
            except Refused as error:
                if error.errno == ENOENT:
                    continue
                raise FirewallError(f"listing nftables set {name}: {error.msg}") from None
            found.update((each.identity, each) for each in nft_messages.held(replies))
        return found

    def close(self) -> None:
        """Releases the socket; the table stays."""
        self._nftables.close()
