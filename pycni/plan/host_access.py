"""A device by which a host reaches the containers on top of one of its own: the kernel lets no packet pass between a
macvlan device and its parent, but between two of one parent."""

from __future__ import annotations

from errno import EEXIST

from pycni.kernel.kinds import Macvlan
from pycni.kernel.model import Link, Route
from pycni.plan import ops
from pycni.spec.errors import CniError, KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.plan.transaction import Transaction
    from pycni.spec.address import Prefix


class EnsureHostAccess(ops.Step):
    """A macvlan device `name` on top of `parent` in the host namespace, up, with these addresses, and through it these
    destinations.  It is the network's, not an attachment's, and others may use it at once: it stays when an ADD is
    undone, and goes only when it cannot be completed by whoever made it."""

    name: str
    parent: str
    addresses: tuple[Prefix, ...]
    routes: tuple[Prefix, ...]

    def apply(self, transaction: Transaction) -> None:
        host = transaction.place(ops.HOST)
        made = None if host.link(self.name) is not None else self._create(host)
        try:
            self._complete(host)
        except CniError:
            if made is not None:
                host.delete_link(made.index)
            raise

    def _complete(self, host: NamespaceApi) -> None:
        obstacle, link = self.obstacle(host), host.link(self.name)
        if obstacle or link is None:
            raise CniError(obstacle or f"host access {self.name} vanished while it was made")
        self._ensure_addresses(host, link)
        for destination in self.routes:
            self._ensure_route(host, link, destination)

    def problem(self, host: NamespaceApi) -> str:
        """What is not as `apply` would make it; "" when all is."""
        link = host.link(self.name)
        if link is None:
            return f"host access {self.name} not found"
        obstacle = self.obstacle(host)
        if obstacle or not link.is_up:
            return obstacle or f"host access {self.name} is down"
        found = [f"address {each}" for each in self._missing(host, link)]
        found += [f"route {each}" for each in self.routes if not _leads(host, link, each)]
        return f"host access {self.name} lacks {found[0]}" if found else ""

    def obstacle(self, host: NamespaceApi) -> str:
        """Why a device of that name is not the one that is meant; "" for that one, and when there is none."""
        link = host.link(self.name)
        if link is None:
            return ""
        if link.kind != "macvlan":
            return f'host access: "{self.name}" exists and is no macvlan device'
        parent = host.link(self.parent)
        if parent is not None and link.link != parent.index:
            return f'host access: "{self.name}" exists and is not on "{self.parent}"'
        return ""

    def _missing(self, host: NamespaceApi, link: Link) -> tuple[Prefix, ...]:
        present = {each.prefix for each in host.addresses(link.index)}
        return tuple(each for each in self.addresses if each not in present)

    def _create(self, host: NamespaceApi) -> Link | None:
        """None: another container's ADD was quicker."""
        parent = host.link(self.parent)
        if parent is None:
            raise CniError(f'failed to lookup master "{self.parent}": Link not found')
        try:
            return host.virtual().create(Macvlan("bridge"), self.name, host, parent.index)
        except KernelError as error:
            if error.errno != EEXIST or host.link(self.name) is None:
                raise CniError(f"failed to create host access {self.name}: {error.msg}") from None
            return None

    def _ensure_addresses(self, host: NamespaceApi, link: Link) -> None:
        missing = self._missing(host, link)
        while missing or not link.is_up:
            try:
                host.configure(link.index, missing, ())
                return
            except KernelError as error:
                left = self._missing(host, link) if error.errno == EEXIST else missing
                if left == missing:
                    raise
                missing = left  # another container's ADD was quicker

    def _ensure_route(self, host: NamespaceApi, link: Link, destination: Prefix) -> None:
        if _leads(host, link, destination):
            return
        try:
            host.configure(link.index, (), (Route(destination),), up=False)
        except KernelError as error:
            if error.errno != EEXIST:
                raise
            if not _leads(host, link, destination):
                raise CniError(f"host access {self.name}: {error.msg}") from None


def _leads(host: NamespaceApi, link: Link, destination: Prefix) -> bool:
    found = host.routes(destination.family)
    return any(each.destination == destination and each.device == link.index for each in found)
