"""Published ports with real packets, from everywhere a client can be, through both backends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from errno import EADDRINUSE
from pathlib import Path

import ports_town
import pytest
from firewall_spaces import Space
from firewall_town import HOST_OUTSIDE, HOST_OUTSIDE_6, OUTSIDE, OUTSIDE_6, Town
from ports_town import PortsTown, binding, container

from netd.runtime.model import ContainerConfig
from pycni.firewall.facts import Mapping, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Prefix

FROM_EVERYWHERE = [
    ("outside", HOST_OUTSIDE, OUTSIDE),
    ("outside", HOST_OUTSIDE_6, OUTSIDE_6),
    ("host", HOST_OUTSIDE, HOST_OUTSIDE),
    ("host", HOST_OUTSIDE_6, HOST_OUTSIDE_6),
    ("host", "127.0.0.1", "10.1.2.1"),
    ("host", "127.0.0.2", "10.1.2.1"),
    ("host", "::1", "fd00:2::1"),
    ("a", "10.1.2.1", "10.1.2.1"),
    ("a", HOST_OUTSIDE, "10.1.2.1"),
    ("a", "fd00:2::1", "fd00:2::1"),
    ("b", "10.1.2.1", "10.1.2.1"),
    ("b", "fd00:2::1", "fd00:2::1"),
    ("c", "10.1.3.1", "10.1.3.2"),
    ("c", HOST_OUTSIDE, "10.1.3.2"),
    ("c", "fd00:3::1", "fd00:3::2"),
]
"""(who, to which address of the host, which client address the container sees): outside, the host itself and its
loopback, the container itself, its neighbour, and one of another network."""


@pytest.fixture(params=[IPTABLES, NFTABLES])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortsTown]:
    with ports_town.built(tmp_path, request.param) as there:
        yield there


@pytest.fixture(params=[NFTABLES])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortsTown]:
    """For what has nothing to do with the backend."""
    with ports_town.built(tmp_path, request.param) as there:
        yield there


def space(town: Town, name: str) -> Space:
    found = getattr(town, name)
    assert isinstance(found, Space)
    return found


def shown(bound: dict[str, list[ports_town.PortBinding]]) -> dict[str, list[str]]:
    return {port: [f"{each.host_ip} {each.host_port}" for each in bindings] for port, bindings in bound.items()}


def test_from_everywhere_both_families_tcp_and_udp(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    town.serve(town.a, 53, udp=True)
    a = container("a", tcp80="8080", udp53="5353")
    assert shown(there.ports.publish(a, there.gateways("a"))) == {
        "80/tcp": ["0.0.0.0 8080", ":: 8080"],
        "53/udp": ["0.0.0.0 5353", ":: 5353"],
    }
    for who, address, seen in FROM_EVERYWHERE:
        assert town.ask(space(town, who), address, 8080) == seen, f"tcp from {who} to {address}"
        assert town.ask(space(town, who), address, 5353, udp=True) == seen, f"udp from {who} to {address}"
    there.ports.unpublish(a)
    for who, address, _ in FROM_EVERYWHERE:
        assert town.silent(space(town, who), address, 8080), f"from {who} to {address} afterwards"
    assert there.warnings == []


def test_a_container_without_ipv6_is_reached_over_it(there: PortsTown) -> None:
    """The proxy takes what NAT cannot; over IPv4 the client's address is kept."""
    town = there.town
    town.serve(town.a, 80)
    town.serve(town.a, 53, udp=True)
    a = container("a", tcp80="8080", udp53="5353")
    there.ports.publish(a, there.gateways("a", families=(4,)))
    for udp, port in ((False, 8080), (True, 5353)):
        assert town.ask(town.outside, HOST_OUTSIDE, port, udp=udp) == OUTSIDE
        assert town.ask(town.outside, HOST_OUTSIDE_6, port, udp=udp) == "10.1.2.1"
        assert town.ask(town.host, "::1", port, udp=udp) == "10.1.2.1"


