"""Limits to what passes through a host device, as operations (contract 2.9).

What leaves a device is limited by a token bucket on it.  What it receives cannot be queued, so it is led through an ifb
and leaves that; there the bucket is.  An ifb is in its network's newborn group until it has its owner's alias, where
garbage collection finds what a killed ADD left.
"""

from __future__ import annotations

from pycni.kernel import mirred, pseudo, qdisc
from pycni.kernel.netlink import Refused
from pycni.kernel.qdisc import TokenBucket
from pycni.plan import ops
from pycni.spec.errors import CniError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link
    from pycni.plan.transaction import Transaction


class LimitDeparting(ops.Step):
    """What leaves the host device `device` passes a token bucket; CniError in the reference's words when there is one
    already."""

    device: str
    bucket: TokenBucket

    def apply(self, transaction: Transaction) -> None:
        host = transaction.place(ops.HOST)
        link = _link(host, self.device)
        _add_bucket(host, link, self.bucket)
        transaction.on_undo(f"limit of {link.name}", lambda: qdisc.remove_qdisc(host, link.index, qdisc.ROOT))


class LimitArriving(ops.Step):
    """What the host device `device` receives passes a token bucket on the new ifb `ifb`, which is in `newborn_group`
    until it is marked with `alias`; CniError in the reference's words when that name is taken."""

    device: str
    ifb: str
    bucket: TokenBucket
    alias: str
    newborn_group: int

    def apply(self, transaction: Transaction) -> None:
        host = transaction.place(ops.HOST)
        link = _link(host, self.device)
        try:
            host.rtnetlink().request(pseudo.new_ifb(self.ifb, link.mtu, self.newborn_group))
        except Refused as error:
            raise CniError(f"adding link: {error.msg}") from None
        ifb = _link(host, self.ifb)
        transaction.on_undo(f"ifb {ifb.name}", lambda: host.delete_link(ifb.index))
        host.set_link(ifb.index, alias=self.alias, group=0)
        try:
            host.rtnetlink().request(qdisc.new_ingress(link.index))
        except Refused as error:
            raise CniError(f"create ingress qdisc: {error.msg}") from None
        transaction.on_undo(f"redirect of {link.name}", lambda: qdisc.remove_qdisc(host, link.index, qdisc.INGRESS))
        try:
            _add_bucket(host, ifb, self.bucket)
        except CniError as error:
            raise CniError(f"create ifb qdisc: {error.msg}") from None
        # last, so that nothing passes through an ifb that does not limit yet
        try:
            host.rtnetlink().request(mirred.new_redirect(link.index, ifb.index))
        except Refused as error:
            raise CniError(f"add filter: {error.msg}") from None


def departing_bucket(host: NamespaceApi, device: int) -> TokenBucket | None:
    """The token bucket that what leaves a device passes; None when it passes none."""
    found = qdisc.qdiscs(host, device)
    return next((each.bucket for each in found if each.parent == qdisc.ROOT), None)


def _add_bucket(host: NamespaceApi, link: Link, bucket: TokenBucket) -> None:
    try:
        host.rtnetlink().request(qdisc.new_token_bucket(link.index, bucket))
    except Refused as error:
        raise CniError(f"create qdisc: {error.msg}") from None


def _link(host: NamespaceApi, name: str) -> Link:
    link = host.link(name)
    if link is None:
        raise CniError(f'failed to lookup "{name}": Link not found')
    return link
