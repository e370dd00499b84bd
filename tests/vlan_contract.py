"""What every implementation of `pycni.kernel.api.NamespaceApi` promises about the VLANs of bridge ports.

The fake runs these in tests/unit/test_kernel_memory_vlans.py, the real kernel in tests/vm/test_kernel_vlans.py; each
provides the fixture `make`, a factory of fresh namespaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from errno import ENODEV, EOPNOTSUPP

import pytest

from pycni.kernel.api import TYPE_CHECKING
from pycni.kernel.model import PortVlan
from pycni.spec.errors import KernelError

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Make = Callable[[], NamespaceApi]

DEFAULT = PortVlan(1, pvid=True, untagged=True)
ACCESS = PortVlan(100, pvid=True, untagged=True)


def port(make: Make, filtering: bool = True) -> tuple[NamespaceApi, int, int]:
    """(namespace, bridge, port)."""
    host, container = make(), make()
    bridge = host.create_bridge("br0", vlan_filtering=filtering)
    near, _ = host.create_veth("veth1", "eth0", container, master=bridge.index)
    return host, bridge.index, near.index


@pytest.mark.parametrize("filtering", [True, False])
def test_a_bridge_says_whether_it_filters(make: Make, filtering: bool) -> None:
    host, bridge, near = port(make, filtering)
    assert host.filters_vlans(bridge) is filtering
    assert host.filters_vlans(near) is None
    with pytest.raises(KernelError) as caught:
        host.filters_vlans(4711)
    assert caught.value.errno == ENODEV


@pytest.mark.parametrize("filtering", [True, False])
def test_a_port_is_born_in_vlan_1(make: Make, filtering: bool) -> None:
    host, _, near = port(make, filtering)
    assert host.port_vlans(near) == [DEFAULT]
    host.set_link(near, master=0)
    assert host.port_vlans(near) == []
    assert host.port_vlans(4711) == []


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ([ACCESS], [DEFAULT.replace(pvid=False), ACCESS]),
        ([PortVlan(5), PortVlan(6), PortVlan(7), PortVlan(9)], [DEFAULT, *map(PortVlan, (5, 6, 7, 9))]),
        ([ACCESS, PortVlan(100)], [DEFAULT.replace(pvid=False), PortVlan(100)]),
        ([PortVlan(2), PortVlan(1)], [PortVlan(1), PortVlan(2)]),
        ([PortVlan(1), DEFAULT], [DEFAULT]),
        (
            [PortVlan(8, untagged=True), PortVlan(9, untagged=True)],
            [DEFAULT, PortVlan(8, False, True), PortVlan(9, False, True)],
        ),
        ([PortVlan(4094), ACCESS], [DEFAULT.replace(pvid=False), ACCESS, PortVlan(4094)]),
    ],
)
def test_vlans_are_added_in_order(make: Make, added: Sequence[PortVlan], expected: Sequence[PortVlan]) -> None:
    host, _, near = port(make)
    host.add_port_vlans(near, added)
    assert host.port_vlans(near) == expected


def test_all_vlans_at_once_come_and_go(make: Make) -> None:
    host, _, near = port(make)
    everything = [PortVlan(vid) for vid in range(2, 4095)]
    host.add_port_vlans(near, everything)
    assert host.port_vlans(near) == [DEFAULT, *everything]
    host.remove_port_vlans(near, host.port_vlans(near))
    assert host.port_vlans(near) == []


def test_what_the_kernel_refuses(make: Make) -> None:
    host, _, near = port(make)
    host.remove_port_vlans(near, [PortVlan(7)])
    assert host.port_vlans(near) == [DEFAULT]
    for call, number in (
        (lambda: host.add_port_vlans(4711, [PortVlan(7)]), ENODEV),
        (lambda: host.remove_port_vlans(4711, [PortVlan(7)]), ENODEV),
    ):
        with pytest.raises(KernelError) as caught:
            call()
        assert caught.value.errno == number
    host.set_link(near, master=0)
    with pytest.raises(KernelError) as caught:
        host.add_port_vlans(near, [PortVlan(7)])
    assert caught.value.errno == EOPNOTSUPP
