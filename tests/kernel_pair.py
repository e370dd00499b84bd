"""A veth pair between two namespaces, and what the contracts of the kernel look at on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pycni.kernel.api import TYPE_CHECKING
from pycni.kernel.model import Link
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import KernelError

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Make = Callable[[], NamespaceApi]

MAC = bytes.fromhex("0a5800000001")
DEFAULT4 = Prefix.parse("0.0.0.0/0")
DEFAULT6 = Prefix.parse("::/0")
SUBNET = Prefix.parse("10.1.2.3/24")
SUBNET6 = Prefix.parse("fd00:1::3/64")
GATEWAY = Address.parse("10.1.2.1")
GATEWAY6 = Address.parse("fd00:1::1")


def refusal(call: Callable[..., object], *values: object, **named: object) -> KernelError:
    with pytest.raises(KernelError) as caught:
        call(*values, **named)
    return caught.value


def pair(make: Make) -> tuple[NamespaceApi, NamespaceApi, Link, Link]:
    """Host, container, and a veth pair between them whose host end is a port of a bridge."""
    host, container = make(), make()
    bridge = host.create_bridge("br0")
    host.set_link(bridge.index, up=True)
    ends = host.create_veth("veth0", "eth0", container, mac=MAC, master=bridge.index)
    return host, container, *ends


def main_routes(namespace: NamespaceApi, family: int) -> set[tuple[str, str | None]]:
    """(destination, gateway) in the main table, without autoconfigured IPv6 routes."""
    return {
        (str(route.destination), None if route.gateway is None else str(route.gateway))
        for route in namespace.routes(family)
        if not route.destination.address.is_link_local
    }


def prefixes(namespace: NamespaceApi, index: int) -> list[str]:
    return [str(each.prefix) for each in namespace.addresses(index) if not each.prefix.address.is_link_local]
