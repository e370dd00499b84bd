"""What CHECK asks of an interface (contract 2.0.6), and STATUS of the host, shared by the plugins that make one."""

from __future__ import annotations

from pycni.kernel.model import TABLE_MAIN
from pycni.plan.transaction import FORWARDING
from pycni.spec.errors import CniError, NotAvailable
from pycni.spec.result import Interface, Result
from pycni.spec.section import Section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycni.firewall.facts import Fact
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link, Route
    from pycni.skeleton import Context
    from pycni.spec.address import Prefix
    from pycni.spec.request import Config


def container_interface(context: Context, previous: Result, word: str = "Sandbox") -> Interface:
    """The entry of prevResult that is this attachment's; CniError, which begins with `word`, when there is none in
    this namespace."""
    named = [each for each in previous.interfaces if each.name == context.request.ifname]
    found = next((each for each in reversed(named) if each.sandbox == context.request.netns), None)
    if found is None:
        sandbox = named[-1].sandbox if named else ""
        raise CniError(f"{word} in prevResult {sandbox} doesn't match configured netns: {context.request.netns}")
    return found


def verify_addresses(container: NamespaceApi, link: Link, previous: Result) -> None:
    """Every reported address is on the interface with its prefix length, and its subnet has a route.  Unlike with the
    reference, addresses of other interfaces are left to those who made them, the route may be in any table (sbr's, a
    vrf's), and one that is its own subnet needs none (appendix A.6)."""
    present = {each.prefix for each in container.addresses(link.index)}
    for ip in previous.ips:
        known = ip.interface is not None and 0 <= ip.interface < len(previous.interfaces)
        if known and previous.interfaces[ip.interface or 0].name != link.name:
            continue
        if ip.address not in present:
            raise CniError(f"Failed to match addr {ip.address} on interface {link.name}")
        if ip.address.length != ip.address.address.bits and not _is_routed(container, ip.address.network):
            # the reference's word for it
            raise CniError(f"Failed to find Gateway {ip.gateway or '<nil>'} for interface {link.name}")


def _is_routed(container: NamespaceApi, subnet: Prefix) -> bool:
    return any(
        each.destination == subnet
        for table in (TABLE_MAIN, None)  # the second costs more, and is for few
        for each in container.routes(subnet.family, table)
    )


def verify_routes(container: NamespaceApi, previous: Result) -> None:
    """Every reported route exists, in its own table; a default route's gateway is not compared, as in the
    reference.  One that says no table may have been moved to another one since (by sbr, by vrf)."""
    for wanted in previous.routes:
        tables = (wanted.table,) if wanted.table is not None else (TABLE_MAIN, None)
        if not any(_holds(container, wanted, table) for table in tables):
            way = "" if wanted.gateway is None else f" via {wanted.gateway}"
            raise CniError(f"Expected Route {wanted.destination}{way} not found in routing table")


def _holds(container: NamespaceApi, wanted: Route, table: int | None) -> bool:
    """Whether a table, or any for None, has the route."""
    anywhere = wanted.gateway is None or wanted.destination.length == 0
    return any(
        each.destination.network == wanted.destination.network and (anywhere or each.gateway == wanted.gateway)
        for each in container.routes(wanted.destination.family, table)
    )


def verify_rules(context: Context, kind: str, requested: str, facts: Iterable[Fact]) -> None:
    """This attachment's firewall facts hold; CniError with the first that does not.  `requested` is the backend the
    configuration names, "" for the host's own."""
    firewall = context.host.firewall
    missing = firewall.missing(context.owner, kind, firewall.choose(kind, requested), facts)
    if missing:
        raise CniError(missing[0])


def require_driver(context: Context, kind: str) -> None:
    """NotAvailable when the kernel cannot make devices of this kind."""
    from pycni.kernel import pseudo  # STATUS is rare, and ADD is to be fast

    if not pseudo.has_driver(context.host.namespace, kind):
        raise NotAvailable(f"the kernel has no driver for {kind} devices")


def require_forwarding(context: Context) -> None:
    """NotAvailable when the host does not forward packets of a family that attachments will have, and cannot be told
    to."""
    host = context.host.namespace
    for family in _promised_families(context.config):
        path = FORWARDING[family]
        try:
            current = host.read_sysctl(path)
            if current != "1":
                # writing back what is there tells whether an ADD could write
                host.write_sysctl(path, current)
        except OSError:
            raise NotAvailable(f"no forwarding: {path} is off and cannot be switched on") from None


def _promised_families(config: Config) -> list[int]:
    """Those of the gateways that host-local's or static's keys lead to; IPv4 where another plugin decides."""
    ipam = config.ipam
    if ipam is None or config.ipam_type not in ("host-local", "static"):
        return [4]
    texts = [ipam.string("subnet"), *(each.string("gateway") for each in ipam.sections("addresses"))]
    for some in ipam.items("ranges") or []:
        texts += [each.string("subnet") for each in Section({"set": some}, ipam.path).sections("set")]
    return sorted({6 if ":" in text else 4 for text in texts if text}) or [4]
