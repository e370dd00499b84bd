"""The published-port matrix with real containers: who asks, at which address, by which protocol (docker 3.3, 3.4)."""

from collections.abc import Iterator

import pytest

from .host import LAN, LAN6, UPLINK, UPLINK6
from .probes import Runs
from .questions import answers, silence
from .runtime import Runtime, RuntimeContainer

FOUR, SIX = "10.81.0", "fd00:82:"
"""`four` has IPv4 alone, `dual` 10.82.0.0/24 and fd00:82::/64, `other` 10.83.0.0/24 and fd00:83::/64."""

# (who, at which address of the host, which client the server sees; None: out of reach)
DUAL = [
    ("neighbour", LAN, UPLINK),
    ("neighbour", LAN6, UPLINK6),
    ("host", LAN, LAN),
    ("host", LAN6, LAN6),
    ("host", "127.0.0.1", "10.82.0.1"),
    ("host", "127.0.0.2", "10.82.0.1"),
    ("host", "::1", "fd00:82::1"),
    ("host", "10.82.0.1", "10.82.0.1"),
    ("peer", LAN, "10.82.0.1"),
    ("peer", LAN6, "fd00:82::1"),
    ("peer", "10.82.0.1", "10.82.0.1"),
    ("web", LAN, "10.82.0.1"),
    ("web", LAN6, "fd00:82::1"),
    ("web", "10.82.0.1", "10.82.0.1"),
    ("other", LAN, "10.82.0.1"),
    ("other", LAN6, "fd00:82::1"),
    ("other", "10.83.0.1", "10.82.0.1"),
]
SINGLE = [
    ("neighbour", LAN, UPLINK),
    ("neighbour", LAN6, "10.81.0.1"),
    ("host", LAN, LAN),
    ("host", LAN6, "10.81.0.1"),
    ("host", "127.0.0.1", "10.81.0.1"),
    ("host", "::1", "10.81.0.1"),
    ("single", LAN, "10.81.0.1"),
    ("other", LAN, "10.81.0.1"),
    ("other", LAN6, "10.81.0.1"),
]


