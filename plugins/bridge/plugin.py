"""bridge: connects a container to a Linux bridge through a veth pair (contract 2.1)."""

from __future__ import annotations

from pycni.firewall.facts import BRIDGE_NAT, Fact, Masquerade, SpoofCheck
from pycni.firewall.naming import MASQUERADE, SPOOFCHECK, host_end
from pycni.kernel.model import Link, format_mac
from pycni.plan import ops
from pycni.plan.teardown import Failures, collect_links, find_interface, remove_interface
from pycni.plan.verify import require_forwarding
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError, NotAvailable
from pycni.spec.result import Interface, Result
from pycni_plugins.bridge import layers
from pycni_plugins.bridge.checks import check
from pycni_plugins.bridge.config import Bridge, parse, parse_for_removal


def _parse(context: Context) -> Bridge:
    return parse(context.config, context.request.arguments)


def add(context: Context) -> Result:
    bridge = _parse(context)
    context.open_container()
    transaction, owner = context.transaction, context.owner
    applied = transaction.apply(layers.links(bridge, owner))
    if bridge.spoofcheck and applied.host_link is not None and applied.container_link is not None:
        transaction.apply([layers.spoof_check(owner, applied.host_link, applied.container_link)])
    result = Result()
    if bridge.has_ipam:
        result = layers.address(bridge, context.allocate())
        plan = layers.container(bridge, owner.ifname, result)
        if bridge.gateway:
            plan += layers.gateways(bridge, result)
        if bridge.masquerade:
            backend = context.host.firewall.choose(MASQUERADE, bridge.masquerade_backend)
            plan += layers.masquerade(owner, backend, result)
        transaction.apply(plan)
    elif bridge.container_up:
        transaction.apply([ops.SetLink(ops.CONTAINER, owner.ifname, up=True)])
    if bridge.container_up:
        transaction.apply([ops.AwaitPort(), *layers.announcement(owner.ifname, result)])
    found = context.host.namespace.link(bridge.name)
    inside = _interface(applied.container_link, context.request.netns)
    # in the order that layers.CONTAINER_INTERFACE counts on
    gateway = () if applied.gateway is None else (_interface(applied.gateway),)
    result = result.replace(interfaces=(_interface(found), _interface(applied.host_link), inside, *gateway))
    override = context.config.dns_override()
    return result if override is None else result.replace(dns=override)


def _interface(link: Link | None, sandbox: str = "") -> Interface:
    if link is None:
        raise CniError("an interface of this attachment vanished while it was made")
    return Interface(link.name, format_mac(link.mac), sandbox)


def delete(context: Context) -> None:
    """Removes the rules, the link and the addresses; what is already gone is success, and no step keeps the others
    from being tried.

    The rules go first: a socket that has deleted some waits 7-20 ms when it closes, and without the engine that time
    passes while the kernel destroys the link."""
    bridge = parse_for_removal(context.config, context.request.arguments)
    failures = Failures()
    link, addresses = failures.attempt(lambda: find_interface(context)) or (None, ())
    if bridge.has_ipam:  # whatever ipMasq says now: it may have said otherwise on ADD
        fallback: tuple[Fact, ...] = (Masquerade(addresses),) if addresses and bridge.masquerade else ()
        failures.attempt(lambda: context.host.firewall.remove(context.owner, MASQUERADE, fallback))
    checks = (SpoofCheck(),) if bridge.spoofcheck else ()
    failures.attempt(lambda: context.host.firewall.remove(context.owner, SPOOFCHECK, checks))
    first = context.config.frees_addresses_first
    if bridge.has_ipam and first:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "DEL"))
    failures.attempt(lambda: remove_interface(context, host_end(context.owner), link))
    if bridge.has_ipam and not first:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "DEL"))
    failures.raise_first()


def gc(context: Context) -> None:
    """Frees the links, leases and rules of attachments that are no longer valid."""
    bridge = parse_for_removal(context.config, context.request.arguments)
    keep = context.config.valid_attachments()
    failures = Failures()
    failures.attempt(lambda: collect_links(context, keep, bridge.name))
    if bridge.has_ipam:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "GC"))
    collect = context.host.firewall.collect
    for kind in (MASQUERADE, SPOOFCHECK):
        failures.attempt(lambda kind=kind: collect(context.config.name, kind, keep, context.collects))  # type: ignore[misc]
    failures.raise_first()


def status(context: Context) -> None:
    """NotAvailable when an ADD could not succeed now; the IPAM plugin's own answer first."""
    bridge = _parse(context)
    if bridge.has_ipam:
        context.delegate(context.config.ipam_type, "STATUS")
    link = context.host.namespace.link(bridge.name)
    if link is not None and link.kind != "bridge":
        raise NotAvailable(f'"{bridge.name}" already exists but is not a bridge')
    if bridge.has_ipam and bridge.masquerade:
        context.host.firewall.status(context.host.firewall.choose(MASQUERADE, bridge.masquerade_backend))
    if bridge.spoofcheck:
        context.host.firewall.status(BRIDGE_NAT)
    if bridge.filtering and link is not None and not context.host.namespace.filters_vlans(link.index):
        raise NotAvailable(f'bridge "{bridge.name}" does not filter VLANs, so containers of all VLANs reach each other')
    if bridge.gateway:
        require_forwarding(context)


PLUGIN = Plugin("bridge", add=add, check=check, delete=delete, gc=gc, status=status)
