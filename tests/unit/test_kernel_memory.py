"""The in-memory kernel keeps the contract, and what only it has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.register_assert_rewrite("address_contract", "kernel_contract", "kernel_pair", "link_contract")

from address_contract import *  # noqa: E402, F403
from kernel_contract import *  # noqa: E402, F403
from link_contract import *  # noqa: E402, F403

from pycni.kernel.memory import MemoryKernel, MemoryNamespace  # noqa: E402
from pycni.kernel.netns import NamespaceMissing  # noqa: E402


@pytest.fixture
def make() -> Callable[[], MemoryNamespace]:
    return MemoryKernel().create


def test_a_namespace_is_found_by_its_path() -> None:
    kernel = MemoryKernel()
    made = kernel.create("/run/netns/a")
    made.create_bridge("br0")
    again = kernel.open("/run/netns/a")
    assert again.identity == made.identity
    assert again.link("br0") == made.link("br0")
    with pytest.raises(NamespaceMissing, match=r'^failed to Statfs "/run/netns/b": no such file or directory$'):
        kernel.open("/run/netns/b")


def test_a_namespace_takes_its_devices_along() -> None:
    kernel = MemoryKernel()
    host, container = kernel.create(), kernel.create("/run/netns/a")
    host.create_veth("veth0", "eth0", container)
    kernel.destroy("/run/netns/a")
    assert host.link("veth0") is None
    with pytest.raises(NamespaceMissing):
        kernel.open("/run/netns/a")


def test_randomness_is_a_parameter() -> None:
    kernel = MemoryKernel(random_bytes=lambda count: bytes(range(0xF1, 0xF1 + count)))
    host = kernel.create()
    link = host.create_bridge("br0")
    assert link.mac.hex() == "f2f2f3f4f5f6"
    host.discard_name(link.index)
    assert host.link("pynf1f2f3f4") is not None


def test_port_flags_can_be_seen() -> None:
    kernel = MemoryKernel()
    host = kernel.create()
    bridge = host.create_bridge("br0")
    near, _ = host.create_veth("a", "b", kernel.create(), master=bridge.index)
    host.set_port(near.index, hairpin=True, isolated=False)
    assert host.port_flags(near.index) == (True, False)


def test_udp_flows_are_flushed_by_family_and_port() -> None:
    namespace = MemoryKernel().create()
    namespace.udp_flows.extend([(4, 53), (4, 53), (4, 54), (6, 53)])
    namespace.flush_udp_conntrack(4, (53, 99))
    assert namespace.udp_flows == [(4, 54), (6, 53)]
    namespace.flush_udp_conntrack(6, (53,))
    assert namespace.udp_flows == [(4, 54)]
