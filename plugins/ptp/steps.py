"""The steps of ptp that no other plugin needs."""

from __future__ import annotations

from errno import ESRCH

from pycni.kernel.model import Route
from pycni.kernel.routes import delete_route
from pycni.plan import ops
from pycni.spec.address import Prefix
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.plan.transaction import Transaction


class AddressHostEnd(ops.Step):
    """The host end of this plan's veth pair has these addresses, and these routes go through it.  They go with it."""

    addresses: tuple[Prefix, ...]
    routes: tuple[Route, ...]

    def apply(self, transaction: Transaction) -> None:
        link = transaction.applied.host_link
        if link is None:
            raise CniError("no veth pair was made for these addresses")
        if any(each.family == 6 for each in self.addresses):
            path = f"net/ipv6/conf/{link.name}/accept_dad"
            transaction.apply([ops.Sysctl(ops.HOST, path, "0")])
        transaction.place(ops.HOST).configure(link.index, self.addresses, self.routes, up=False)


class RouteThroughGateways(ops.Step):
    """Of a container interface's routes, `connected` are replaced by `through`, in this order.  They go with it."""

    name: str
    connected: tuple[Route, ...]
    through: tuple[Route, ...]

    def apply(self, transaction: Transaction) -> None:
        container = transaction.place(ops.CONTAINER)
        link = transaction.applied.container_link
        if link is None or link.name != self.name:
            raise CniError(f"no veth pair was made for the routes of {self.name}")
        for route in self.connected:
            try:
                container.rtnetlink().request(delete_route(route.replace(device=link.index)))
            except KernelError as error:
                if error.errno != ESRCH:  # an address may be a subnet of its own, and then has no such route
                    raise CniError(f"failed to delete route {route.destination}: {error.msg}") from None
        container.configure(link.index, (), self.through, up=False)
