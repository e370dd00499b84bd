"""vrf: an interface that another plugin made becomes a port of a vrf in the container (contract 2.17)."""

from __future__ import annotations

from pycni.kernel import pseudo
from pycni.plan import ops, vrfs
from pycni.plan.teardown import Failures
from pycni.plan.verify import require_driver
from pycni.record import Record
from pycni.skeleton import Context, Plugin
from pycni.spec import verbatim, version
from pycni.spec.errors import CniError
from pycni.spec.request import Config
from pycni.spec.result import Result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link

_VERSIONS = version.ALL[3:]
_UNCHAINED = "missing prevResult from earlier plugin"


class Vrf(Record):
    """`table` 0: whichever it has, or gets."""

    name: str
    table: int


def parse(config: Config) -> Vrf:
    """CniError names what is wrong."""
    name = config.section.string("vrfname")
    if not name:
        raise CniError("configuration is expected to have a valid vrf name")
    return Vrf(name, config.section.integer("table", unsigned=True))


def plan(vrf: Vrf, ifname: str) -> list[ops.Operation]:
    return [vrfs.EnsureVrf(vrf.name, vrf.table), vrfs.JoinVrf(ifname, vrf.name)]


def add(context: Context) -> Result | str:
    vrf = parse(context.config)
    previous = context.config.prev_result()
    if previous is None:
        raise CniError(_UNCHAINED)
    try:
        context.container()
        context.transaction.apply(plan(vrf, context.request.ifname))
    except CniError as error:
        raise CniError(f"cmdAdd failed: {error.msg}") from None
    return verbatim.render(context.config.raw_previous, context.config.version) or previous


def delete(context: Context) -> None:
    """Takes the interface out, and removes the vrf with its last port.  Whatever the vrf's name is the name of now, an
    ADD that failed has left nothing else."""
    container = context.container_or_none()
    name = context.config.section.get("vrfname")
    vrf = _device(container, name) if container is not None and isinstance(name, str) else None
    if container is None or vrf is None:
        return
    failures = Failures()
    link = container.link(context.request.ifname)
    if link is not None and link.master == vrf.index:
        failures.attempt(lambda: container.set_link(link.index, master=0))
    failures.attempt(lambda: vrfs.remove_unused(container, vrf.name))
    failures.raise_first()


def _device(container: NamespaceApi, name: str) -> Link | None:
    link = container.link(name)
    return link if link is not None and link.kind == pseudo.VRF else None


def check(context: Context) -> None:
    vrf = parse(context.config)
    if context.config.prev_result() is None:
        raise CniError(_UNCHAINED)
    container, ifname = context.container(), context.request.ifname
    device = container.link(vrf.name)
    if device is None:
        raise CniError(f"failed to find vrf {vrf.name}: Link not found")
    table = pseudo.vrf_tables(container).get(device.index)
    if table is None:
        raise CniError(f"Netlink {vrf.name} is not a VRF")
    if vrf.table not in (0, table):
        raise CniError(f"VRF {vrf.name} has routing table {table}, not {vrf.table}")
    link = container.link(ifname)
    if link is None or link.master != device.index:
        raise CniError(f"failed to find {ifname} associated to vrf {vrf.name}")


def status(context: Context) -> None:
    """NotAvailable when the kernel cannot make one."""
    parse(context.config)
    require_driver(context, pseudo.VRF)


PLUGIN = Plugin("vrf", _VERSIONS, add, check, delete, status=status)
