"""macvlan: a device of the container's own on the wire of a host's (or the container's) device (contract 2.11)."""

from __future__ import annotations

from pycni import attachment
from pycni.kernel.kinds import Macvlan
from pycni.plan import layer, ops
from pycni.plan.links import CreateLink
from pycni.plan.verify import require_driver
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError, NotAvailable
from pycni.spec.result import Result
from pycni_plugins.macvlan.config import Keys, kind_of, mac_of, parse, with_arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.plan.host_access import EnsureHostAccess

_WORDS = attachment.Words(
    previous="required prevResult missing",
    sandbox="sandbox",
    missing="container Interface name in prevResult",
    kind="error",
    mac="interface",
)
_ANNOUNCE = (layer.ARP_NOTIFY, layer.NDISC_NOTIFY)


def _load(context: Context) -> tuple[Keys, str]:
    """The keys and the master's name, in the reference's order of checks."""
    keys = parse(context.config)
    master = attachment.master_of(context, keys.inside)
    attachment.check_mtu(keys.mtu, attachment.master_link(context, master, keys.inside))
    return with_arguments(keys, context.config, context.request.arguments), master


def _host_access(context: Context, master: str) -> EnsureHostAccess | None:
    if not context.config.section.has("hostAccess"):
        return None
    from pycni_plugins.macvlan.access import parse as parse_access

    return parse_access(context.config, master)


def add(context: Context) -> Result:
    keys, master = _load(context)
    context.open_container()
    access = _host_access(context, master)
    if access is not None:
        context.transaction.apply([access])
    create = CreateLink(
        kind_of(keys),
        context.request.ifname,
        layer.temporary_name(context.owner),
        ops.CONTAINER if keys.inside else ops.HOST,
        master,
        keys.mtu,
        mac_of(keys.mac),
    )
    dns = attachment.configured_dns(context)
    return attachment.attach(context, create, dns, attachment.allocate_if_configured, _ANNOUNCE)


def delete(context: Context) -> None:
    parse(context.config)
    attachment.detach(context)


def check(context: Context) -> None:
    keys, master = _load(context)
    container = context.open_container()
    attachment.ask_ipam(context, "CHECK")
    previous, interface = attachment.reported(context, _WORDS)
    link = attachment.check_device(container, interface, "macvlan", _WORDS)
    wanted, found = kind_of(keys), container.virtual().kind(link.index)
    if isinstance(found, Macvlan) and found.mode != wanted.mode:
        raise CniError(f"container macvlan mode {found.mode} does not match expected value: {wanted.mode}")
    attachment.check_mac(interface, link, _WORDS)
    attachment.check_addressing(container, link, previous)
    access = _host_access(context, master)
    problem = "" if access is None else access.problem(context.host.namespace)
    if problem:
        raise CniError(problem)


def gc(context: Context) -> None:
    parse(context.config)
    attachment.collect(context)


def status(context: Context) -> None:
    """NotAvailable when an ADD could not succeed now; the IPAM plugin's own answer first."""
    keys = parse(context.config)
    attachment.ask_ipam(context, "STATUS")
    kind_of(keys)
    require_driver(context, "macvlan")
    master = attachment.require_master(context, context.config.section.string("master"))
    if master is not None:
        attachment.check_mtu(keys.mtu, master)
    access = _host_access(context, "" if master is None else master.name)
    obstacle = "" if access is None else access.obstacle(context.host.namespace)
    if obstacle:
        raise NotAvailable(obstacle)


PLUGIN = Plugin("macvlan", add=add, check=check, delete=delete, gc=gc, status=status)
