"""The step of host-device that no other plugin needs."""

from __future__ import annotations

from pycni.plan import ops
from pycni.plan.links import MoveLink
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.plan.transaction import Transaction


class TakeDevice(ops.Step):
    """The host's device `name` is in the container as `new_name`, down, and its alias says that it is to be called
    `original` when it comes back.

    The alias is there before the device leaves, so that it is never in the container without."""

    name: str
    new_name: str
    original: str

    def apply(self, transaction: Transaction) -> None:
        host = transaction.place(ops.HOST)
        link = host.link(self.name)
        if link is None:
            raise CniError("failed to find host device: Link not found")

        def restore() -> None:
            back = host.link(self.name)
            if back is not None:
                host.set_link(back.index, alias=link.alias)

        transaction.on_undo(f"alias of {self.name}", restore)
        host.set_link(link.index, alias=self.original)
        try:
            transaction.apply([MoveLink(ops.HOST, self.name, ops.CONTAINER, self.new_name)])
        except CniError as error:
            raise CniError(f"failed to move link {error.msg}", error.details) from None
