"""The handlers that plugins of one device in the container share: macvlan, ipvlan, vlan, dummy, tap.

Each of them decides what device there is to be (`pycni.plan.links`) and what CHECK says of it; the rest is here:
addresses, results, removal, and everything that is asked of the IPAM plugin.
"""

from __future__ import annotations

from pycni.kernel.model import format_mac
from pycni.plan import layer
from pycni.plan.teardown import Failures, Retired, empty_trash
from pycni.plan.verify import container_interface, verify_addresses, verify_routes
from pycni.record import Record
from pycni.spec.errors import CniError, KernelError, NotAvailable
from pycni.spec.result import Result, parse_dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link
    from pycni.plan import ops
    from pycni.skeleton import Context
    from pycni.spec.result import Dns, Interface

_NO_DEFAULT = "no default route interface found"
_NOT_FOUND = "Link not found"
_RETIRED = ("macvlan", "dummy", "tun")
"""Kinds of devices that are as good as gone once they are down."""


# --- the device on top of which another one is made ------------------------------------------------------------------


def master_of(context: Context, inside: bool) -> str:
    """The configuration's `master`, or the device of the first default route, IPv4's before IPv6's, in the host's
    namespace or `inside` the container's; CniError when there is none."""
    name = context.config.section.string("master")
    return name or default_device(context.open_container() if inside else context.host.namespace)


def default_device(namespace: NamespaceApi) -> str:
    for family in (4, 6):
        for route in namespace.routes(family):
            link = namespace.link_by_index(route.device) if route.destination.length == 0 else None
            if link is not None:
                return link.name
    raise CniError(_NO_DEFAULT)


def master_link(context: Context, name: str, inside: bool) -> Link:
    """The device called `name`; CniError in the reference's bare words, whose details name it, when there is none."""
    link = (context.open_container() if inside else context.host.namespace).link(name)
    if link is None:
        raise CniError(_NOT_FOUND, f'master "{name}"')
    return link


def check_mtu(mtu: int, master: Link) -> None:
    if not 0 <= mtu <= master.mtu:
        raise CniError(f"invalid MTU {mtu}, must be [0, master MTU({master.mtu})]")


def require_master(context: Context, name: str) -> Link | None:
    """For STATUS, which knows no container: the host's device of this name or, with "", of its default route.
    NotAvailable when there is none; None for a master in the container."""
    if context.config.section.boolean("linkInContainer"):
        return None
    host = context.host.namespace
    try:
        found = name or default_device(host)
    except CniError as error:
        raise NotAvailable(error.msg) from None
    link = host.link(found)
    if link is None:
        raise NotAvailable(f'master "{found}": {_NOT_FOUND}')
    return link


# --- the commands ----------------------------------------------------------------------------------------------------


def configured_dns(context: Context) -> Dns:
    """What these plugins report: the configuration's, whatever the IPAM plugin says (contract 2.11)."""
    return parse_dns(context.config.section.section("dns"))


def attach(
    context: Context,
    create: ops.Operation,
    dns: Dns | None,
    allocate: Callable[[Context], Result | None],
    announce: Sequence[str] = (),
    carrier: bool = True,
) -> Result:
    """ADD: makes the device, asks `allocate` for addresses (None: layer 2), puts them on it, and reports."""
    link = context.transaction.apply([create]).container_link
    if link is None:
        raise CniError("no device was made")
    result = layer.report(link, context.request.netns, allocate(context) or Result(), dns)
    context.transaction.apply(layer.configure(link.name, result, announce, carrier))
    return result


def allocate_if_configured(context: Context) -> Result | None:
    """What the IPAM plugin gives, None where the configuration names none."""
    return context.allocate() if context.config.ipam_type else None


def detach(context: Context) -> None:
    """DEL: the device, and what a killed ADD left of it, and the addresses.  What is gone already is success, and no
    step keeps the others from being tried."""
    failures = Failures()
    has_ipam, first = bool(context.config.ipam_type), context.config.frees_addresses_first
    if has_ipam and first:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "DEL"))
    found = failures.attempt(lambda: _remove(context, context.request.ifname))
    failures.attempt(lambda: _remove(context, layer.temporary_name(context.owner)))
    if found is False:
        failures.attempt(lambda: _sweep(context))
    if has_ipam and not first:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "DEL"))
    failures.raise_first()


def _sweep(context: Context) -> None:
    """An engine that was killed may have left the device retired, where no engine looks for it."""
    container = context.container_or_none()
    if container is not None:
        empty_trash(container)


def _remove(context: Context, name: str) -> bool:
    """Whether there was such a device; it is out of use."""
    container = context.container_or_none()
    link = None if container is None else container.link(name)
    if container is None or link is None:
        return False
    try:
        # a passthru device would keep its parent from the next one for as long as it exists, as a VLAN its number
        if context.host.deferring and link.kind in _RETIRED and context.config.section.string("mode") != "passthru":
            context.host.defer(Retired(container, link, link.kind == "macvlan" and not _names_its_mac(context)))
        else:
            container.delete_link(link.index)
    except KernelError as error:
        raise CniError(f'failed to delete "{name}": {error.msg}') from None
    return True


def _names_its_mac(context: Context) -> bool:
    """Whether the container, started again, could ask for the same hardware address."""
    config = context.config
    return bool(config.section.string("mac") or config.runtime.string("mac") or "MAC=" in context.request.arguments)


def collect(context: Context) -> None:
    """GC: the leases of attachments that are not valid any more.  Their devices are in namespaces nobody names here,
    and go with them."""
    context.config.valid_attachments()
    if context.config.ipam_type:
        context.delegate(context.config.ipam_type, "GC")


def ask_ipam(context: Context, command: str) -> None:
    """CHECK or STATUS of the IPAM plugin, where there is one."""
    if context.config.ipam_type:
        context.delegate(context.config.ipam_type, command)


class Words(Record):
    """How a plugin's CHECK begins its complaints; the reference's plugins do not agree."""

    previous: str = "Required prevResult missing"
    sandbox: str = "Sandbox"
    missing: str = "Container Interface name in prevResult"
    kind: str = "Error"
    mac: str = "Interface"


def reported(context: Context, words: Words) -> tuple[Result, Interface]:
    """prevResult and the entry in it that is this attachment's device."""
    previous = context.config.prev_result()
    if previous is None:
        raise CniError(words.previous)
    return previous, container_interface(context, previous, words.sandbox)


def check_device(container: NamespaceApi, interface: Interface, kind: str, words: Words, called: str = "") -> Link:
    """The device is there and of this kind (as the kernel calls it; the reference may have `called` it otherwise)."""
    link = container.link(interface.name)
    if link is None:
        raise CniError(f"{words.missing}: {interface.name} not found")
    if link.kind != kind:
        raise CniError(f"{words.kind}: Container interface {link.name} not of type {called or kind}")
    return link


def check_mac(interface: Interface, link: Link, words: Words) -> None:
    mac = format_mac(link.mac)
    if interface.mac and interface.mac != mac:
        raise CniError(f"{words.mac} {link.name} Mac {interface.mac} doesn't match container Mac: {mac}")


def check_addressing(container: NamespaceApi, link: Link, previous: Result) -> None:
    """Addresses, then routes (contract 2.0.6)."""
    verify_addresses(container, link, previous)
    verify_routes(container, previous)
