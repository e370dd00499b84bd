"""Waiting until an IPv6 address that was just added answers its neighbours."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.spec.address import Address

_SECONDS = 0.5
_LOOPBACK = 1


def await_own(namespace: NamespaceApi, index: int, address: Address) -> None:
    """Returns when the device has joined the group that is asked for this address, and the address has its own route;
    after half a second at the latest, since it is no failure that the first packet waits.

    Also an address without duplicate detection gets both from a worker of the kernel some time after the request for it
    was answered.  A neighbour that asks meanwhile is not heard, and asks again only after a second (RFC 4861 10)."""
    link = namespace.link_by_index(index)
    if link is None or link.master:  # routes of a VRF's device are in a table that is not asked here
        return
    deadline = time.monotonic() + _SECONDS
    pause = 0.0002
    while time.monotonic() < deadline:
        route = namespace.route_to(address)
        # the group comes first; packets to an address that is the namespace's own go through its loopback device
        if route is not None and route.device == _LOOPBACK:
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
