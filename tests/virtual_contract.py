"""What every implementation of `pycni.kernel.api.VirtualLinksApi` promises.

The fake runs all of these in tests/unit/test_kernel_memory_virtual.py, the real kernel those about macvlan, taps and
moving in tests/netns/test_kernel_virtual.py and the rest in tests/vm/test_kernel_virtual.py; each provides the fixture
`make`, a factory of fresh namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EBUSY, EEXIST, EINVAL, ENODEV

import pytest

from pycni.kernel.api import TYPE_CHECKING
from pycni.kernel.kinds import IPVLAN_MODES, MACVLAN_MODES, Dummy, Ipvlan, Kind, Macvlan, Tap, Vlan
from pycni.kernel.model import Route
from pycni.spec.address import Prefix
from pycni.spec.errors import KernelError

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link

    Make = Callable[[], NamespaceApi]

MAC = bytes.fromhex("0a5800000001")


def errno_of(call: Callable[[], object]) -> int:
    with pytest.raises(KernelError) as caught:
        call()
    return caught.value.errno


def wire(make: Make) -> tuple[NamespaceApi, Link, NamespaceApi]:
    """A host, its device `wan` whose other end is elsewhere, and a container."""
    host, elsewhere, container = make(), make(), make()
    near, far = host.create_veth("wan", "lan", elsewhere)
    elsewhere.set_link(far.index, up=True)
    return host, near, container


# --- macvlan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MACVLAN_MODES)
def test_macvlan_modes(make: Make, mode: str) -> None:
    host, wan, container = wire(make)
    link = host.virtual().create(Macvlan(mode, 700), "m0", container, wan.index)
    assert (link.name, link.kind, link.mtu, link.is_up) == ("m0", "macvlan", wan.mtu, False)
    assert link.link == wan.index and link.link_netns is not None
    assert (link.mac == wan.mac) == (mode == "passthru")
    assert container.virtual().kind(link.index) == Macvlan(mode, 700)
    assert host.link("m0") is None and container.link("m0") == link


def test_macvlan_attributes(make: Make) -> None:
    host, wan, container = wire(make)
    link = host.virtual().create(Macvlan(), "m0", container, wan.index, mtu=1400, mac=MAC)
    assert (link.mtu, link.mac) == (1400, MAC)
    assert container.virtual().kind(link.index) == Macvlan("bridge", 1000)
    other = host.virtual().create(Macvlan("vepa"), "m1", host, wan.index)
    assert other.mac not in (link.mac, wan.mac)
    assert (other.link, other.link_netns) == (wan.index, None)


def test_macvlan_refusals(make: Make) -> None:
    host, wan, container = wire(make)
    host.virtual().create(Macvlan(), "m0", container, wan.index)
    for kind, name, target, parent, number in (
        (Macvlan(), "m0", container, wan.index, EEXIST),
        (Macvlan(), "m1", container, 4711, ENODEV),
        (Macvlan(), "m1", container, 1, EINVAL),
        (Macvlan("passthru"), "m1", container, wan.index, EINVAL),
        (Macvlan(), "m%d", container, wan.index, EINVAL),
    ):
        call = lambda kind=kind, name=name, target=target, parent=parent: host.virtual().create(  # noqa: E731
            kind, name, target, parent
        )
        assert errno_of(call) == number, (kind, name)
    assert errno_of(lambda: host.virtual().create(Macvlan(), "m1", container, wan.index, mtu=1501)) == EINVAL
    assert [each.name for each in container.links()] == ["lo", "m0"]


def test_a_device_goes_with_its_parent(make: Make) -> None:
    host, wan, container = wire(make)
    link = host.virtual().create(Macvlan(), "m0", container, wan.index)
    host.delete_link(wan.index)
    assert container.link("m0") is None
    assert container.virtual().kind(link.index) is None


def test_a_device_without_a_parents_kind_has_none(make: Make) -> None:
    host, wan, _ = wire(make)
    assert host.virtual().kind(wan.index) is None


def test_rename(make: Make) -> None:
    host, wan, container = wire(make)
    link = host.virtual().create(Macvlan(), "veth01234567", container, wan.index)
    container.set_link(link.index, name="eth0")
    assert container.link("eth0") == link.replace(name="eth0")
    second = host.virtual().create(Macvlan(), "veth01234567", container, wan.index)
    assert errno_of(lambda: container.set_link(second.index, name="eth0")) == EEXIST


# --- taps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tap", [Tap(), Tap(multi_queue=True), Tap(owner=5), Tap(owner=5, group=6), Tap(True, 5, 6), Tap(group=0)]
)
def test_taps(make: Make, tap: Tap) -> None:
    space = make()
    link = space.virtual().create_tap(tap, "tap0")
    assert (link.name, link.kind, link.mtu, link.is_up) == ("tap0", "tun", 1500, False)
    assert space.link("tap0") == link
    assert space.virtual().kind(link.index) is None
    space.delete_link(link.index)
    assert space.link("tap0") is None


def test_a_taps_name_is_taken(make: Make) -> None:
    space = make()
    space.create_bridge("br0")
    space.virtual().create_tap(Tap(), "tap0")
    assert errno_of(lambda: space.virtual().create_tap(Tap(), "tap0")) == EBUSY
    assert errno_of(lambda: space.virtual().create_tap(Tap(), "br0")) == EBUSY


# --- moving ----------------------------------------------------------------------------------------------------------


def test_a_device_moves_and_is_renamed_in_one_step(make: Make) -> None:
    host, wan, container = wire(make)
    bridge = host.create_bridge("br0")
    host.set_link(wan.index, alias="whose", master=bridge.index)
    prefix = Prefix.parse("10.0.0.1/24")
    host.configure(wan.index, [prefix], [Route(Prefix.parse("10.9.0.0/16"))])
    link = host.virtual().move(wan.index, container, "eth0")
    assert (link.name, link.mac, link.alias, link.master, link.is_up) == ("eth0", wan.mac, "whose", 0, False)
    assert host.link("wan") is None and host.link_by_index(wan.index) is None
    assert not [each for each in container.addresses(link.index) if each.prefix.family == 4]
    assert not host.routes(4)
    back = container.virtual().move(link.index, host, "wan")
    assert (back.name, back.mac, back.kind, back.mtu) == ("wan", wan.mac, "veth", wan.mtu)


def test_a_name_taken_on_either_side_of_a_move(make: Make) -> None:
    host, wan, container = wire(make)
    container.create_bridge("wan")
    link = host.virtual().move(wan.index, container, "eth0")
    assert {each.name for each in container.links()} == {"lo", "wan", "eth0"}
    host.create_bridge("wan")
    assert errno_of(lambda: container.virtual().move(link.index, host, "wan")) == EEXIST
    assert container.link("eth0") is not None


def test_what_may_not_move(make: Make) -> None:
    host, container = make(), make()
    bridge = host.create_bridge("br0")
    for index, number in ((1, EINVAL), (bridge.index, EINVAL), (4711, ENODEV)):
        assert errno_of(lambda index=index: host.virtual().move(index, container, "x")) == number
    assert host.link("br0") is not None


# --- those that need drivers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", IPVLAN_MODES)
def test_ipvlan_modes(make: Make, mode: str) -> None:
    host, wan, container = wire(make)
    link = host.virtual().create(Ipvlan(mode), "i0", container, wan.index, mtu=1300)
    assert (link.kind, link.mac, link.mtu, link.is_up) == ("ipvlan", wan.mac, 1300, False)
    assert container.virtual().kind(link.index) == Ipvlan(mode)
    assert link.link == wan.index
    assert errno_of(lambda: host.virtual().create(Macvlan(), "m0", container, wan.index)) == EBUSY
    assert errno_of(lambda: host.virtual().create(Ipvlan(mode), "i1", container, 1)) == EINVAL


def test_vlans_of_a_device(make: Make) -> None:
    host, wan, container = wire(make)
    vlans: tuple[Kind, ...] = (Vlan(0), Vlan(5), Vlan(4094))
    for number, kind in enumerate(vlans):
        link = host.virtual().create(kind, f"v{number}", container, wan.index)
        assert (link.kind, link.mac, link.mtu, link.link) == ("vlan", wan.mac, wan.mtu, wan.index)
        assert container.virtual().kind(link.index) == kind
    assert errno_of(lambda: host.virtual().create(Vlan(5), "v9", container, wan.index)) == EEXIST
    host.virtual().create(Macvlan(), "m0", container, wan.index)


def test_dummies(make: Make) -> None:
    space = make()
    link = space.virtual().create(Dummy(), "d0", space)
    assert (link.name, link.kind, link.mtu, link.link, link.is_up) == ("d0", "dummy", 1500, 0, False)
    assert space.virtual().kind(link.index) == Dummy()
    space.set_link(link.index, up=True)
    assert (found := space.link("d0")) is not None and found.is_up and found.operstate == 0
    assert errno_of(lambda: space.virtual().create(Dummy(), "d0", space)) == EEXIST


HERE = (
    test_macvlan_modes,
    test_macvlan_attributes,
    test_macvlan_refusals,
    test_a_device_goes_with_its_parent,
    test_a_device_without_a_parents_kind_has_none,
    test_rename,
    test_taps,
    test_a_taps_name_is_taken,
    test_a_device_moves_and_is_renamed_in_one_step,
    test_a_name_taken_on_either_side_of_a_move,
    test_what_may_not_move,
)
"""Those that any kernel of a test machine can do."""
