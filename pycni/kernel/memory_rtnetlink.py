"""What the in-memory kernel answers to rtnetlink's messages about queueing disciplines, filters, rules, routes as
copies, and pseudo-devices, which have no calls of their own in `pycni.kernel.api.NamespaceApi`.

A discipline, filter or rule is kept as the bytes that made it, which are those that a dump shows.
"""

from __future__ import annotations

from errno import EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, ESRCH
from struct import Struct

from pycni.kernel import mirred, pseudo, qdisc, rules
from pycni.kernel.addresses import RTM_NEWADDR, parse_address
from pycni.kernel.kinds import KIND_NAMES
from pycni.kernel.links import RTM_GETLINK, RTM_NEWLINK
from pycni.kernel.netlink import (
    NLM_F_REPLACE,
    Refused,
    attribute_text,
    attribute_u8,
    attribute_u32,
    attributes,
    nested,
    text,
    u32,
)
from pycni.kernel.routes import RTM_DELROUTE, RTM_GETROUTE, RTM_NEWROUTE, new_route, parse_routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pycni.kernel.memory_device import Device
    from pycni.kernel.memory_routing import RoutingTables
    from pycni.kernel.model import Route
    from pycni.kernel.netlink import Message, Reply
    from pycni.spec.address import Prefix

_IFLA_IFNAME = 3
_IFLA_MTU = 4
_IFLA_TXQLEN = 13
_IFLA_LINKINFO = 18
_IFLA_GROUP = 27
_INFO_KIND = 1
_INFO_DATA = 2
_INFO_SLAVE_DATA = 5
_VRF_TABLE = 1
_BRPORT_MODE = 4
_BRPORT_ISOLATED = 33
_IFINFO = Struct("=BxHiII")
_LOWEST_OWN_PRIORITY = 32766
"""That of the rule for the main table; rules of unsaid priority come just before the first that is not 0."""


