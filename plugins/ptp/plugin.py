"""ptp: connects a container to the host by a veth pair that packets are routed through (contract 2.10)."""

from __future__ import annotations

from pycni.firewall.facts import Fact, Masquerade
from pycni.firewall.naming import MASQUERADE, host_end
from pycni.kernel.model import Link, format_mac
from pycni.plan import ops
from pycni.plan.teardown import Failures, collect_links, find_interface, remove_interface
from pycni.plan.verify import require_forwarding
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.result import Interface, Result
from pycni_plugins.ptp import layers
from pycni_plugins.ptp.checks import check
from pycni_plugins.ptp.config import parse, parse_for_removal


def add(context: Context) -> Result:
    ptp = parse(context.config)
    context.open_container()
    owner, transaction = context.owner, context.transaction
    result = layers.address(context.allocate())
    plan = layers.attachment(ptp, owner, result)
    if ptp.masquerade:
        backend = context.host.firewall.choose(MASQUERADE, ptp.masquerade_backend)
        fact = Masquerade(tuple(ip.address for ip in result.ips))
        plan.append(ops.InstallRules(owner, MASQUERADE, backend, (fact,)))
    applied = transaction.apply(plan)
    # in the order that layers.CONTAINER_INTERFACE counts on
    ends = (_interface(applied.host_link), _interface(applied.container_link, context.request.netns))
    override = context.config.dns_override()
    return result.replace(interfaces=ends, dns=result.dns if override is None else override)


def _interface(link: Link | None, sandbox: str = "") -> Interface:
    if link is None:
        raise CniError("an interface of this attachment vanished while it was made")
    return Interface(link.name, format_mac(link.mac), sandbox)


def delete(context: Context) -> None:
    """Removes the rules, the link and the addresses; what is already gone is success, and no step keeps the others
    from being tried.  The rules go first, as bridge's do."""
    ptp = parse_for_removal(context.config)
    failures = Failures()
    link, addresses = failures.attempt(lambda: find_interface(context)) or (None, ())
    # whatever ipMasq says now: it may have said otherwise on ADD
    fallback: tuple[Fact, ...] = (Masquerade(addresses),) if addresses and ptp.masquerade else ()
    failures.attempt(lambda: context.host.firewall.remove(context.owner, MASQUERADE, fallback))
    first = context.config.frees_addresses_first
    if context.config.ipam_type and first:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "DEL"))
    failures.attempt(lambda: remove_interface(context, host_end(context.owner), link))
    if context.config.ipam_type and not first:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "DEL"))
    failures.raise_first()


def gc(context: Context) -> None:
    """Frees the links, leases and rules of attachments that are no longer valid."""
    keep = context.config.valid_attachments()
    failures = Failures()
    failures.attempt(lambda: collect_links(context, keep))
    if context.config.ipam_type:
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "GC"))
    failures.attempt(lambda: context.host.firewall.collect(context.config.name, MASQUERADE, keep, context.collects))
    failures.raise_first()


def status(context: Context) -> None:
    """NotAvailable when an ADD could not succeed now; the IPAM plugin's own answer first."""
    ptp = parse(context.config)
    context.delegate(context.config.ipam_type, "STATUS")
    if ptp.masquerade:
        context.host.firewall.status(context.host.firewall.choose(MASQUERADE, ptp.masquerade_backend))
    require_forwarding(context)


PLUGIN = Plugin("ptp", add=add, check=check, delete=delete, gc=gc, status=status)
