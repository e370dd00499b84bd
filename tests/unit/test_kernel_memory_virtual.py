"""The in-memory kernel keeps the contract about devices on top of others, and messages are what it reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("virtual_contract")

from virtual_contract import *  # noqa: E402, F403

from pycni.kernel.kinds import IPVLAN_MODES, MACVLAN_MODES, Dummy, Ipvlan, Kind, Macvlan, Tap, Vlan  # noqa: E402
from pycni.kernel.memory import MemoryKernel, MemoryNamespace  # noqa: E402
from pycni.kernel.taps import flags  # noqa: E402
from pycni.kernel.virtual_links import new_device, parse_kind  # noqa: E402


@pytest.fixture
def make() -> Callable[[], MemoryNamespace]:
    return MemoryKernel().create


KINDS: list[Kind] = [Dummy(), *(Macvlan(mode, 7) for mode in MACVLAN_MODES), *map(Ipvlan, IPVLAN_MODES)]


@pytest.mark.parametrize("kind", [*KINDS, Vlan(0), Vlan(4094), Macvlan()])
def test_a_message_says_its_kind(kind: Kind) -> None:
    _, _, body = new_device(kind, "x", 3, 4, 1400, bytes(6))
    assert parse_kind(body) == kind


@pytest.mark.parametrize(
    ("tap", "expected"),
    [
        (Tap(), 0x1002),
        (Tap(multi_queue=True), 0x1102),
        (Tap(owner=1), 0x1002),
        (Tap(owner=1, group=2), 0x4002),
        (Tap(True, 1, 2), 0x5102),
        (Tap(True, 1, 2, "a:b:c"), 0x1102),
    ],
)
def test_the_flags_of_a_tap_are_the_references(tap: Tap, expected: int) -> None:
    """Contract 2.18: IFF_TAP, IFF_NO_PI, IFF_MULTI_QUEUE, IFF_VNET_HDR."""
    assert flags(tap) == expected