class MemoryRtnetlink:
    """The interface of `pycni.kernel.netlink.NetlinkSocket` on one namespace's objects.  `create` makes a device of
    this name, kind and MTU, or says the errno of the kernel's refusal, as does `add_address`; for the kinds in
    `lacking` it has no driver."""

    def __init__(
        self,
        devices: Mapping[int, Device],
        tables: RoutingTables,
        create: Callable[[str, str, int], Device | int],
        add_address: Callable[[int, Prefix], int],
        lacking: Collection[str],
    ) -> None:
        self._devices = devices
        self._tables = tables
        self._create = create
        self._add_address = add_address
        self._lacking = lacking

    def request(self, message: Message) -> list[Reply]:
        kind, _, payload = message
        if kind != RTM_GETLINK:
            return self.batch((message,))
        device = self._devices.get(_IFINFO.unpack_from(payload)[2])
        if device is None:
            raise Refused(ENODEV)
        return [(RTM_NEWLINK, _link(device))]

    def batch(self, messages: Sequence[Message], acknowledged: int = -1) -> list[Reply]:  # noqa: ARG002
        failure: Refused | None = None
        for position, (kind, flags, payload) in enumerate(messages):
            number = self._change(kind, flags, payload)
            if number and failure is None:
                failure = Refused(number, position)
        if failure is not None:
            raise failure
        return []

    def dump(self, message: Message) -> list[Reply]:
        kind, _, payload = message
        if kind == RTM_GETLINK:
            return [(RTM_NEWLINK, _link(device)) for device in self._devices.values()]
        if kind == qdisc.RTM_GETQDISC:
            held = [each for device in self._devices.values() for each in device.qdiscs.values()]
            return [(qdisc.RTM_NEWQDISC, each) for each in held]
        if kind == mirred.RTM_GETTFILTER:
            device = self._devices.get(qdisc.TCMSG.unpack_from(payload)[1])
            if device is None:
                raise Refused(ENODEV)
            return [(mirred.RTM_NEWTFILTER, each) for each in device.filters]
        if kind == rules.RTM_GETRULE:
            family = payload[0]
            return [(rules.RTM_NEWRULE, each) for each in self._tables.rules if each[0] == family]
        if kind == RTM_GETROUTE:
            table = attributes(payload, 12).get(15)
            family = 4 if payload[0] == 2 else 6
            found = self._tables.list(family, None if table is None else u32(table))
            return [(RTM_NEWROUTE, new_route(each)[2]) for each in found]
        raise Refused(EOPNOTSUPP)

    def _change(self, kind: int, flags: int, payload: bytes) -> int:
        """The errno of the refusal, 0 for none."""
        if kind == RTM_NEWLINK:
            return self._new_link(payload)
        if kind in (qdisc.RTM_NEWQDISC, qdisc.RTM_DELQDISC, mirred.RTM_NEWTFILTER):
            device = self._devices.get(qdisc.TCMSG.unpack_from(payload)[1])
            return ENODEV if device is None else self._change_traffic(kind, device, payload)
        if kind == RTM_NEWADDR:
            index, address = parse_address(payload)
            return self._add_address(index, address.prefix)
        if kind == rules.RTM_NEWRULE:
            return self._new_rule(payload)
        if kind == rules.RTM_DELRULE:
            return self._delete_rule(payload)
        if kind in (RTM_NEWROUTE, RTM_DELROUTE):
            (route,) = parse_routes(payload)
            return self._change_route(kind, flags, route)
        return EOPNOTSUPP

    def _new_link(self, payload: bytes) -> int:
        found = attributes(payload, 16)
        info = attributes(found.get(_IFLA_LINKINFO, b""))
        kind, name = text(info.get(_INFO_KIND, b"")), text(found[_IFLA_IFNAME])
        if kind in self._lacking or kind not in (pseudo.IFB, pseudo.VRF, *KIND_NAMES.values()):
            return EOPNOTSUPP
        if "/" in name or kind not in (pseudo.IFB, pseudo.VRF):
            return EINVAL
        table = u32(attributes(info.get(_INFO_DATA, b"")).get(_VRF_TABLE, b""))
        if kind == pseudo.VRF and not table:
            return EINVAL
        device = self._create(name, kind, u32(found.get(_IFLA_MTU, b"")))
        if isinstance(device, int):
            return device
        device.table = table
        device.group = u32(found.get(_IFLA_GROUP, b""))
        if _IFLA_TXQLEN in found:
            device.txqlen = u32(found[_IFLA_TXQLEN])
        device.set_flags(True, None, None)
        return 0

    def _change_traffic(self, kind: int, device: Device, payload: bytes) -> int:
        asked = qdisc.parse_qdisc(payload)
        if kind == qdisc.RTM_DELQDISC:
            if device.qdiscs.pop(asked.parent, None) is None:
                return ENOENT
            if asked.parent == qdisc.INGRESS:
                device.filters.clear()
            return 0
        if kind == mirred.RTM_NEWTFILTER:
            if qdisc.INGRESS not in device.qdiscs:
                return EINVAL
            device.filters.append(payload)
            return 0
        if asked.kind in self._lacking:
            return ENOENT
        if asked.parent in device.qdiscs:
            return EEXIST
        if asked.kind == "tbf" and (asked.bucket is None or not (asked.bucket.rate and asked.bucket.buffer)):
            return EINVAL
        device.qdiscs[asked.parent] = payload
        return 0

    def _new_rule(self, payload: bytes) -> int:
        held, rule = self._tables.rules, rules.parse_rule(payload)
        assert rule is not None
        if rules.FRA_PRIORITY in attributes(payload, rules.FIB_RULE_HEADER.size):
            priority = rule.priority or 0
        else:
            present = [each for each in map(rules.parse_rule, held) if each is not None and each.family == rule.family]
            priority = next((each.priority for each in present if each.priority), _LOWEST_OWN_PRIORITY) - 1
            payload += attribute_u32(rules.FRA_PRIORITY, priority)
        if payload in held:
            return EEXIST
        held.append(payload)
        held.sort(key=_priority)
        return 0

    def _delete_rule(self, payload: bytes) -> int:
        wanted = rules.parse_rule(payload)
        assert wanted is not None
        exact = rules.FRA_PRIORITY in attributes(payload, rules.FIB_RULE_HEADER.size)
        for each in self._tables.rules:
            present = rules.parse_rule(each)
            if present is not None and (present if exact else present.replace(priority=0)) == wanted:
                self._tables.rules.remove(each)
                return 0
        return ENOENT

    def _change_route(self, kind: int, flags: int, route: Route) -> int:
        if kind == RTM_DELROUTE:
            return 0 if self._tables.remove(route) else ESRCH
        if flags & NLM_F_REPLACE:
            self._tables.displace(route)
        return self._tables.add(route, self._devices)


def _priority(payload: bytes) -> int:
    rule = rules.parse_rule(payload)
    return 0 if rule is None else rule.priority or 0


def _link(device: Device) -> bytes:
    """The part of a device's message that nothing else in memory tells."""
    data = nested(_INFO_DATA, attribute_u32(_VRF_TABLE, device.table)) if device.table else b""
    flags = attribute_u8(_BRPORT_MODE, device.hairpin) + attribute_u8(_BRPORT_ISOLATED, device.isolated)
    port = nested(_INFO_SLAVE_DATA, flags) if device.master else b""
    info = nested(_IFLA_LINKINFO, attribute_text(_INFO_KIND, device.kind), data, port)
    return _IFINFO.pack(0, 0, device.index, device.flags, 0) + attribute_text(_IFLA_IFNAME, device.name) + info
