"""Policy rules: which routing table packets from an address take, by rtnetlink.  Layouts are those of
linux/fib_rules.h.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6
from errno import EEXIST, ENOENT
from struct import Struct

from pycni.kernel.netlink import NLM_F_CREATE, NLM_F_EXCL, Refused, attribute, attribute_u32, attributes, u32
from pycni.record import Record
from pycni.spec.address import Address, Prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

RTM_NEWRULE = 32
RTM_DELRULE = 33
RTM_GETRULE = 34

FIB_RULE_HEADER = Struct("=BBBBBBBBI")
"""family, dst_len, src_len, tos, table, two reserved bytes, action, flags."""

FRA_SRC = 2
FRA_PRIORITY = 6
FRA_TABLE = 15

_TO_TABLE = 1
_TABLE_IN_HEADER = 255


class Rule(Record):
    """Packets from `source` look their route up in `table`.  `source` None: any packets; the `table` 0: the rule does
    something else with them.  The rule with the lowest `priority` comes first; None lets the kernel put it before
    those that were put there in the same way."""

    family: int
    source: Prefix | None
    table: int
    priority: int | None = None


def new_rule(rule: Rule) -> Message:
    return RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _body(rule)


def delete_rule(rule: Rule) -> Message:
    """The first rule that has all of this one's properties."""
    return RTM_DELRULE, 0, _body(rule)


def get_rules(family: int) -> Message:
    """Dump request."""
    return RTM_GETRULE, 0, FIB_RULE_HEADER.pack(_address_family(family), 0, 0, 0, 0, 0, 0, 0, 0)


def parse_rule(payload: bytes) -> Rule | None:
    """From an RTM_NEWRULE message; None for other families than IPv4 and IPv6."""
    family, _, length, _, table, _, _, _, _ = FIB_RULE_HEADER.unpack_from(payload)
    if family not in (AF_INET, AF_INET6):
        return None
    found = attributes(payload, FIB_RULE_HEADER.size)
    source = found.get(FRA_SRC)
    return Rule(
        4 if family == AF_INET else 6,
        None if source is None else Prefix(Address(source), length),
        u32(found[FRA_TABLE]) if FRA_TABLE in found else table,
        u32(found.get(FRA_PRIORITY, b"")),
    )


def rules(namespace: NamespaceApi, family: int) -> list[Rule]:
    """The rules of family 4 or 6, first the one that is asked first; Refused when the kernel has none at all."""
    replies = namespace.rtnetlink().dump(get_rules(family))
    found = [parse_rule(payload) for kind, payload in replies if kind == RTM_NEWRULE]
    return [each for each in found if each is not None]


def add_rule(namespace: NamespaceApi, rule: Rule) -> bool:
    """The rule is there; whether it had to be made.  Refused when the kernel will not have it."""
    if any(each.replace(priority=rule.priority) == rule for each in rules(namespace, rule.family)):
        return False
    try:
        namespace.rtnetlink().request(new_rule(rule))
    except Refused as error:
        if error.errno != EEXIST:
            raise
        return False
    return True


def remove_rule(namespace: NamespaceApi, rule: Rule) -> None:
    """The rule is not there; Refused when the kernel will not let it go."""
    try:
        namespace.rtnetlink().request(delete_rule(rule))
    except Refused as error:
        if error.errno != ENOENT:
            raise


def _body(rule: Rule) -> bytes:
    table = rule.table if rule.table <= _TABLE_IN_HEADER else 0
    length = 0 if rule.source is None else rule.source.length
    body = FIB_RULE_HEADER.pack(_address_family(rule.family), 0, length, 0, table, 0, 0, _TO_TABLE, 0)
    if rule.source is not None:
        body += attribute(FRA_SRC, rule.source.network.address.packed)
    if rule.table > _TABLE_IN_HEADER:
        body += attribute_u32(FRA_TABLE, rule.table)
    if rule.priority is not None:
        body += attribute_u32(FRA_PRIORITY, rule.priority)
    return body


def _address_family(family: int) -> int:
    number: int = AF_INET if family == 4 else AF_INET6
    return number
