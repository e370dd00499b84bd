"""Port 53 inside the container: a table of our own there, with which questions come to the name server's socket.

Docker's trick, so that 127.0.0.11:53 and 0.0.0.0:53 stay free for the container itself (contract docker 2.1).
Connection tracking turns the answers' addresses back; no rule is needed for them.
"""

from __future__ import annotations

from pycni.firewall import nft_expressions as nft
from pycni.firewall import nft_messages as messages
from pycni.firewall.generation import FAMILY, NfTables
from pycni.names import MARK, RESOLVER
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError, KernelError
from pycni_plugins.dnsname.config import ALL, LISTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

TABLE = "pynet_dns"
_CHAIN = "output"
_IP = FAMILY[4]
_DESTINATION_NAT = -100
_LOOPBACK = Prefix(Address(b"\x7f\0\0\0"), 8)
_UDP, _TCP = 17, 6
_DOMAIN = 53


def matches(kind: str, servers: Sequence[str]) -> list[tuple[Prefix, bool]]:
    """Where questions go that are ours to answer: to the prefix, or anywhere but there.

    `servers` are those the container's resolv.conf names."""
    found = [(Prefix(Address.parse(RESOLVER), 32), True)]
    if kind == ALL:
        found.append((_LOOPBACK, False))
    if kind == LISTED:
        listed = [server for server in servers if ":" not in server and server != RESOLVER]
        found += [(Prefix(Address.parse(server), 32), True) for server in listed]
    return found


def _table(port: int, kind: str, servers: Sequence[str]) -> Iterator[Message]:
    """The table as it is to be, where there is none."""
    yield nft.new_table(_IP, TABLE)
    yield nft.new_base_chain(_IP, TABLE, _CHAIN, "nat", nft.OUTPUT, _DESTINATION_NAT)
    # the name server's own questions are let past
    yield nft.new_rule(_IP, TABLE, _CHAIN, nft.has_mark(MARK) + nft.returns())
    target = nft.redirects(4, Address.parse(RESOLVER).packed, port)
    for prefix, equal in matches(kind, servers):
        for protocol in (_UDP, _TCP):
            match = nft.in_prefix(nft.DESTINATION[4], prefix, equal) + nft.is_protocol(protocol) + nft.to_port(_DOMAIN)
            yield nft.new_rule(_IP, TABLE, _CHAIN, match + target, _note(port))


def _note(port: int) -> str:
    return f"{RESOLVER}:{port}"


def install(container: NamespaceApi, port: int, kind: str, servers: Sequence[str]) -> None:
    """FirewallError."""
    nftables = NfTables(container)
    try:
        before = [nft.delete_table(_IP, TABLE)] if nftables.table_exists(_IP, TABLE) else []
        nftables.commit(messages.batch([*before, *_table(port, kind, servers)]))
    except (KernelError, OSError) as error:
        raise FirewallError(f"redirecting port 53 to port {port} in the container: {error}") from None
    finally:
        nftables.close()


def remove(container: NamespaceApi) -> None:
    """The table is absent; FirewallError."""
    nftables = NfTables(container)
    try:
        if nftables.table_exists(_IP, TABLE):
            nftables.commit(messages.batch([nft.delete_table(_IP, TABLE)]))
    except (KernelError, OSError) as error:
        raise FirewallError(f"removing the redirection of port 53: {error}") from None
    finally:
        nftables.close()


def is_installed(container: NamespaceApi, port: int) -> bool:
    """Whether rules lead to the port."""
    nftables = NfTables(container)
    try:
        if nftables.chain(_IP, TABLE, _CHAIN) is None:
            return False
        found = messages.rules(nftables.dump(messages.dump_rules(_IP, TABLE, _CHAIN)))
        return any(comment == _note(port) for _, comment in found)
    except (KernelError, OSError):
        return False
    finally:
        nftables.close()