class Town:
    """Servers on two networks, a neighbour, and a container elsewhere."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        runtime("create", "--subnet", "10.81.0.0/24", "four")
        runtime("create", "--subnet", "10.82.0.0/24", "--subnet", "fd00:82::/64", "dual")
        runtime("create", "--subnet", "10.83.0.0/24", "--subnet", "fd00:83::/64", "other")
        ports = ("-p", "8080:80", "-p", "8080:80/udp", "-p", "127.0.0.1:8081:80", "-p", "[::1]:8082:80")
        ports += ("-p", f"{LAN}:8083:80", "-p", "0.0.0.0:8084:80", "-p", "[::]:8085:80", "-p", f"[{LAN6}]:8086:80")
        ports += ("-p", "127.0.0.1:8081:80/udp", "-p", "[::1]:8082:80/udp", "-p", "0.0.0.0:8084:80/udp")
        ports += ("-p", "[::]:8085:80/udp")
        self.web = runtime.echo("web", "--network", "dual", *ports, ports=(80, 81))
        self.single = runtime.echo("single", "--network", "four", "-p", "9090:80", "-p", "9090:80/udp")
        self.peer = runtime.start("peer", "--network", "dual")
        self.other = runtime.start("other", "--network", "other")

    def at(self, who: str) -> Runs:
        """Where a command of this one runs."""
        if who in ("host", "neighbour"):
            return self.runtime.host.run if who == "host" else self.runtime.host.neighbour
        return RuntimeContainer(self.runtime, who).net


@pytest.fixture(scope="module")
def town(module_runtime: Runtime) -> Iterator[Town]:
    module_runtime.clean()
    yield Town(module_runtime)


@pytest.mark.parametrize("who", ["neighbour", "host", "peer", "web", "other"])
def test_both_families(town: Town, who: str) -> None:
    cases = [(address, seen) for asker, address, seen in DUAL if asker == who]
    targets = [f"{proto},{address},8080" for address, _ in cases for proto in ("tcp", "udp")]
    expected = [f"web {seen}" for _, seen in cases for _ in range(2)]
    assert dict(zip(targets, answers(town.at(who), *targets), strict=True)) == dict(zip(targets, expected, strict=True))


@pytest.mark.parametrize("who", ["neighbour", "host", "single", "other"])
def test_a_container_without_ipv6(town: Town, who: str) -> None:
    """What NAT cannot do the proxy does, for every asker."""
    cases = [(address, seen) for asker, address, seen in SINGLE if asker == who]
    targets = [f"{proto},{address},9090" for address, _ in cases for proto in ("tcp", "udp")]
    expected = [f"single {seen}" for _, seen in cases for _ in range(2)]
    assert dict(zip(targets, answers(town.at(who), *targets), strict=True)) == dict(zip(targets, expected, strict=True))


@pytest.mark.parametrize(
    ("port", "open_to"),
    [
        (8081, {("host", "127.0.0.1")}),
        (8082, {("host", "::1")}),
        (8083, {("host", LAN), ("neighbour", LAN), ("other", LAN)}),
        (8084, {("host", LAN), ("host", "127.0.0.1"), ("neighbour", LAN), ("other", LAN)}),
        (8085, {("host", LAN6), ("host", "::1"), ("neighbour", LAN6), ("other", LAN6)}),
        (8086, {("host", LAN6), ("neighbour", LAN6), ("other", LAN6)}),
    ],
)
def test_of_one_address_or_family_only(town: Town, port: int, open_to: set[tuple[str, str]]) -> None:
    protocols = ("tcp",) if port in (8083, 8086) else ("tcp", "udp")
    for who, addresses in {
        "host": (LAN, LAN6, "127.0.0.1", "::1"),
        "neighbour": (LAN, LAN6),
        "other": (LAN, LAN6),
    }.items():
        opened = [f"{proto},{each},{port}" for each in addresses if (who, each) in open_to for proto in protocols]
        shut = [f"{proto},{each},{port}" for each in addresses if (who, each) not in open_to for proto in protocols]
        found = answers(town.at(who), *opened)
        assert [str(answer).split()[0] for answer in found] == ["web"] * len(opened), (who, opened, found)
        assert silence(town.at(who), *shut), (who, shut)


def test_loopback_is_nobody_elses(town: Town) -> None:
    """A port of 127.0.0.1 is not reached by a neighbour who routes 127/8 here, nor from a container (S3)."""
    host = town.runtime.host
    host.neighbour("ip", "link", "set", "lo", "down")
    host.neighbour("ip", "route", "add", "127.0.0.0/9", "via", LAN, "dev", "eth0", "src", UPLINK)
    try:
        assert silence(host.neighbour, "tcp,127.0.0.1,8081", "udp,127.0.0.1,8081", "tcp,127.0.0.1,8080")
    finally:
        host.neighbour("ip", "route", "del", "127.0.0.0/9")
        host.neighbour("ip", "link", "set", "lo", "up")
    assert answers(host.run, "tcp,127.0.0.1,8081", "udp,127.0.0.1,8081") == ["web 10.82.0.1"] * 2


def test_only_through_the_published_port(town: Town) -> None:
    """A container's own address, published and unpublished port, from outside and from another network (S1, S2, S9)."""
    host = town.runtime.host
    direct = [f"{proto},{town.web.address('dual', family)},{port}"
              for family in (4, 6) for proto in ("tcp", "udp") for port in (80, 81)]  # fmt: skip
    assert answers(host.run, *direct) == [f"web {'fd00:82::1' if '::' in each else '10.82.0.1'}" for each in direct]
    host.neighbour("ip", "route", "add", "10.82.0.0/24", "via", LAN)
    host.neighbour("ip", "-6", "route", "add", "fd00:82::/64", "via", LAN6)
    try:
        assert silence(host.neighbour, *direct)
    finally:
        host.neighbour("ip", "route", "del", "10.82.0.0/24")
        host.neighbour("ip", "-6", "route", "del", "fd00:82::/64")
    assert silence(town.other.net, *direct)
    assert silence(host.neighbour, f"tcp,{LAN},81", f"udp,{LAN},81")
    # its own neighbours reach all of it
    assert None not in answers(town.peer.net, *direct)


