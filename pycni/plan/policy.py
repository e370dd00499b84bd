"""Routing by source address in the container, as operations (contract 2.16)."""

from __future__ import annotations

from errno import ESRCH

from pycni.kernel import route_copies, rules
from pycni.kernel.model import TABLE_MAIN, Route
from pycni.kernel.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Refused
from pycni.kernel.route_copies import Copy
from pycni.kernel.routes import delete_route, new_route
from pycni.kernel.rules import Rule
from pycni.plan import ops
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.plan.transaction import Transaction

_METRIC_6 = 1024
"""Of IPv6 routes that do not say."""


class EnsureRule(ops.Step):
    """The container has this policy rule."""

    rule: Rule

    def apply(self, transaction: Transaction) -> None:
        container, rule = transaction.place(ops.CONTAINER), self.rule
        try:
            if rules.add_rule(container, rule):
                transaction.on_undo(f"rule from {rule.source}", lambda: rules.remove_rule(container, rule))
        except Refused as error:
            raise CniError(f"Failed to add rule: {error.msg}") from None


class AddRoute(ops.Step):
    """A new route of the container; it may not be there yet."""

    route: Route

    def apply(self, transaction: Transaction) -> None:
        container, route = transaction.place(ops.CONTAINER), self.route
        kind, _, body = new_route(route)
        try:
            container.rtnetlink().request((kind, NLM_F_CREATE | NLM_F_EXCL, body))
        except Refused as error:
            raise CniError(f"Failed to add default route to {route.gateway}: {error.msg}") from None
        transaction.on_undo(f"route to {route.destination}", lambda: _remove(container, route))


class CopyRoute(ops.Step):
    """A route of the main table is in another one too, in the place of what was there for the same packets."""

    copy: Copy
    table: int

    def apply(self, transaction: Transaction) -> None:
        container, copy, table = transaction.place(ops.CONTAINER), self.copy, self.table
        try:
            container.rtnetlink().request(route_copies.put(copy, table))
        except Refused as error:
            raise CniError(f"Failed to readd route: {error.msg}") from None
        what = f"route to {copy.route.destination} in table {table}"
        transaction.on_undo(what, lambda: route_copies.remove(container, copy, table))


class RemoveRoute(ops.Step):
    """A route is not in the main table any more."""

    copy: Copy

    def apply(self, transaction: Transaction) -> None:
        container, copy = transaction.place(ops.CONTAINER), self.copy
        try:
            route_copies.remove(container, copy, TABLE_MAIN)
        except Refused as error:
            raise CniError(f"Failed to delete route: {error.msg}") from None
        message = route_copies.put(copy, TABLE_MAIN)
        transaction.on_undo(f"route to {copy.route.destination}", lambda: container.rtnetlink().request(message))


class HintSource(ops.Step):
    """A route of the main table to the subnet of an address, which prefers that as the source, in the place of the one
    that is there."""

    route: Route

    def apply(self, transaction: Transaction) -> None:
        container, route = transaction.place(ops.CONTAINER), self.route
        before = [each for each in route_copies.copies(container, route.device) if _replaces(route, each.route)]
        kind, _, body = new_route(route)
        try:
            container.rtnetlink().request((kind, NLM_F_CREATE | NLM_F_REPLACE, body))
        except Refused as error:
            raise CniError(f"Failed to add source hint for {route.source}: {error.msg}") from None
        what = f"source hint for {route.source}"
        if not before:
            transaction.on_undo(what, lambda: _remove(container, route))
            return
        # which takes the hint's place; to remove that by name could hit this one, they may differ in their maker alone
        message = route_copies.put(before[0], TABLE_MAIN)
        transaction.on_undo(what, lambda: container.rtnetlink().request(message))


def _replaces(new: Route, old: Route) -> bool:
    """Whether the kernel takes the one for the other."""
    six = new.destination.family == 6
    priority = new.priority or (_METRIC_6 if six else 0)
    return (new.destination.network, priority) == (old.destination.network, old.priority)


def _remove(container: NamespaceApi, route: Route) -> None:
    try:
        container.rtnetlink().request(delete_route(route))
    except Refused as error:
        if error.errno != ESRCH:
            raise
