"""What a bridge port is set to, asked of the kernel."""

from __future__ import annotations

from errno import ENODEV

from pycni.kernel.links import get_link_by_index
from pycni.kernel.netlink import attributes
from pycni.spec.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

_IFLA_LINKINFO = 18
_IFLA_INFO_SLAVE_DATA = 5
_IFLA_BRPORT_MODE = 4
_IFLA_BRPORT_ISOLATED = 33


def port_flags(namespace: NamespaceApi, index: int) -> tuple[bool, bool]:
    """(hairpin, isolated) of the bridge port with this index; neither when there is none."""
    try:
        replies = namespace.rtnetlink().request(get_link_by_index(index))
    except KernelError as error:
        if error.errno == ENODEV:
            return False, False
        raise
    return parse_port_flags(replies[0][1])


def parse_port_flags(payload: bytes) -> tuple[bool, bool]:
    """(hairpin, isolated), from an RTM_NEWLINK message."""
    info = attributes(attributes(payload, 16).get(_IFLA_LINKINFO, b""))
    port = attributes(info.get(_IFLA_INFO_SLAVE_DATA, b""))
    return any(port.get(_IFLA_BRPORT_MODE, b"")), any(port.get(_IFLA_BRPORT_ISOLATED, b""))
