"""The step of bridge that no other plugin needs."""

from __future__ import annotations

from pycni.plan import ops
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.plan.transaction import Transaction


class Announce(ops.Step):
    """Neighbours learn who has the addresses of this plan's container interface now.

    What the kernel announces when the interface comes up (`arp_notify`) is lost: its port does not forward yet.  Who
    knew the address before, of a container that is gone, would go on sending to that one's hardware address for
    seconds, or wait for the answer to a question that nobody has heard.  Setting the same hardware address again makes
    the kernel say everything once more, IPv6 where `ndisc_notify` is on.  A failure keeps nobody from working."""

    name: str
    ipv6: bool

    def apply(self, transaction: Transaction) -> None:
        container = transaction.place(ops.CONTAINER)
        link = transaction.applied.container_link
        if link is None or link.name != self.name:
            raise CniError(f"no veth pair was made for the addresses of {self.name}")
        notify = f"net/ipv6/conf/{self.name}/ndisc_notify"
        before = None
        try:
            if self.ipv6:
                before = container.replace_sysctl(notify, "1")
            container.set_link(link.index, mac=link.mac)
            if before is not None:
                container.write_sysctl(notify, before)
        except (KernelError, OSError) as error:
            transaction.warn(f"announcing the addresses of {self.name}: {error}")
