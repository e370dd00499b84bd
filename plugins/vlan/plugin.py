"""vlan: a VLAN of a host's (or the container's) device as the container's (contract 2.13)."""

from __future__ import annotations

from pycni import attachment
from pycni.kernel.kinds import Vlan
from pycni.plan import layer, ops
from pycni.plan.links import CreateLink
from pycni.plan.verify import require_driver
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.vlan.config import parse, parse_for_removal

_WORDS = attachment.Words(
    previous="vlan: Required prevResult missing",
    missing="vlan: Container Interface name in prevResult",
    mac="vlan: Interface",
)
_REFUSED = "failed to execute IPAM delegate: "


def _allocate(context: Context) -> Result:
    """As `Context.allocate`; what the IPAM plugin says is put into words of vlan's own, its code is lost."""
    try:
        allocated = context.delegate(context.config.ipam_type, "ADD")
    except CniError as error:
        raise CniError(f"{_REFUSED}{error}") from None
    context.transaction.on_undo("addresses", lambda: context.delegate(context.config.ipam_type, "DEL"))
    if allocated is None or not allocated.ips:
        raise CniError("IPAM plugin returned missing IP config")
    return allocated


def add(context: Context) -> Result:
    keys = parse(context.config)
    attachment.check_mtu(keys.mtu, attachment.master_link(context, keys.master, keys.inside))
    context.open_container()
    if not context.config.ipam_type:
        raise CniError(_REFUSED + "no plugin name provided")
    create = CreateLink(
        Vlan(keys.vid),
        context.request.ifname,
        layer.temporary_name(context.owner),
        ops.CONTAINER if keys.inside else ops.HOST,
        keys.master,
        keys.mtu,
    )
    return attachment.attach(context, create, attachment.configured_dns(context), _allocate)


def delete(context: Context) -> None:
    parse_for_removal(context.config)
    attachment.detach(context)


def check(context: Context) -> None:
    keys = parse_for_removal(context.config)
    container = context.open_container()
    context.delegate(context.config.ipam_type, "CHECK")
    previous, interface = attachment.reported(context, _WORDS)
    if (container if keys.inside else context.host.namespace).link(keys.master) is None:
        raise CniError(f'failed to lookup master "{keys.master}": Link not found')
    link = attachment.check_device(container, interface, "vlan", _WORDS)
    attachment.check_mac(interface, link, _WORDS)
    found = container.virtual().kind(link.index)
    if isinstance(found, Vlan) and found.vid != keys.vid:
        raise CniError(f"Error: VLAN ID of {link.name} is {found.vid}, configured is {keys.vid}")
    if keys.mtu and keys.mtu != link.mtu:
        raise CniError(f"Error: Tuning configured MTU of {link.name} is {keys.mtu}, current value is {link.mtu}")
    attachment.check_addressing(container, link, previous)


def gc(context: Context) -> None:
    parse_for_removal(context.config)
    attachment.collect(context)


def status(context: Context) -> None:
    """NotAvailable when an ADD could not succeed now; the IPAM plugin's own answer first."""
    keys = parse(context.config)
    context.delegate(context.config.ipam_type, "STATUS")
    require_driver(context, "vlan")
    master = attachment.require_master(context, keys.master)
    if master is not None:
        attachment.check_mtu(keys.mtu, master)


PLUGIN = Plugin("vlan", add=add, check=check, delete=delete, gc=gc, status=status)
