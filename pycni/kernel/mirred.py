"""Filters that hand everything a device receives to another device, as the reference's bandwidth makes them: u32 that
matches all, with the action mirred.  Layouts are those of linux/pkt_cls.h and tc_act/tc_mirred.h.
"""

from __future__ import annotations

from errno import EINVAL, ENODEV, ENOENT
from struct import Struct

from pycni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Refused,
    attribute,
    attribute_list,
    attribute_text,
    attribute_u32,
    attributes,
    nested,
    text,
    u32,
)
from pycni.kernel.qdisc import INGRESS_HANDLE, TCA_KIND, TCA_OPTIONS, TCMSG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

RTM_NEWTFILTER = 44
RTM_GETTFILTER = 46

_TCA_U32_CLASSID = 1
_TCA_U32_SEL = 5
_TCA_U32_ACT = 7
_TCA_ACT_KIND = 1
_TCA_ACT_OPTIONS = 2
_TCA_MIRRED_PARMS = 2

_FIRST_PRIORITY_ALL_PROTOCOLS = 1 << 16 | u32(b"\0\3")
"""tcm_info: the priority, and ETH_P_ALL in network order."""

_CLASS = 0x00010001
"""`1:1`, which nobody looks at."""

_MATCH_ALL = Struct("=BxBx12x16x").pack(1, 1)
"""tc_u32_sel: terminal, with one key, of which mask and value are zero."""

_MIRRED = Struct("=IIiiiiI")
"""tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex."""

_TC_ACT_STOLEN = 4
_EGRESS_REDIRECT = 1
_NO_HOOK = (ENOENT, ENODEV, EINVAL)
"""There is no ingress hook, or no device any more."""


def new_redirect(device: int, target: int) -> Message:
    """All that `device` receives goes out through `target`; the ingress hook must be there."""
    parameters = _MIRRED.pack(0, 0, _TC_ACT_STOLEN, 0, 0, _EGRESS_REDIRECT, target)
    action = nested(
        1,  # its place among the filter's actions
        attribute_text(_TCA_ACT_KIND, "mirred"),
        nested(_TCA_ACT_OPTIONS, attribute(_TCA_MIRRED_PARMS, parameters)),
    )
    options = nested(
        TCA_OPTIONS,
        attribute(_TCA_U32_SEL, _MATCH_ALL),
        attribute_u32(_TCA_U32_CLASSID, _CLASS),
        nested(_TCA_U32_ACT, action),
    )
    header = TCMSG.pack(0, device, 0, INGRESS_HANDLE, _FIRST_PRIORITY_ALL_PROTOCOLS)
    return RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, header + attribute_text(TCA_KIND, "u32") + options


def get_filters(device: int) -> Message:
    """Dump request for what hangs on a device's ingress hook."""
    return RTM_GETTFILTER, 0, TCMSG.pack(0, device, 0, INGRESS_HANDLE, 0)


def parse_redirect(payload: bytes) -> int | None:
    """The index of the device that a filter's first action of that sort redirects to, from an RTM_NEWTFILTER message;
    None when it has none."""
    found = attributes(payload, TCMSG.size)
    if text(found.get(TCA_KIND, b"")) != "u32":
        return None
    actions = attributes(found.get(TCA_OPTIONS, b"")).get(_TCA_U32_ACT, b"")
    for _, action in attribute_list(actions):
        parts = attributes(action)
        parameters = attributes(parts.get(_TCA_ACT_OPTIONS, b"")).get(_TCA_MIRRED_PARMS)
        if text(parts.get(_TCA_ACT_KIND, b"")) == "mirred" and parameters is not None:
            *_, what, target = _MIRRED.unpack_from(parameters)
            if what == _EGRESS_REDIRECT:
                return int(target)
    return None


def redirects(namespace: NamespaceApi, device: int) -> list[int]:
    """The indexes of the devices to which what `device` receives is redirected."""
    try:
        replies = namespace.rtnetlink().dump(get_filters(device))
    except Refused as error:
        if error.errno in _NO_HOOK:
            return []
        raise
    found = [parse_redirect(payload) for kind, payload in replies if kind == RTM_NEWTFILTER]
    return [each for each in found if each is not None]