@pytest.mark.parametrize(
    ("server", "client"), [("nft1", "nft2"), ("nft1", "other"), ("dual", "nft2"), ("bridge", "nft2")]
)
def test_from_another_network_whatever_either_is_kept_in(town: Town, server: str, client: str) -> None:
    """nftables and iptables; directly still nothing."""
    runtime = town.runtime
    for name, subnet in (("nft1", "10.84.0.0/24"), ("nft2", "10.85.0.0/24")):
        if name in (server, client):
            runtime("create", "--firewall", "nftables", "--subnet", subnet, name)
    web = runtime.echo("there", "--network", server, "-p", "7070:80", "-p", "7070:80/udp")
    asker = runtime.start("here", "--network", client)
    try:
        found = answers(asker.net, f"tcp,{LAN},7070", f"udp,{LAN},7070")
        assert [str(each).split()[0] for each in found] == ["there"] * 2
        assert silence(asker.net, f"tcp,{web.address(server)},80", f"udp,{web.address(server)},80")
    finally:
        runtime("container", "rm", "-f", "there", "here")
        runtime("rm", "--force", "nft1", "nft2")


def test_the_port_is_truly_held(town: Town) -> None:
    """Another program gets EADDRINUSE, on every address of the binding."""
    bind = "import socket,sys; s=socket.socket({}, socket.SOCK_{}); s.bind(({!r}, {}))"
    for family, address, port in (
        ("socket.AF_INET", "0.0.0.0", 8080),
        ("socket.AF_INET", LAN, 8080),
        ("socket.AF_INET6", "::", 8080),
        ("socket.AF_INET", "127.0.0.1", 8081),
        ("socket.AF_INET6", "::1", 8082),
    ):
        for kind in ("STREAM", "DGRAM"):
            words = ("python3", "-S", "-c", bind.format(family, kind, address, port))
            assert not town.runtime.host.succeeds(*words), (address, port, kind)
    assert town.runtime.host.succeeds("python3", "-S", "-c", bind.format("socket.AF_INET", "STREAM", LAN, 8081))


def test_what_is_shown(town: Town) -> None:
    assert town.runtime("port", "web", "80/udp") == "".join(
        f"{each}\n"
        for each in ("0.0.0.0:8080", "[::]:8080", "127.0.0.1:8081", "[::1]:8082", "0.0.0.0:8084", "[::]:8085")
    )
    assert town.runtime("port", "single").splitlines() == [
        "80/tcp -> 0.0.0.0:9090",
        "80/tcp -> [::]:9090",
        "80/udp -> 0.0.0.0:9090",
        "80/udp -> [::]:9090",
    ]
    assert "0.0.0.0:9090->80/tcp, [::]:9090->80/tcp" in town.runtime("ps", "--filter", "name=single")


def test_nobody_answers_after_the_end(town: Town) -> None:
    """And the port is free for a program again."""
    town.runtime("stop", "-t", "0", "single")
    for who, address, _ in SINGLE:
        if who != "single":
            assert silence(town.at(who), f"tcp,{address},9090", f"udp,{address},9090"), (who, address)
    assert town.runtime("port", "single") == ""
    bind = f"import socket; socket.socket().bind(({LAN!r}, 9090))"
    assert town.runtime.host.succeeds("python3", "-S", "-c", bind)
    town.runtime("start", "single")
    assert answers(town.at("neighbour"), f"tcp,{LAN},9090", f"udp,{LAN},9090") == [f"single {UPLINK}"] * 2
