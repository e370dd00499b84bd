"""dummy: a device in the container that carries addresses and throws packets away (contract 2.15)."""

from __future__ import annotations

from pycni import attachment
from pycni.kernel.kinds import Dummy
from pycni.plan import ops
from pycni.plan.links import CreateLink
from pycni.plan.verify import require_driver, verify_addresses
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.result import Result

_WORDS = attachment.Words(previous="dummy: Required prevResult missing")


def _require_ipam(context: Context) -> None:
    if not context.config.ipam_type:
        raise CniError("dummy interface requires an IPAM configuration")


def add(context: Context) -> Result:
    _require_ipam(context)
    context.open_container()
    create = CreateLink(Dummy(), context.request.ifname, place=ops.CONTAINER)
    return attachment.attach(context, create, None, Context.allocate)


def check(context: Context) -> None:
    _require_ipam(context)
    container = context.open_container()
    attachment.ask_ipam(context, "CHECK")
    previous, interface = attachment.reported(context, _WORDS)
    link = attachment.check_device(container, interface, "dummy", _WORDS)
    attachment.check_mac(interface, link, _WORDS)
    if not link.is_up:
        raise CniError(f"Interface {link.name} is down")
    verify_addresses(container, link, previous)


def status(context: Context) -> None:
    """NotAvailable when the kernel cannot make one; the IPAM plugin's own answer first."""
    context.delegate(context.config.ipam_type, "STATUS")
    require_driver(context, "dummy")


PLUGIN = Plugin("dummy", add=add, check=check, delete=attachment.detach, gc=attachment.collect, status=status)
