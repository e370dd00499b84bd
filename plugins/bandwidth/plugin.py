"""bandwidth: limits what an interface that another plugin made sends and receives (contract 2.9)."""

from __future__ import annotations

from pycni.firewall.facts import Owner
from pycni.firewall.naming import (
    attachment_hash,
    ifb_name,
    network_hash,
    newborn_group,
    owner_comment,
    owner_of,
    second_ifb_name,
)
from pycni.kernel import mirred, pseudo, qdisc
from pycni.kernel.model import Link, format_mac
from pycni.kernel.namespace import TRASH_GROUP
from pycni.plan import ops, shaping
from pycni.plan.teardown import described, empty_trash
from pycni.skeleton import Context, Plugin
from pycni.spec import verbatim, version
from pycni.spec.errors import CniError, NotAvailable
from pycni.spec.result import Interface, Result
from pycni_plugins.bandwidth.config import Limit, Limits, parse, token_bucket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

_VERSIONS = version.ALL[2:]
_UNCHAINED = "must be called as chained plugin"


def plan(limits: Limits, device: str, ifb: str, owner: Owner) -> list[ops.Operation]:
    """The limits of an attachment whose interface has the host device `device` as its other end; what that receives
    is led through a new device `ifb`."""
    wanted: list[ops.Operation] = []
    if limits.ingress is not None:
        wanted.append(shaping.LimitDeparting(device, token_bucket(limits.ingress)))
    if limits.egress is not None:
        newborn, bucket = newborn_group(owner.network), token_bucket(limits.egress)
        wanted.append(shaping.LimitArriving(device, ifb, bucket, owner_comment(owner), newborn))
    return wanted


def add(context: Context) -> Result | str:
    limits = parse(context.config)
    if limits == Limits():
        unchanged = verbatim.unchanged(context.config)
        return _previous(context, _UNCHAINED) if unchanged is None else unchanged
    previous = _previous(context, _UNCHAINED)
    device = _host_device(context, previous)
    owner = context.owner
    host = context.host.namespace
    name = _free_name(host, owner) if limits.egress is not None else ""
    context.transaction.apply(plan(limits, device.name, name, owner))
    for limit in (limits.ingress, limits.egress):
        _warn_of_small_burst(context, limit, device)
    if limits.egress is None:
        return previous
    ifb = host.link(name)
    if ifb is None:
        raise CniError(f"the ifb of {owner.ifname} vanished while it was made")
    return previous.replace(interfaces=(*previous.interfaces, Interface(ifb.name, format_mac(ifb.mac))))


def _free_name(host: NamespaceApi, owner: Owner) -> str:
    """The reference's name, unless an ifb of the container's other interface has it."""
    name = ifb_name(owner.network, owner.container_id)
    other = host.link(name)
    taken = other is not None and other.kind == pseudo.IFB and _tag(other) != attachment_hash(owner)
    return second_ifb_name(owner) if taken else name


def _tag(ifb: Link) -> str:
    """Whose it is, as `attachment_hash` has it; the reference's do not say."""
    return ifb.alias.partition(",")[0]


def _own_ifb(host: NamespaceApi, owner: Owner) -> Link | None:
    """The ifb of this interface; one that does not say whose it is may be."""
    for name in (second_ifb_name(owner), ifb_name(owner.network, owner.container_id)):
        link = host.link(name)
        if link is not None and link.kind == pseudo.IFB and _tag(link) in ("", attachment_hash(owner)):
            return link
    return None


def _warn_of_small_burst(context: Context, limit: Limit | None, device: Link) -> None:
    if limit is not None and limit.burst // 8 < device.mtu:
        context.warn(
            f"bandwidth: a burst of {limit.burst} bits is less than a packet of {device.mtu} bytes; such are dropped"
        )


def _previous(context: Context, missing: str) -> Result:
    previous = context.config.prev_result()
    if previous is None:
        raise CniError(missing)
    return previous


def _host_device(context: Context, previous: Result) -> Link:
    """The other end of the container's interface, which an earlier plugin must have reported."""
    container, ifname = context.open_container(), context.request.ifname
    if not previous.interfaces:
        raise CniError("no interfaces provided")
    link = container.link(ifname)
    if link is None:
        raise _no_peer(ifname, f'could not look up "{ifname}": Link not found')
    if link.kind != "veth" or not link.link:
        raise _no_peer(ifname, f'interface "{ifname}" was not a veth interface')
    device = context.host.namespace.link_by_index(link.link)
    if device is None or device.kind != "veth" or device.link != link.index:  # indexes count anew in each namespace
        raise CniError(f"veth peer with index {link.link} is not in host ns")
    if not any(each.name == device.name and not each.sandbox for each in previous.interfaces):
        raise CniError("no veth peer of container interface found in host ns")
    return device


def _no_peer(ifname: str, reason: str) -> CniError:
    return CniError(f"container interface {ifname} has no veth peer: {reason}")


def check(context: Context) -> None:
    limits = parse(context.config)
    device = _host_device(context, _previous(context, "must be called as a chained plugin"))
    if limits.ingress is not None:
        _check_bucket(context, device, limits.ingress)
    if limits.egress is None:
        return
    ifb = _own_ifb(context.host.namespace, context.owner)
    if ifb is None:
        raise CniError("get ifb device: Link not found")
    _check_bucket(context, ifb, limits.egress)
    if ifb.index not in mirred.redirects(context.host.namespace, device.index):
        raise CniError(f"what {device.name} receives is not led through {ifb.name}")


def _check_bucket(context: Context, device: Link, limit: Limit) -> None:
    wanted, present = token_bucket(limit), shaping.departing_bucket(context.host.namespace, device.index)
    if present is None:
        raise CniError("Failed to find qdisc")
    for what in ("rate", "limit", "buffer"):
        if getattr(present, what) != getattr(wanted, what):
            raise CniError(f"{what.capitalize()} doesn't match")


def delete(context: Context) -> None:
    """Removes the ifb, whatever the limits are now.  The rest goes with the interface, which is deleted next."""
    host = context.host.namespace
    link = _own_ifb(host, context.owner)
    if link is None:
        return
    if context.host.deferring:
        host.set_link(link.index, up=False, group=TRASH_GROUP)
        host.discard_name(link.index)
        context.host.defer(empty_trash)
    else:
        host.delete_link(link.index)


def gc(context: Context) -> None:
    """Frees the ifbs of attachments that are no longer valid, and those that a killed ADD did not finish."""
    network, host, keep = context.config.name, context.host.namespace, context.config.valid_attachments()
    valid = {attachment_hash(Owner(network, container_id, ifname)) for container_id, ifname in keep}
    for link in host.links():
        tag = _tag(link)
        stale = tag.startswith(network_hash(network) + "-") and tag not in valid
        found = stale or (link.group == newborn_group(network) and link.name.startswith("bwp"))
        if link.kind == pseudo.IFB and found and context.collects(described(link), owner_of(link.alias)):
            host.delete_link(link.index)


def status(context: Context) -> None:
    """NotAvailable when the kernel lacks what limits need."""
    parse(context.config)
    host = context.host.namespace
    if not pseudo.has_driver(host, pseudo.IFB):
        raise NotAvailable("the kernel has no driver for ifb devices, without which egress cannot be limited")
    if not qdisc.has_token_buckets(host):
        raise NotAvailable("the kernel has no driver for token buckets (tbf), without which nothing can be limited")


PLUGIN = Plugin("bandwidth", _VERSIONS, add, check, delete, gc, status)
