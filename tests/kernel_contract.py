"""What every implementation of `pycni.kernel.api.NamespaceApi` promises of a namespace and its sysctls.

The fake runs these in tests/unit/test_kernel_memory.py, the real kernel in tests/netns/test_kernel_contract.py; each
provides the fixture `make`, a factory of fresh namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EINVAL

import pytest
from kernel_pair import pair

from pycni.kernel.api import TYPE_CHECKING

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

    Make = Callable[[], NamespaceApi]


def test_a_fresh_namespace_holds_lo_down(make: Make) -> None:
    namespace = make()
    (link,) = namespace.links()
    assert (link.name, link.index, link.is_up, link.mac) == ("lo", 1, False, bytes(6))
    assert namespace.link("lo") == link == namespace.link_by_index(1)
    assert namespace.addresses(1) == []
    assert namespace.routes(4) == namespace.routes(6) == []
    assert namespace.routes(4, None) == []


def test_namespaces_differ_in_identity(make: Make) -> None:
    first, second = make(), make()
    assert first.identity == first.identity != second.identity


def test_sysctls_have_a_fresh_namespaces_values(make: Make) -> None:
    _, container, _, _ = pair(make)
    assert container.read_sysctl("net/ipv4/ip_forward") == "0"
    assert container.read_sysctl("net/ipv6/conf/eth0/disable_ipv6") == "0"
    assert container.read_sysctl("net/ipv6/conf/eth0/accept_ra") == "1"
    assert container.read_sysctl("net/ipv4/conf/eth0/arp_notify") == "0"
    assert container.read_sysctl("net/ipv6/conf/all/forwarding") == "0"


def test_sysctls_follow_their_device(make: Make) -> None:
    _, container, _, far = pair(make)
    container.write_sysctl("net/ipv4/conf/eth0/arp_notify", "1")
    container.set_link(far.index, name="net1")
    assert container.read_sysctl("net/ipv4/conf/net1/arp_notify") == "1"
    for call in (container.read_sysctl, lambda path: container.write_sysctl(path, "1")):
        with pytest.raises(FileNotFoundError):
            call("net/ipv4/conf/eth0/arp_notify")
    with pytest.raises(OSError) as caught:
        container.write_sysctl("net/ipv4/conf/net1/arp_notify", "yes")
    assert caught.value.errno == EINVAL
    with pytest.raises(PermissionError):
        container.read_sysctl("net/../../version")


def test_forwarding_reaches_every_device(make: Make) -> None:
    host, container, _, _ = pair(make)
    container.write_sysctl("net/ipv4/ip_forward", "1")
    assert container.read_sysctl("net/ipv4/conf/eth0/forwarding") == "1"
    assert host.read_sysctl("net/ipv4/ip_forward") == "0"


def test_flushing_no_flows(make: Make) -> None:
    namespace = make()
    namespace.flush_udp_conntrack(4, (53, 54))
    namespace.flush_udp_conntrack(6, ())


def test_entered_and_close_can_be_used_twice(make: Make) -> None:
    namespace = make()
    for _ in range(2):
        with namespace.entered():
            pass
    with namespace:
        assert namespace.link("lo") is not None
    namespace.close()
