"""ipvlan: addresses of the container's own behind the hardware address of a host's device (contract 2.12)."""

from __future__ import annotations

from pycni import attachment
from pycni.kernel.kinds import Ipvlan
from pycni.plan import layer, ops
from pycni.plan.links import CreateLink
from pycni.plan.verify import require_driver
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.ipvlan.config import Keys, chained_master, kind_of, parse

_WORDS = attachment.Words()
_ANNOUNCE = (layer.ARP_NOTIFY, layer.NDISC_NOTIFY)


def _master(context: Context, keys: Keys, previous: Result | None) -> str:
    if keys.master or previous is None:
        return attachment.master_of(context, keys.inside)
    return chained_master(previous)


def add(context: Context) -> Result:
    keys = parse(context.config)
    previous = context.config.prev_result()
    master = _master(context, keys, previous)
    context.open_container()
    kind = kind_of(keys)
    context.config.section.integer("mtu", unsigned=True)
    chained = None if context.config.ipam_type or previous is None or not previous.ips else previous
    if chained is None and not context.config.ipam_type:
        raise CniError("no plugin name provided")
    create = CreateLink(
        kind,
        context.request.ifname,
        layer.temporary_name(context.owner),
        ops.CONTAINER if keys.inside else ops.HOST,
        master,
        keys.mtu,
    )
    dns = attachment.configured_dns(context)
    return attachment.attach(context, create, dns, lambda each: chained or each.allocate(), _ANNOUNCE)


def delete(context: Context) -> None:
    parse(context.config)
    attachment.detach(context)


def check(context: Context) -> None:
    keys = parse(context.config)
    container = context.open_container()
    attachment.ask_ipam(context, "CHECK")
    previous, interface = attachment.reported(context, _WORDS)
    if keys.master and (container if keys.inside else context.host.namespace).link(keys.master) is None:
        raise CniError(f'failed to lookup master "{keys.master}": Link not found')
    link = attachment.check_device(container, interface, "ipvlan", _WORDS)
    wanted, found = kind_of(keys), container.virtual().kind(link.index)
    if isinstance(found, Ipvlan) and found != wanted:
        raise CniError(f"Container IPVlan mode {found.mode} does not match expected value: {wanted.mode}")
    attachment.check_mac(interface, link, _WORDS)
    attachment.check_addressing(container, link, previous)


def gc(context: Context) -> None:
    parse(context.config)
    attachment.collect(context)


def status(context: Context) -> None:
    """NotAvailable when an ADD could not succeed now; the IPAM plugin's own answer first.  Without a `master` it may be
    one in a chain, whose master nobody knows yet."""
    keys = parse(context.config)
    attachment.ask_ipam(context, "STATUS")
    kind_of(keys)
    require_driver(context, "ipvlan")
    if keys.master:
        attachment.require_master(context, keys.master)


PLUGIN = Plugin("ipvlan", add=add, check=check, delete=delete, gc=gc, status=status)
