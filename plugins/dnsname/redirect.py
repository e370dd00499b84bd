"""Port 53 inside the container: a table of our own there, with which questions come to the name server's socket.

Docker's trick, so that 127.0.0.11:53 and 0.0.0.0:53 stay free for the container itself (contract docker 2.1).
Connection tracking turns the answers' addresses back; no rule is needed for them.
"""

from __future__ import annotations

from pycni.firewall import nft_expressions as nft
from pycni.firewall import nft_messages as messages
from pycni.firewall.generation import FAMILY, NfTables
from pycni.names import MARK, RESOLVER, RESOLVER6
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError, KernelError
from pycni_plugins.dnsname.config import ALL, LISTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

TABLE = "pynet_dns"
"""One of family ip, and where servers with IPv6 addresses are asked, one of family ip6."""

_CHAIN = "output"
_DESTINATION_NAT = -100
_LOOPBACK = {4: Prefix(Address(b"\x7f\0\0\0"), 8), 6: Prefix(Address.parse(RESOLVER6), 128)}
_RESOLVER = {4: Address.parse(RESOLVER), 6: Address.parse(RESOLVER6)}
_UDP, _TCP = 17, 6
_DOMAIN = 53


def matches(kind: str, servers: Sequence[str], family: int = 4) -> list[tuple[Prefix, bool]]:
    """Where questions of one family go that are ours to answer: to the prefix, or anywhere but there.

    `servers` are those the container's resolv.conf names."""
    found = [(Prefix.host(_RESOLVER[4]), True)] if family == 4 else []
    if kind == ALL:
        found.append((_LOOPBACK[family], False))
    if kind == LISTED:
        addresses = [Address.parse(server) for server in servers if server != RESOLVER]
        found += [(Prefix.host(each), True) for each in addresses if each.family == family]
    return found


def concerns_ipv6(container: NamespaceApi, kind: str, servers: Sequence[str]) -> bool:
    """Whether questions to IPv6 addresses are ours to answer, and the container can ask any."""
    if not matches(kind, servers, 6):
        return False
    try:
        return container.read_sysctl("net/ipv6/conf/lo/disable_ipv6").strip() == "0"
    except OSError:
        return False


def _table(family: int, port: int, kind: str, servers: Sequence[str]) -> Iterator[Message]:
    """The table as it is to be, where there is none."""
    proto = FAMILY[family]
    yield nft.new_table(proto, TABLE)
    yield nft.new_base_chain(proto, TABLE, _CHAIN, "nat", nft.OUTPUT, _DESTINATION_NAT)
    # the name server's own questions are let past
    yield nft.new_rule(proto, TABLE, _CHAIN, nft.has_mark(MARK) + nft.returns())
    target = nft.redirects(family, _RESOLVER[family].packed, port)
    for prefix, equal in matches(kind, servers, family):
        where = nft.in_prefix(nft.DESTINATION[family], prefix, equal)
        for protocol in (_UDP, _TCP):
            match = where + nft.is_protocol(protocol) + nft.to_port(_DOMAIN)
            yield nft.new_rule(proto, TABLE, _CHAIN, match + target, _note(port))


def _note(port: int) -> str:
    return f"{RESOLVER}:{port}"


def install(container: NamespaceApi, port: int, kind: str, servers: Sequence[str], ipv6: bool = False) -> None:
    """FirewallError."""
    nftables = NfTables(container)
    try:
        tables = _present(nftables)
        for family in (4, 6) if ipv6 else (4,):
            tables += _table(family, port, kind, servers)
        nftables.commit(messages.batch(tables))
    except (KernelError, OSError) as error:
        raise FirewallError(f"redirecting port 53 to port {port} in the container: {error}") from None
    finally:
        nftables.close()


def remove(container: NamespaceApi) -> None:
    """The table is absent; FirewallError."""
    nftables = NfTables(container)
    try:
        tables = _present(nftables)
        if tables:
            nftables.commit(messages.batch(tables))
    except (KernelError, OSError) as error:
        raise FirewallError(f"removing the redirection of port 53: {error}") from None
    finally:
        nftables.close()


def _present(nftables: NfTables) -> list[Message]:
    """What deletes the tables that are there."""
    return [nft.delete_table(proto, TABLE) for proto in FAMILY.values() if nftables.table_exists(proto, TABLE)]


def is_installed(container: NamespaceApi, port: int, ipv6: bool = False) -> bool:
    """Whether rules lead to the port."""
    nftables = NfTables(container)
    try:
        return all(_leads(nftables, FAMILY[family], port) for family in ((4, 6) if ipv6 else (4,)))
    except (KernelError, OSError):
        return False
    finally:
        nftables.close()


def _leads(nftables: NfTables, proto: int, port: int) -> bool:
    if nftables.chain(proto, TABLE, _CHAIN) is None:
        return False
    found = messages.rules(nftables.dump(messages.dump_rules(proto, TABLE, _CHAIN)))
    return any(comment == _note(port) for _, comment in found)
