"""loopback: brings `lo` up in the container (contract 2.5)."""

from __future__ import annotations

from pycni.kernel.model import format_mac
from pycni.plan import ops
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.result import Interface, IpConfig, Result


def add(context: Context) -> Result:
    """`lo` up; the result lists its first address of each family.  A chained call passes prevResult through."""
    try:
        previous = context.config.prev_result()
    except CniError as error:
        raise CniError(f"failed to parse prevResult: {error.msg}") from None
    container = context.container()
    context.transaction.apply([ops.SetLink(ops.CONTAINER, "lo", up=True)])
    link = container.link("lo")
    if link is None:
        raise CniError('failed to find link "lo"')
    found: dict[int, IpConfig] = {}
    for each in container.addresses(link.index):
        address = each.prefix.address
        if not address.is_loopback:
            raise CniError(f'loopback interface found with non-loopback address "{address}"')
        found.setdefault(address.family, IpConfig(each.prefix, None, 0))
    if previous is not None:
        return previous
    interface = Interface("lo", format_mac(link.mac or bytes(6)), context.request.netns)
    return Result((interface,), tuple(found[family] for family in (4, 6) if family in found))


def check(context: Context) -> None:
    link = context.container().link("lo")
    if link is None or not link.is_up:
        raise CniError("loopback interface is down")


def delete(context: Context) -> None:
    """`lo` down, as the reference does; nothing where the namespace is gone."""
    container = context.container_or_none()
    link = container.link("lo") if container is not None else None
    if container is not None and link is not None:
        container.set_link(link.index, up=False)


PLUGIN = Plugin("loopback", add=add, check=check, delete=delete, gc=lambda _: None, status=lambda _: None)
