"""The real kernel keeps the contract about macvlan, taps and moving that the in-memory one is tested by, and pyroute2
reads in it what was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.register_assert_rewrite("virtual_contract")

import virtual_contract  # noqa: E402

from pycni.kernel.kinds import Macvlan, Tap  # noqa: E402
from pycni.kernel.namespace import Namespace  # noqa: E402
from pycni.spec.errors import CniError, KernelError  # noqa: E402

globals().update({each.__name__: each for each in virtual_contract.HERE})


@pytest.fixture
def make(netns: Callable[[], Any]) -> Callable[[], Namespace]:
    return lambda: netns().namespace()


def details(space: Any, name: str) -> Any:
    (shown,) = json.loads(space.run(["ip", "-j", "-d", "link", "show", name]).stdout)
    return shown["linkinfo"]["info_data"]


def test_iproute2_sees_the_mode_and_the_queue(netns: Callable[[], Any]) -> None:
    host, container = netns(), netns()
    host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "name", "lan"])
    namespace, inside = host.namespace(), container.namespace()
    wan = namespace.link("wan")
    assert wan is not None
    namespace.virtual().create(Macvlan("private", 77), "m0", inside, wan.index)
    found = details(container, "m0")
    assert (found["mode"], found["bcqueuelen"]) == ("private", 77)


@pytest.mark.parametrize(
    ("tap", "expected"),
    [
        (Tap(), {"type": "tap", "pi": False, "vnet_hdr": False, "multi_queue": False, "persist": True}),
        (Tap(multi_queue=True, owner=5), {"multi_queue": True, "pi": False, "persist": True}),
        (Tap(owner=5, group=6), {"pi": True, "vnet_hdr": True, "persist": True}),
        (Tap(True, 5, 6), {"pi": False, "vnet_hdr": True, "multi_queue": True}),
    ],
)
def test_iproute2_sees_the_taps_flags(netns: Callable[[], Any], tap: Tap, expected: dict[str, Any]) -> None:
    space = netns()
    space.namespace().virtual().create_tap(tap, "tap0")
    found = details(space, "tap0")
    assert {key: found[key] for key in expected} == expected
    assert ("user" in found, "group" in found) == (tap.owner is not None, tap.group is not None)


@pytest.mark.parametrize(("tap", "step"), [(Tap(owner=0xFFFFFFFF), "owner"), (Tap(group=0xFFFFFFFF), "group")])
def test_what_is_no_id(netns: Callable[[], Any], tap: Tap, step: str) -> None:
    space = netns().namespace()
    with pytest.raises(KernelError, match=f"^failed to create tap: set its {step}: invalid argument$"):
        space.virtual().create_tap(tap, "tap0")
    assert space.link("tap0") is None


def test_a_name_that_the_kernel_would_expand(netns: Callable[[], Any]) -> None:
    space = netns().namespace()
    with pytest.raises(KernelError, match=r"^failed to create tap: make it: invalid argument$"):
        space.virtual().create_tap(Tap(), "tap%d")
    assert [each.name for each in space.links()] == ["lo"]


def test_a_context_where_there_is_no_selinux(netns: Callable[[], Any]) -> None:
    """As everywhere but on a host with SELinux: the kernel takes no context, and the reference fails too."""
    space = netns().namespace()
    with pytest.raises(
        CniError, match=r"^failed set socket label: write /proc/thread-self/attr/exec: invalid argument$"
    ):
        space.virtual().create_tap(Tap(selinux_context="a:b:c:s0"), "tap0")
    assert space.link("tap0") is None
