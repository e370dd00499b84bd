"""Operations that make the container's device, or move one into its namespace (contract 2.0.10, 2.14, 2.18)."""

from __future__ import annotations

from errno import EBUSY, EEXIST

from pycni.kernel.failure import errno_text
from pycni.kernel.kinds import KIND_NAMES, Kind, Tap
from pycni.plan import ops
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link
    from pycni.plan.transaction import Transaction

_ATTEMPTS = 10


class CreateLink(ops.Step):
    """A device of this kind called `name` in the container, down.

    Its parent is the device `parent` in the namespace that `place` means; "" for a kind that has none.  It is made
    under the name `temporary` and then renamed, because some kernels look for its first name in the parent's namespace
    as well.  A temporary name is the attachment's own: a device of that name and kind is what a killed ADD left, and
    goes; if anything else has it random names follow.  Without one the device gets its name at once."""

    kind: Kind
    name: str
    temporary: str = ""
    place: str = ops.HOST
    parent: str = ""
    mtu: int = 0
    mac: bytes | None = None

    def apply(self, transaction: Transaction) -> None:
        where, container = transaction.place(self.place), transaction.place(ops.CONTAINER)
        parent = where.link(self.parent) if self.parent else None
        if parent is None and self.parent:
            raise CniError(f'failed to lookup master "{self.parent}": Link not found')
        word = KIND_NAMES[type(self.kind)]
        try:
            link = self._create(where, container, 0 if parent is None else parent.index, transaction)
        except KernelError as error:
            details = error.details
            if error.errno == EBUSY and parent is not None and not details:
                details = _use_of(where, parent)
            raise CniError(f"failed to create {word}: {error.msg}", details) from None
        transaction.on_undo(f"{word} {self.name}", lambda: container.delete_link(link.index))
        if link.name != self.name:
            try:
                container.set_link(link.index, name=self.name)
            except KernelError as error:
                raise CniError(f'failed to rename {word} to "{self.name}": {errno_text(error.errno)}') from None
        transaction.applied.container_link = link.replace(name=self.name)

    def _create(self, where: NamespaceApi, container: NamespaceApi, parent: int, transaction: Transaction) -> Link:
        name = self.temporary or self.name
        for _ in range(_ATTEMPTS):
            try:
                return where.virtual().create(self.kind, name, container, parent, self.mtu, self.mac)
            except KernelError as error:
                reason = error
                taken = container.link(name) if error.errno == EEXIST and self.temporary else None
                if error.errno != EEXIST or not self.temporary:
                    break
            if taken is not None and name == self.temporary and taken.kind == KIND_NAMES[type(self.kind)]:
                container.delete_link(taken.index)
            elif taken is None and where.link(name) is None:
                break  # something else exists: the VLAN of this parent
            else:
                name = "veth" + transaction.random_bytes(4).hex()
        raise reason


def _use_of(where: NamespaceApi, parent: Link) -> str:
    """Why nothing can be made on top of a device that is busy."""
    above = where.link_by_index(parent.master) if parent.master else None
    if above is not None:
        return f'"{parent.name}" is a port of "{above.name}"'
    return f'"{parent.name}" carries other devices: it can have macvlan or ipvlan ones, not both'


class CreateTap(ops.Step):
    """A TAP device called `name` in the container, a port of the bridge there if one is named, and up."""

    tap: Tap
    name: str
    mtu: int = 0
    mac: bytes | None = None
    bridge: str = ""

    def apply(self, transaction: Transaction) -> None:
        container = transaction.place(ops.CONTAINER)
        try:
            link = container.virtual().create_tap(self.tap, self.name)
        except KernelError as error:
            if error.errno == EBUSY and container.link(self.name) is not None:
                raise CniError(f'failed to rename tap to "{self.name}": {errno_text(EEXIST)}') from None
            raise
        transaction.on_undo(f"tap {self.name}", lambda: container.delete_link(link.index))
        if self.mtu or self.mac is not None:
            container.set_link(link.index, mtu=self.mtu or None, mac=self.mac)
        if self.bridge:
            bridge = container.link(self.bridge)
            if bridge is None:
                raise CniError(f"failed to get bridge {self.bridge}: Link not found")
            try:
                container.set_link(link.index, master=bridge.index)
            except KernelError as error:
                what = f"failed to set tap {self.name} as a port of bridge {self.bridge}"
                raise CniError(f"{what}: {errno_text(error.errno)}") from None
        container.set_link(link.index, up=True)
        transaction.applied.container_link = link if self.mac is None else link.replace(mac=self.mac)


class MoveLink(ops.Step):
    """The device `name` of the namespace that `source` means is in the one that `target` means, called `new_name`:
    down, without addresses, out of its bridge.  Undone, it has its name again, and is up if it was."""

    source: str
    name: str
    target: str
    new_name: str

    def apply(self, transaction: Transaction) -> None:
        source, target = transaction.place(self.source), transaction.place(self.target)
        link = source.link(self.name)
        if link is None:
            raise CniError(f'failed to find "{self.name}": Link not found')
        try:
            moved = source.virtual().move(link.index, target, self.new_name)
        except KernelError as error:
            if link.is_up and source.link_by_index(link.index) is not None:
                source.set_link(link.index, up=True)
            what = f'failed to move "{self.new_name}" ({self.source}: "{self.name}") to {self.target} NS'
            raise CniError(f"{what}: {error.msg}", error.details) from None

        def back() -> None:
            found = target.virtual().move(moved.index, source, self.name)
            if link.is_up:
                source.set_link(found.index, up=True)

        transaction.on_undo(f"moving {self.name}", back)
        if self.target == ops.CONTAINER:
            transaction.applied.container_link = moved