def test_a_container_without_ipv4_is_reached_over_it(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    there.ports.publish(container("a", tcp80="8080"), there.gateways("a", families=(6,)))
    assert town.ask(town.outside, HOST_OUTSIDE_6, 8080) == OUTSIDE_6
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == "fd00:2::1"
    assert town.ask(town.host, "127.0.0.1", 8080) == "fd00:2::1"


@pytest.mark.parametrize(
    ("text", "open_at", "shut_at"),
    [
        ("0.0.0.0 8080", [HOST_OUTSIDE, "127.0.0.1", "10.1.2.1"], [HOST_OUTSIDE_6, "::1"]),
        (":: 8080", [HOST_OUTSIDE_6, "::1", "fd00:2::1"], [HOST_OUTSIDE, "127.0.0.1"]),
        (f"{HOST_OUTSIDE} 8080", [HOST_OUTSIDE], ["10.1.2.1", "127.0.0.1", HOST_OUTSIDE_6]),
        (f"{HOST_OUTSIDE_6} 8080", [HOST_OUTSIDE_6], ["fd00:2::1", "::1", HOST_OUTSIDE]),
        ("127.0.0.1 8080", ["127.0.0.1"], [HOST_OUTSIDE, "127.0.0.2", "::1"]),
        ("::1 8080", ["::1"], [HOST_OUTSIDE_6, "127.0.0.1"]),
    ],
)
def test_the_hosts_address_is_honoured(there: PortsTown, text: str, open_at: list[str], shut_at: list[str]) -> None:
    town = there.town
    town.serve(town.a, 80)
    assert shown(there.ports.publish(container("a", tcp80=text), there.gateways("a"))) == {"80/tcp": [text]}
    for address in open_at:
        assert town.ask(town.host, address, 8080), f"{address} is published"
    for address in shut_at:
        assert town.silent(town.host, address, 8080), f"{address} is not"


def test_the_networks_default_address(anywhere: PortsTown) -> None:
    there = anywhere
    a = container("a", tcp80="8080")
    default = ports_town.Prefix.parse(f"{HOST_OUTSIDE}/32").address
    found = there.ports.publish(a, there.gateways("a", host_address=default))
    assert shown(found) == {"80/tcp": [f"{HOST_OUTSIDE} 8080"]}


def test_the_client_is_answered_from_the_address_it_asked(there: PortsTown) -> None:
    """S21, through NAT and through the proxy: a connected socket takes answers from nowhere else."""
    town = there.town
    town.host.sh("ip addr add 192.0.2.9/24 dev up0; ip addr add 2001:db8::9/64 dev up0 nodad")
    town.serve(town.a, 53, udp=True)
    there.ports.publish(container("a", udp53="5353"), there.gateways("a", families=(4,)))
    assert town.ask(town.outside, "192.0.2.9", 5353, udp=True) == OUTSIDE
    assert town.ask(town.outside, "2001:db8::9", 5353, udp=True) == "10.1.2.1"


def test_random_ports_are_the_same_for_both_families(anywhere: PortsTown) -> None:
    there = anywhere
    town = there.town
    town.host.sh("echo '40000 40010' > /proc/sys/net/ipv4/ip_local_port_range")
    town.host.sh("echo 40001 > /proc/sys/net/ipv4/ip_local_reserved_ports")
    town.serve(town.a, 80)
    a, b = container("a", tcp80=""), container("b", tcp80="127.0.0.1 ")
    assert shown(there.ports.publish(a, there.gateways("a"))) == {"80/tcp": ["0.0.0.0 40000", ":: 40000"]}
    assert shown(there.ports.publish(b, there.gateways("b"))) == {"80/tcp": ["127.0.0.1 40002"]}
    assert town.ask(town.outside, HOST_OUTSIDE, 40000) == OUTSIDE
    assert town.ask(town.outside, HOST_OUTSIDE_6, 40000) == OUTSIDE_6
    there.ports.unpublish(a)
    assert shown(there.ports.publish(a, there.gateways("a"))) == {"80/tcp": ["0.0.0.0 40003", ":: 40003"]}


def test_publish_all(anywhere: PortsTown) -> None:
    there = anywhere
    a = container("a", tcp80="8080")
    a.config = ContainerConfig(exposed_ports={"80/tcp": {}, "53/udp": {}})
    a.host_config.publish_all_ports = True
    found = shown(there.ports.publish(a, there.gateways("a")))
    assert found["80/tcp"] == ["0.0.0.0 8080", ":: 8080"]
    port = found["53/udp"][0].removeprefix("0.0.0.0 ")
    assert found["53/udp"] == [f"0.0.0.0 {port}", f":: {port}"]
    assert 32768 <= int(port) <= 60999


def test_a_range_gives_its_first_free_port(anywhere: PortsTown) -> None:
    """One is another container's, one another program's, one of a CNI client, whose ports no socket holds."""
    there = anywhere
    with there.town.host.entered(), socket.socket() as program:
        program.bind(("127.0.0.1", 8001))
        program.listen()
        with Namespace.open(there.town.host.path) as namespace:
            firewall = Firewall(namespace, str(there.run))
            facts = Publish(Prefix.parse("10.1.3.2/24"), (Mapping("tcp", 8002, 80),))
            firewall.install(Owner("mynet", "stranger", "eth0"), "portmap", there.backend, (facts,))
            firewall.close()
        there.ports.publish(container("b", tcp80="8000"), there.gateways("b"))
        found = there.ports.publish(container("a", tcp80="8000-8005"), there.gateways("a"))
    assert shown(found) == {"80/tcp": ["0.0.0.0 8003", ":: 8003"]}


def test_what_has_a_choice_leaves_fixed_ports_alone(anywhere: PortsTown) -> None:
    there = anywhere
    a = container("a", tcp1="8000-8001", tcp2="8000")
    assert shown(there.ports.publish(a, there.gateways("a", families=(4,)))) == {
        "1/tcp": ["0.0.0.0 8001", ":: 8001"],
        "2/tcp": ["0.0.0.0 8000", ":: 8000"],
    }


def test_a_published_port_is_held(there: PortsTown) -> None:
    """S19: also against programs that ask to share it."""
    a = container("a", tcp80="8080", udp53="5353")
    there.ports.publish(a, there.gateways("a"))
    with there.town.host.entered():
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"), (socket.AF_INET, "127.0.0.1")):
            for kind, port in ((socket.SOCK_STREAM, 8080), (socket.SOCK_DGRAM, 5353)):
                with socket.socket(family, kind) as other, pytest.raises(OSError) as caught:
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                    if kind == socket.SOCK_STREAM:
                        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    other.bind((address, port))
                assert caught.value.errno == EADDRINUSE
    there.ports.unpublish(a)
    with there.town.host.entered(), socket.socket() as other:
        other.bind(("0.0.0.0", 8080))
        other.listen()


def test_sctp_is_led_on_and_held_where_the_kernel_can(there: PortsTown) -> None:
    a = container("a", sctp99="9899")
    assert shown(there.ports.publish(a, there.gateways("a", families=(4,)))) == {"99/sctp": ["0.0.0.0 9899", ":: 9899"]}
    if there.backend == IPTABLES:
        assert "-p sctp -m sctp --dport 9899 -j DNAT --to-destination 10.1.2.2:99" in there.town.host.sh(
            "iptables-save"
        )
    else:
        assert "sctp . 9899" in there.town.host.sh("nft list map inet pynet p_ports4")
    there.ports.unpublish(a)
    assert "9899" not in there.town.host.sh("iptables-save; nft list ruleset")


def test_a_thousand_ports(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    a = container("a")
    wanted = {f"{port}/tcp": [binding(str(port + 10000))] for port in range(80, 1080)}
    there.ports.publish(a, there.gateways("a"), wanted)
    assert town.ask(town.outside, HOST_OUTSIDE, 10080) == OUTSIDE
    assert town.ask(town.host, "::1", 10080) == "fd00:2::1"
    descriptors = len(os.listdir("/proc/self/fd"))
    there.ports.unpublish(a)
    assert descriptors - len(os.listdir("/proc/self/fd")) >= 2000, "all of them are closed"
    assert town.silent(town.outside, HOST_OUTSIDE, 10080)
