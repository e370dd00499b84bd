"""What an attachment by one device in the container consists of, as plans and results: pure decisions that macvlan,
ipvlan, vlan, dummy and tap have in common (contract 2.11 to 2.13, 2.15, 2.18)."""

from __future__ import annotations

from pycni.firewall.naming import attachment_hash
from pycni.kernel.model import format_mac
from pycni.plan import ops
from pycni.spec.result import Interface

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycni.firewall.facts import Owner
    from pycni.kernel.model import Link
    from pycni.spec.result import Dns, Result

ARP_NOTIFY = "net/ipv4/conf/{}/arp_notify"
NDISC_NOTIFY = "net/ipv6/conf/{}/ndisc_notify"
"""Sysctls that have the kernel announce a new address to its neighbours."""


def temporary_name(owner: Owner) -> str:
    """The attachment's own name for a device that has not got its final one, found again after a crash.  The
    reference draws a random one of this form."""
    return "veth" + attachment_hash(owner)[-16:-8]


def report(link: Link, sandbox: str, allocated: Result, dns: Dns | None) -> Result:
    """The one device, with all addresses on it; `dns` None leaves what the IPAM plugin said."""
    interface = Interface(link.name, format_mac(link.mac), sandbox)
    ips = tuple(each.replace(interface=0) for each in allocated.ips)
    return allocated.replace(interfaces=(interface,), ips=ips, dns=allocated.dns if dns is None else dns)


def configure(ifname: str, result: Result, announce: Sequence[str] = (), carrier: bool = True) -> list[ops.Operation]:
    """Addresses and routes, and the device up; up is all there is to do at layer 2.

    Without a `carrier` duplicate address detection does not even begin, so nothing waits for its end."""
    if not result.ips:
        return [ops.SetLink(ops.CONTAINER, ifname, up=True)]
    plan: list[ops.Operation] = [ops.Sysctl(ops.CONTAINER, path.format(ifname), "1") for path in announce]
    configured = ops.configure_interface(ifname, result)
    return [*plan, configured if carrier else configured.replace(await_dad=False)]
