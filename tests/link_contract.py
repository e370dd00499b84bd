"""What every implementation of `pycni.kernel.api.NamespaceApi` promises about bridges, veth pairs and their ends.

The fake runs these in tests/unit/test_kernel_memory.py, the real kernel in tests/netns/test_kernel_contract.py; each
provides the fixture `make`, a factory of fresh namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EADDRNOTAVAIL, EEXIST, EINVAL, EOPNOTSUPP, ERANGE

import pytest
from kernel_pair import DEFAULT4, GATEWAY, MAC, SUBNET, main_routes, pair, refusal
from soon import eventually

from pycni.kernel.api import TYPE_CHECKING
from pycni.kernel.model import IFF_ALLMULTI, IFF_PROMISC, OPER_UP, Link, Route
from pycni.kernel.namespace import TRASH_GROUP

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Make = Callable[[], NamespaceApi]


@pytest.mark.parametrize("name", ["nosuch0", "", "a-name-longer-than-fifteen-bytes", "ü" * 9])
def test_an_unknown_device_is_none(make: Make, name: str) -> None:
    assert make().link(name) is None


@pytest.mark.parametrize("index", [0, -1, 4711])
def test_an_unknown_index_is_none(make: Make, index: int) -> None:
    assert make().link_by_index(index) is None


def test_a_new_bridge_is_down_and_exclusive(make: Make) -> None:
    host = make()
    link = host.create_bridge("br0")
    assert (link.name, link.kind, link.is_up, link.mtu, link.master) == ("br0", "bridge", False, 1500, 0)
    assert len(link.mac) == 6
    error = refusal(host.create_bridge, "br0")
    assert error.errno == EEXIST
    assert error.msg == 'failed to create bridge "br0": file exists'
    assert host.create_bridge("br1", mtu=1400).mtu == 1400


@pytest.mark.parametrize(
    ("name", "number"),
    [("a/b", EINVAL), ("..", EINVAL), ("a b", EINVAL), ("a%d", EINVAL), ("a%", EINVAL), ("x" * 16, ERANGE)],
)
def test_names_the_kernel_refuses(make: Make, name: str, number: int) -> None:
    host = make()
    assert refusal(host.create_bridge, name).errno == number
    assert [link.name for link in host.links()] == ["lo"]


def test_a_veth_pair_joins_two_namespaces(make: Make) -> None:
    host, container, near, far = pair(make)
    bridge = host.link("br0")
    assert bridge is not None
    assert (near.name, near.kind, near.is_up, near.master) == ("veth0", "veth", True, bridge.index)
    assert (far.name, far.kind, far.is_up, far.mac, far.mtu) == ("eth0", "veth", False, MAC, 1500)
    assert (near.link, far.link) == (far.index, near.index)
    assert near.link_netns is not None
    seen = host.link_by_index(near.index)
    assert seen is not None
    assert (seen.name, seen.mac, seen.master, seen.is_up) == (near.name, near.mac, bridge.index, True)
    assert container.link("eth0") == far


def test_a_pair_within_one_namespace(make: Make) -> None:
    host = make()
    near, far = host.create_veth("a", "b", host, mtu=1280)
    assert (near.link, far.link, near.mtu, far.mtu) == (far.index, near.index, 1280, 1280)
    assert near.link_netns is None
    assert host.retire(host, far)


@pytest.mark.parametrize("names", [("veth0", "eth1"), ("veth1", "eth0")])
def test_a_taken_name_makes_no_pair(make: Make, names: tuple[str, str]) -> None:
    host, container, _, _ = pair(make)
    error = refusal(host.create_veth, *names, container)
    assert (error.errno, error.msg) == (EEXIST, "file exists")
    assert [link.name for link in container.links()] == ["lo", "eth0"]
    assert [link.name for link in host.links()] == ["lo", "br0", "veth0"]


def test_a_veth_mtu_the_kernel_refuses(make: Make) -> None:
    host = make()
    assert refusal(host.create_veth, "a", "b", host, mtu=67).errno == EINVAL
    assert host.link("a") is host.link("b") is None


@pytest.mark.parametrize("names", [("veth%d", "eth0"), ("veth0", "eth%d")])
def test_no_number_is_drawn_for_a_name(make: Make, names: tuple[str, str]) -> None:
    host, container = make(), make()
    assert refusal(host.create_veth, *names, container).errno == EINVAL
    assert [link.name for link in (*host.links(), *container.links())] == ["lo", "lo"]


def test_both_ends_up_means_carrier(make: Make) -> None:
    host, container, near, far = pair(make)
    container.set_link(far.index, up=True)

    def works() -> bool:
        links = (host.link_by_index(near.index), container.link_by_index(far.index), host.link("br0"))
        return all(link is not None and link.operstate == OPER_UP for link in links)

    assert eventually(works)
    container.set_link(far.index, up=False)
    assert eventually(lambda: (link := host.link("veth0")) is not None and link.operstate != OPER_UP)


def test_set_link_changes_what_is_given(make: Make) -> None:
    _, container, _, far = pair(make)
    container.set_link(far.index, mtu=1300, txqlen=17, promiscuous=True, allmulti=True, alias="web", group=7)
    link = container.link("eth0")
    assert link is not None
    assert (link.mtu, link.txqlen, link.alias, link.group, link.is_up) == (1300, 17, "web", 7, False)
    assert link.flags & IFF_PROMISC and link.flags & IFF_ALLMULTI and link.promiscuity == 1
    container.set_link(far.index, promiscuous=False, allmulti=False, name="net1", mac=bytes.fromhex("0a5800000002"))
    link = container.link("net1")
    assert link is not None and container.link("eth0") is None
    assert not link.flags & (IFF_PROMISC | IFF_ALLMULTI)
    assert (link.mac.hex(), link.mtu, link.txqlen, link.promiscuity) == ("0a5800000002", 1300, 17, 0)


@pytest.mark.parametrize(
    ("change", "number"),
    [
        ({"mtu": 1}, EINVAL),
        ({"mtu": 70000}, EINVAL),
        ({"mac": bytes.fromhex("010203040506")}, EADDRNOTAVAIL),
        ({"mac": bytes(6)}, EADDRNOTAVAIL),
        ({"mac": bytes(5)}, EINVAL),
        ({"name": "lo"}, EEXIST),
        ({"name": "a/b"}, EINVAL),
        ({"name": "a%d"}, EINVAL),
        ({"master": 4711}, EINVAL),
        ({"master": 1}, EOPNOTSUPP),
    ],
)
def test_changes_the_kernel_refuses(make: Make, change: dict[str, object], number: int) -> None:
    _, container, _, far = pair(make)
    error = refusal(container.set_link, far.index, **change)
    assert error.errno == number
    assert error.msg.startswith("failed to change device eth0: ")
    assert container.link_by_index(far.index) == far


def test_port_flags_need_a_port(make: Make) -> None:
    host, container, near, far = pair(make)
    host.set_port(near.index, hairpin=True, isolated=True)
    assert refusal(container.set_port, far.index, hairpin=True, isolated=False).errno == EOPNOTSUPP


def test_a_bridge_follows_its_ports_until_it_is_pinned(make: Make) -> None:
    host, container = make(), make()
    bridge = host.create_bridge("br0")
    low, _ = host.create_veth("a", "a", container, master=bridge.index, mtu=1400)
    followed = host.link("br0")
    assert followed is not None
    assert (followed.mac, followed.mtu) == (low.mac, 1400)
    host.set_link(bridge.index, mac=MAC)
    host.delete_link(low.index)
    pinned = host.link("br0")
    assert pinned is not None
    assert (pinned.mac, pinned.mtu) == (MAC, 1500)


def test_a_bridge_forgets_a_port_that_left(make: Make) -> None:
    host, container = make(), make()
    bridge = host.create_bridge("br0")
    near, _ = host.create_veth("a", "a", container, master=bridge.index, mtu=1400)
    host.set_link(near.index, master=0)
    left, port = host.link("br0"), host.link("a")
    assert left is not None and (left.mac, left.mtu) == (bytes(6), 1500)
    assert port is not None and (port.master, port.mtu) == (0, 1400)


def test_deleting_one_end_deletes_the_other(make: Make) -> None:
    host, container, near, far = pair(make)
    container.configure(far.index, (SUBNET,), (Route(DEFAULT4, GATEWAY),))
    container.delete_link(far.index)
    assert container.link("eth0") is None
    assert host.link("veth0") is None
    assert container.routes(4, None) == []
    container.delete_link(far.index)
    host.delete_link(near.index)
    assert refusal(host.delete_link, 1).errno == EOPNOTSUPP


def test_deleting_a_bridge_frees_its_ports(make: Make) -> None:
    host, _, near, _ = pair(make)
    host.delete_link(near.master)
    left = host.link("veth0")
    assert left is not None and left.master == 0


def test_a_retired_pair_is_out_of_use_at_once(make: Make) -> None:
    host, container, near, far = pair(make)
    container.configure(far.index, (SUBNET,), (Route(DEFAULT4, GATEWAY),))
    assert host.retire(container, far)
    assert container.link("eth0") is None
    assert main_routes(container, 4) == set()
    old = container.link_by_index(far.index)
    trash = host.link("veth0")
    assert old is not None and not old.is_up and old.name.startswith("pyn")
    assert trash is not None
    assert (trash.is_up, trash.group) == (False, TRASH_GROUP)
    _, again = host.create_veth("veth1", "eth0", container, master=near.master)
    container.configure(again.index, (SUBNET,), (Route(DEFAULT4, GATEWAY),))
    host.delete_group(TRASH_GROUP)
    assert [link.name for link in host.links()] == ["lo", "br0", "veth1"]
    assert [link.name for link in container.links()] == ["lo", "eth0"]
    assert ("0.0.0.0/0", "10.1.2.1") in main_routes(container, 4)
    host.delete_group(TRASH_GROUP)


def test_retire_leaves_a_strangers_pair_alone(make: Make) -> None:
    host, _, near, far = pair(make)
    stranger, other_host = make(), make()
    other_host.create_bridge("br0")
    _, foreign = other_host.create_veth("veth0", "eth0", stranger)
    assert (foreign.index, foreign.link) == (far.index, near.index)
    assert not host.retire(stranger, foreign)
    assert host.link_by_index(near.index) is not None
    kept = stranger.link("eth0")
    assert kept is not None and kept.index == foreign.index
    assert not host.retire(host, Link(1, "lo"))


def test_discarding_the_name_of_a_device_that_is_gone(make: Make) -> None:
    make().discard_name(4711)
