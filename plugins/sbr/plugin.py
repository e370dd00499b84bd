"""sbr: packets from an interface's addresses leave through that interface (contract 2.16)."""

from __future__ import annotations

from pycni.kernel import route_copies, rules
from pycni.kernel.model import TABLE_MAIN, Route
from pycni.kernel.netlink import Refused
from pycni.kernel.route_copies import Copy
from pycni.kernel.rules import Rule
from pycni.plan import ops, policy
from pycni.plan.teardown import Failures
from pycni.skeleton import Context, Plugin
from pycni.spec import verbatim
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError, NotAvailable
from pycni.spec.result import IpConfig, Result
from pycni_plugins.sbr.config import Sbr, free_tables, parse, relevant
from pycni_plugins.sbr.lock import NamespaceLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycni.kernel.api import NamespaceApi
    from pycni.spec.address import Address

_FAMILIES = (4, 6)
_SCOPE_LINK = 253
_WELL_KNOWN = (0, 253, TABLE_MAIN, 255)
"""Tables that the kernel or an operator keeps: unspecified, default, main, local."""

_EVERYTHING = {4: Prefix.parse("0.0.0.0/0"), 6: Prefix.parse("::/0")}


def _rule(address: Address, table: int) -> Rule:
    return Rule(address.family, Prefix.host(address), table)


def plan(
    sbr: Sbr, ips: Sequence[IpConfig], tables: Sequence[int], routes: Sequence[Copy], device: int
) -> list[ops.Step]:
    """A rule and a table for each address, with what of the interface's `routes` serves it; pure.  What comes out of
    the main table is `removals`."""
    wanted: list[ops.Step] = []
    for ip, table in zip(ips, tables, strict=True):
        wanted.append(policy.EnsureRule(_rule(ip.address.address, table)))
        gateway = sbr.gateway_of(ip)
        if gateway is not None:
            everything = _EVERYTHING[ip.address.family]
            wanted.append(policy.AddRoute(Route(everything, gateway, table=table, device=device)))
        wanted += [policy.CopyRoute(each, table) for each in routes if _serves(each.route, ip.address)]
    return wanted


def _serves(route: Route, subnet: Prefix) -> bool:
    """Of routes with neither source nor gateway each may serve any address, of whatever family."""
    if route.source is None and route.gateway is None:
        return True
    return any(each is not None and subnet.contains(each) for each in (route.source, route.gateway))


def removals(routes: Iterable[Copy]) -> list[ops.Step]:
    """Those through a gateway first: undone backwards, they find the way to it."""
    return [policy.RemoveRoute(each) for each in sorted(routes, key=lambda copy: copy.route.gateway is None)]


def hints(ips: Iterable[IpConfig], device: int) -> list[policy.HintSource]:
    """What stays in the main table for each address's subnet."""
    return [
        policy.HintSource(Route(ip.address.network, source=ip.address.address, scope=_SCOPE_LINK, device=device))
        for ip in ips
    ]


def add(context: Context) -> Result | str:
    sbr = parse(context.config)
    previous = context.config.prev_result()
    if previous is None:
        raise CniError("This plugin must be called as chained plugin")
    ips = relevant(previous, context.request.ifname)
    container = context.container()
    lock = NamespaceLock(context.request.netns)
    context.transaction.on_undo("lock", lock.release)  # undone last
    if sbr.table is not None:
        context.transaction.apply([policy.EnsureRule(_rule(ip.address.address, sbr.table)) for ip in ips])
    else:
        _move_routes(context, container, sbr, ips)
    lock.release()
    return verbatim.render(context.config.raw_previous, context.config.version) or previous


def _move_routes(context: Context, container: NamespaceApi, sbr: Sbr, ips: list[IpConfig]) -> None:
    used = {each.table for each in _rules(container)}
    used.update(each.table or 0 for family in _FAMILIES for each in container.routes(family, None))
    name = context.request.ifname
    link = container.link(name)
    if link is None:
        raise CniError(f"Cannot find network interface {name}: Link not found")
    routes = route_copies.copies(container, link.index)
    apply = context.transaction.apply
    apply(plan(sbr, ips, free_tables(len(ips), used), routes, link.index))
    if not sbr.source_hints:
        apply(removals(routes))
        return
    for step in (*hints(ips, link.index), *removals(each for each in routes if each.route.scope != _SCOPE_LINK)):
        try:
            apply([step])
        except CniError as error:
            context.warn(f"sbr: {error.msg}")


def _rules(container: NamespaceApi) -> list[Rule]:
    try:
        return [rule for family in _FAMILIES for rule in rules.rules(container, family)]
    except Refused as error:
        raise CniError(f"Failed to list all rules: {error.msg}") from None


def delete(context: Context) -> None:
    """Removes the rules of the interface's addresses, and from tables that nobody asks any more its routes."""
    container = context.container_or_none()
    if container is None:
        return
    link = container.link(context.request.ifname)
    own = _added_for(context)
    if link is not None:
        own.update(each.prefix.address for each in container.addresses(link.index))
    if not own:
        return
    present = _rules(container)
    table = _configured_table(context)
    gone = [
        each
        for each in present
        if each.source is not None and each.source.address in own and table in (None, each.table)
    ]
    failures = Failures()
    for rule in gone:
        failures.attempt(lambda rule=rule: rules.remove_rule(container, rule))  # type: ignore[misc]
    if table is None and link is not None:
        asked = {each.table for each in present if each not in gone}.union(_WELL_KNOWN)
        for number in {rule.table for rule in gone} - asked:
            failures.attempt(lambda number=number: _empty(container, link.index, number))  # type: ignore[misc]
    failures.raise_first()


def _added_for(context: Context) -> set[Address]:
    """The addresses that an ADD made rules for; the interface need not have them any more, or be there."""
    try:
        previous = context.config.prev_result()
        ips = relevant(previous, context.request.ifname) if previous is not None else []
    except CniError:
        return set()
    return {each.address.address for each in ips}


def _empty(container: NamespaceApi, device: int, table: int) -> None:
    for copy in route_copies.copies(container, device, table):
        route_copies.remove(container, copy, table)


def _configured_table(context: Context) -> int | None:
    """What an ADD was refused for must not keep the DEL that follows it from succeeding."""
    try:
        return context.config.section.optional_integer("table")
    except CniError:
        return None


def check(context: Context) -> None:
    """Each address has its rule; without a previous result there is nothing to say, as in the reference."""
    sbr = parse(context.config)
    previous = context.config.prev_result()
    if previous is None:
        return
    present = [each for each in _rules(context.container()) if sbr.table in (None, each.table)]
    sources = {each.source for each in present}
    for ip in relevant(previous, context.request.ifname):
        address = ip.address.address
        if Prefix.host(address) not in sources:
            raise CniError(f"no rule for packets from {address} of interface {context.request.ifname}")


def status(context: Context) -> None:
    """NotAvailable when the kernel has no policy rules."""
    parse(context.config)
    try:
        _rules(context.host.namespace)
    except CniError as error:
        raise NotAvailable(f"the kernel has no policy routing: {error.msg}") from None


PLUGIN = Plugin("sbr", add=add, check=check, delete=delete, status=status)
