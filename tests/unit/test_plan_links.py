"""Operations that make, move and rename links, and how they are undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from pycni.firewall.firewall import Firewall
from pycni.kernel.kinds import Dummy, Ipvlan, Kind, Macvlan, Tap, Vlan
from pycni.kernel.memory import MemoryKernel
from pycni.kernel.model import Link
from pycni.plan import ops
from pycni.plan.links import CreateLink, CreateTap, MoveLink
from pycni.plan.transaction import Transaction
from pycni.spec.errors import CniError

MAC = bytes.fromhex("0a0000000001")
TEMPORARY = "veth01234567"


class Place:
    """A host with a wire `wan`, a container, and transactions on them."""

    def __init__(self) -> None:
        kernel = MemoryKernel()
        self.host, self.container = kernel.create(), kernel.create()
        self.wan, _ = self.host.create_veth("wan", "lan", kernel.create())

    def transaction(self) -> Transaction:
        firewall = cast(Firewall, None)
        return Transaction(self.host, lambda: self.container, firewall, pytest.fail, lambda count: b"\xab" * count)

    def apply(self, *plan: ops.Operation) -> Link:
        with self.transaction() as transaction:
            link = transaction.apply(plan).container_link
        assert link is not None
        return link

    def refusal(self, *plan: ops.Operation) -> str:
        with pytest.raises(CniError) as caught, self.transaction() as transaction:
            transaction.apply(plan)
        return caught.value.msg

    def undone(self, *plan: ops.Operation) -> None:
        """Applies the plan, then fails."""
        with pytest.raises(CniError, match=r"^later$"), self.transaction() as transaction:
            transaction.apply(plan)
            raise CniError("later")

    def names(self) -> tuple[list[str], list[str]]:
        return [each.name for each in self.host.links()], [each.name for each in self.container.links()]


@pytest.fixture
def place() -> Place:
    return Place()


def made(kind: Kind, **values: object) -> CreateLink:
    return CreateLink(kind, "eth0", **{"temporary": TEMPORARY, "parent": "wan", **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Macvlan("vepa", 5), Ipvlan("l3"), Vlan(9)])
def test_a_device_gets_its_final_name(place: Place, kind: Kind) -> None:
    link = place.apply(made(kind, mtu=1400))
    assert (link.name, link.mtu, link.link) == ("eth0", 1400, place.wan.index)
    assert place.container.link("eth0") == link
    assert place.container.virtual().kind(link.index) == kind


def test_a_device_without_a_temporary_name(place: Place) -> None:
    assert place.apply(CreateLink(Dummy(), "wan", place=ops.CONTAINER)).kind == "dummy"
    assert place.names() == (["lo", "wan"], ["lo", "wan"])
    assert place.refusal(CreateLink(Dummy(), "wan", place=ops.CONTAINER)) == "failed to create dummy: file exists"


def test_a_parent_in_the_container(place: Place) -> None:
    inner, _ = place.container.create_veth("inner", "outer", place.container)
    assert place.apply(made(Macvlan(), place=ops.CONTAINER, parent="inner")).link == inner.index
    assert place.refusal(made(Macvlan(), place=ops.CONTAINER)) == 'failed to lookup master "wan": Link not found'


def test_what_is_undone(place: Place) -> None:
    before = place.names()
    for plan in (
        [made(Macvlan())],
        [CreateTap(Tap(), "eth0", 1400, MAC)],
        [made(Vlan(3)), MoveLink(ops.HOST, "wan", ops.CONTAINER, "moved")],
    ):
        place.undone(*plan)
        assert place.names() == before


@pytest.mark.parametrize("kind", [Macvlan(), Ipvlan(), Vlan(3)])
def test_a_name_that_is_taken(place: Place, kind: Kind) -> None:
    place.container.create_bridge("eth0")
    word = type(kind).__name__.lower()
    assert place.refusal(made(kind)) == f'failed to rename {word} to "eth0": file exists'
    assert place.names()[1] == ["lo", "eth0"]


def test_what_a_killed_add_left_is_replaced(place: Place) -> None:
    old = place.host.virtual().create(Macvlan("private"), TEMPORARY, place.container, place.wan.index)
    link = place.apply(made(Macvlan()))
    assert place.container.link_by_index(old.index) is None
    assert place.names()[1] == ["lo", "eth0"]
    assert place.container.virtual().kind(link.index) == Macvlan("bridge", 1000)


def test_what_somebody_else_made_is_left_alone(place: Place) -> None:
    place.container.create_bridge(TEMPORARY)
    place.apply(made(Macvlan()))
    assert place.names()[1] == ["lo", TEMPORARY, "eth0"]


def test_all_temporary_names_are_taken(place: Place) -> None:
    for name in (TEMPORARY, "vethabababab"):
        place.container.create_bridge(name)
    assert place.refusal(made(Macvlan())) == "failed to create macvlan: file exists"


def test_a_vlan_that_exists_is_no_name_that_is_taken(place: Place) -> None:
    place.host.virtual().create(Vlan(3), "other", place.host, place.wan.index)
    assert place.refusal(made(Vlan(3))) == "failed to create vlan: file exists"
    assert place.names()[1] == ["lo"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: made(Macvlan(), parent="nowhere"), 'failed to lookup master "nowhere": Link not found'),
        (lambda: made(Macvlan(), parent="lo"), "failed to create macvlan: invalid argument"),
        (lambda: made(Macvlan(), mtu=1501), "failed to create macvlan: invalid argument"),
        (lambda: CreateTap(Tap(), "eth0", bridge="br0"), "failed to get bridge br0: Link not found"),
        (
            lambda: CreateTap(Tap(), "eth0", bridge="lo"),
            "failed to set tap eth0 as a port of bridge lo: operation not supported",
        ),
        (
            lambda: CreateTap(Tap(), "eth0", mac=bytes(6)),
            "failed to change device eth0: cannot assign requested address",
        ),
        (lambda: MoveLink(ops.HOST, "nowhere", ops.CONTAINER, "x"), 'failed to find "nowhere": Link not found'),
        (
            lambda: MoveLink(ops.HOST, "wan", ops.CONTAINER, "lo"),
            'failed to move "lo" (host: "wan") to container NS: file exists',
        ),
        (
            lambda: MoveLink(ops.HOST, "lo", ops.CONTAINER, "x"),
            'failed to move "x" (host: "lo") to container NS: invalid argument',
        ),
    ],
)
def test_refusals_change_nothing(place: Place, call: Callable[[], ops.Operation], message: str) -> None:
    before = place.host.links(), place.names()
    assert place.refusal(call()) == message
    assert (place.host.links(), place.names()) == before


def test_taps(place: Place) -> None:
    bridge = place.container.create_bridge("br0")
    tap = Tap(True, 5, None)
    link = place.apply(CreateTap(tap, "eth0", 1400, MAC, "br0"))
    assert (link.kind, link.mac) == ("tun", MAC)
    now = place.container.link("eth0")
    assert now is not None
    assert (now.mtu, now.mac, now.master, now.is_up) == (1400, MAC, bridge.index, True)
    assert place.container.state.devices[link.index].tap == tap
    assert place.refusal(CreateTap(tap, "eth0")) == 'failed to rename tap to "eth0": file exists'
    assert place.container.link("eth0") == now


@pytest.mark.parametrize("up", [True, False])
def test_a_device_that_was_moved_comes_back_as_it_was(place: Place, up: bool) -> None:
    place.host.set_link(place.wan.index, up=up)
    move = MoveLink(ops.HOST, "wan", ops.CONTAINER, "eth0")
    place.undone(move, ops.SetLink(ops.CONTAINER, "eth0", up=True))
    found = place.host.link("wan")
    assert found is not None and found.is_up == up
    link = place.apply(move)
    assert (link.name, link.is_up) == ("eth0", False)
    assert place.names() == (["lo"], ["lo", "eth0"])
    assert place.apply(MoveLink(ops.CONTAINER, "eth0", ops.HOST, "wan"), made(Macvlan())).name == "eth0"


def test_undoing_reports_what_it_cannot_do(place: Place) -> None:
    warnings: list[str] = []
    firewall = cast(Firewall, None)
    transaction = Transaction(place.host, lambda: place.container, firewall, warnings.append)
    with pytest.raises(CniError, match=r"^later$"), transaction:
        transaction.apply([MoveLink(ops.HOST, "wan", ops.CONTAINER, "eth0")])
        place.host.create_bridge("wan")
        raise CniError("later")
    assert warnings == ["undoing moving wan: file exists"]
    assert place.names() == (["lo", "wan"], ["lo", "eth0"])
