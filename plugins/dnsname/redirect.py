"""Port 53 inside the container: a table of our own there, with which questions come to the name server's socket.

Docker's trick, so that 127.0.0.11:53 and 0.0.0.0:53 stay free for the container itself (contract docker 2.1).
Connection tracking turns the answers' addresses back; no rule is needed for them.
"""

from __future__ import annotations

from pycni.firewall.programs import find, run
from pycni.names import MARK, RESOLVER
from pycni.spec.errors import FirewallError
from pycni_plugins.dnsname.config import ALL, LISTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycni.kernel.api import NamespaceApi

TABLE = "pynet_dns"


def ruleset(port: int, kind: str, servers: Sequence[str]) -> str:
    """Input for `nft -f -`: the table as it is to be, whatever was there.

    `servers` are those the container's resolv.conf names.  Packets of the name server itself are let past."""
    wanted = [f"ip daddr {RESOLVER}"]
    if kind == ALL:
        wanted.append("ip daddr != 127.0.0.0/8")
    listed = [server for server in servers if ":" not in server and server != RESOLVER]
    if kind == LISTED and listed:
        wanted.append(f"ip daddr {{ {', '.join(listed)} }}")
    lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}", f"add table ip {TABLE}"]
    lines.append(f"add chain ip {TABLE} output {{ type nat hook output priority -100; policy accept; }}")
    lines.append(f"add rule ip {TABLE} output meta mark {MARK:#x} return")
    for match in wanted:
        for protocol in ("udp", "tcp"):
            lines.append(f"add rule ip {TABLE} output {match} {protocol} dport 53 dnat to {RESOLVER}:{port}")
    return "\n".join(lines) + "\n"


def install(container: NamespaceApi, port: int, kind: str, servers: Sequence[str]) -> None:
    """FirewallError."""
    _nft(container, ruleset(port, kind, servers), f"redirecting port 53 to port {port} in the container")


def remove(container: NamespaceApi) -> None:
    """The table is absent; FirewallError."""
    _nft(container, f"add table ip {TABLE}\ndelete table ip {TABLE}\n", "removing the redirection of port 53")


def is_installed(container: NamespaceApi, port: int) -> bool:
    path = find("nft")
    if not path:
        return False
    seen = run(container, [path, "list", "table", "ip", TABLE])  # type: ignore[arg-type]  # steps in and out only
    return seen.status == 0 and f"{RESOLVER}:{port}".encode() in seen.stdout


def _nft(container: NamespaceApi, text: str, what: str) -> None:
    path = find("nft")
    if not path:
        raise FirewallError(f"{what}: no program nft")
    done = run(container, [path, "-f", "-"], text)  # type: ignore[arg-type]  # steps in and out only
    if done.status:
        raise FirewallError(f"{what}: {done.complaint}")
