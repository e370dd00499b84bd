"""Queueing disciplines: token buckets that limit what leaves a device, and the ingress hook, by rtnetlink.

The builders and readers are pure functions of bytes; the functions that take a namespace ask its kernel.  Layouts are
those of linux/pkt_sched.h.
"""

from __future__ import annotations

from errno import EINVAL, ENODEV, ENOENT
from struct import Struct

from pycni.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Refused,
    attribute,
    attribute_text,
    attributes,
    nested,
    text,
    u32,
)
from pycni.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

RTM_NEWQDISC = 36
RTM_DELQDISC = 37
RTM_GETQDISC = 38

ROOT = 0xFFFFFFFF
"""The parent of the discipline for all that leaves a device."""

INGRESS = 0xFFFFFFF1
"""The parent of the hook for all that a device receives."""

INGRESS_HANDLE = 0xFFFF0000
"""`ffff:`, which the kernel gives the ingress hook whatever is asked for."""

ROOT_HANDLE = 0x00010000
"""`1:`."""

TCMSG = Struct("=BxxxiIII")
TCA_KIND = 1
TCA_OPTIONS = 2

_TCA_TBF_PARMS = 1
_TCA_TBF_RATE64 = 4
_LOOPBACK = 1
_RATE_LIMIT = 1 << 32
_TBF = Struct("=8xI12xIII")
"""tc_tbf_qopt: of its two rates the first one's last field, then limit, buffer, mtu."""

_RATE64 = Struct("=Q")
_GONE = (ENODEV, ENOENT, EINVAL)
"""How kernels say that there is no such discipline, or no such device any more."""


class TokenBucket(Record):
    """tbf's parameters: `rate` in bytes a second, `limit` of the queue in bytes, and `buffer`, the burst as the time
    it takes at that rate, in the packet scheduler's ticks of 64 ns."""

    rate: int
    limit: int
    buffer: int


class Qdisc(Record):
    """A discipline of the device with index `device`; `bucket` of those of kind tbf."""

    device: int
    kind: str
    handle: int
    parent: int
    bucket: TokenBucket | None = None


def new_token_bucket(device: int, bucket: TokenBucket) -> Message:
    """A token bucket at the root of a device; EEXIST where somebody put a discipline there before."""
    options = attribute(_TCA_TBF_PARMS, _TBF.pack(bucket.rate % _RATE_LIMIT, bucket.limit, bucket.buffer, 0))
    if bucket.rate >= _RATE_LIMIT:
        options += attribute(_TCA_TBF_RATE64, _RATE64.pack(bucket.rate))
    return _new(device, ROOT_HANDLE, ROOT, "tbf", nested(TCA_OPTIONS, options))


def new_ingress(device: int) -> Message:
    """The hook on which filters for received packets hang; EEXIST where there is one."""
    return _new(device, INGRESS_HANDLE, INGRESS, "ingress", b"")


def has_token_buckets(namespace: NamespaceApi) -> bool:
    """Whether the kernel knows them.  It is asked for one without parameters, so it makes none."""
    try:
        namespace.rtnetlink().request(_new(_LOOPBACK, 0, ROOT, "tbf", b""))
    except Refused as error:
        return error.errno == EINVAL
    return True


def delete_qdisc(device: int, parent: int) -> Message:
    """Whatever is at ROOT or INGRESS of a device, filters included."""
    return RTM_DELQDISC, 0, TCMSG.pack(0, device, 0, parent, 0)


def get_qdiscs(device: int) -> Message:
    """Dump request; kernels answer for all devices."""
    return RTM_GETQDISC, 0, TCMSG.pack(0, device, 0, 0, 0)


def parse_qdisc(payload: bytes) -> Qdisc:
    """From an RTM_NEWQDISC message."""
    _, device, handle, parent, _ = TCMSG.unpack_from(payload)
    found = attributes(payload, TCMSG.size)
    kind = text(found.get(TCA_KIND, b""))
    options = attributes(found.get(TCA_OPTIONS, b"")) if kind == "tbf" else {}
    parameters = options.get(_TCA_TBF_PARMS)
    if parameters is None:
        return Qdisc(device, kind, handle, parent)
    rate, limit, buffer, _ = _TBF.unpack_from(parameters)
    if _TCA_TBF_RATE64 in options:
        rate = u32(options[_TCA_TBF_RATE64])
    return Qdisc(device, kind, handle, parent, TokenBucket(rate, limit, buffer))


def qdiscs(namespace: NamespaceApi, device: int) -> list[Qdisc]:
    """The disciplines of a device; none when it is gone.  Those that the kernel made itself may be left out."""
    replies = namespace.rtnetlink().dump(get_qdiscs(device))
    found = [parse_qdisc(payload) for kind, payload in replies if kind == RTM_NEWQDISC]
    return [each for each in found if each.device == device]


def remove_qdisc(namespace: NamespaceApi, device: int, parent: int) -> None:
    """Nothing of ours is at ROOT or INGRESS of a device; nothing there, or no such device, is no failure."""
    if any(each.parent == parent and each.handle for each in qdiscs(namespace, device)):
        try:
            namespace.rtnetlink().request(delete_qdisc(device, parent))
        except Refused as error:
            if error.errno not in _GONE:
                raise


def _new(device: int, handle: int, parent: int, kind: str, options: bytes) -> Message:
    body = TCMSG.pack(0, device, handle, parent, 0) + attribute_text(TCA_KIND, kind) + options
    return RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, body
