"""Published ports of running containers: conflicts, changes, moves and restarts, with traffic going on."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import ports_town
import pytest
from firewall_town import BLOCKED, HOST_OUTSIDE, HOST_OUTSIDE_6, OUTSIDE, OUTSIDE_6
from ports_town import DEADLINE, PortsTown, binding, connect, container

from netd.failure import Conflict, Failure, NotFound
from netd.ports.errors import PublishFailed
from netd.ports.gateways import Gateway, Gateways
from pycni.firewall.facts import Mapping, Owner, Publish
from pycni.firewall.firewall import IPTABLES, NFTABLES, Firewall
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Prefix


@pytest.fixture(params=[IPTABLES, NFTABLES])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortsTown]:
    with ports_town.built(tmp_path, request.param) as there:
        yield there


@contextlib.contextmanager
def echo(there: PortsTown, name: str, port: int) -> Iterator[socket.socket]:
    """A connection from outside to a server there that sends back what it gets, one connection long."""
    with getattr(there.town, name).entered():
        server = socket.create_server(("", port))
    with server:
        client = connect(there.town.outside, HOST_OUTSIDE, port + 8000)
        server.settimeout(DEADLINE)
        inside, _ = server.accept()
        with client, inside:
            inside.settimeout(DEADLINE)
            yield _Pair(client, inside)  # type: ignore[misc]


class _Pair:
    def __init__(self, client: socket.socket, inside: socket.socket) -> None:
        self._client, self._inside = client, inside

    def works(self) -> bool:
        self._client.sendall(b"ping")
        assert self._inside.recv(4) == b"ping"
        self._inside.sendall(b"pong")
        return self._client.recv(4) == b"pong"


def everything(there: PortsTown) -> str:
    """The host's rules as text, without counters."""
    rules = there.town.host.sh("nft -s list ruleset; iptables-save; ip6tables-save")
    return "\n".join(line.partition(" [")[0] for line in rules.splitlines() if not line.startswith("#"))


def test_another_containers_port_is_said_as_docker_does(there: PortsTown) -> None:
    there.ports.publish(container("a", tcp80="8080"), there.gateways("a"))
    before = everything(there)
    with pytest.raises(PublishFailed) as caught:
        there.ports.publish(container("b", tcp81="9000", tcp80="8080"), there.gateways("b"))
    assert caught.value.msg == (
        "driver failed programming external connectivity on endpoint b: "
        "Bind for 0.0.0.0:8080 failed: port is already allocated by container a"
    )
    assert caught.value.status == 500
    assert everything(there) == before
    assert there.ports.publish(container("c", tcp80="9000"), there.gateways("c")), "what b had got was given back"


def test_a_programs_port_is_said_with_the_program(there: PortsTown) -> None:
    script = "import socket, sys; s = socket.create_server(('127.0.0.1', 8080)); print('ready', flush=True); input()"
    argv = ["nsenter", f"--net={there.town.host.path}", "--", "/usr/bin/python3", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            before = everything(there)
            with pytest.raises(PublishFailed) as caught:
                there.ports.publish(container("a", udp80="8080", tcp80="8080"), there.gateways("a"))
            name = Path(f"/proc/{program.pid}/comm").read_text().strip()
        finally:
            program.kill()
    assert caught.value.msg == (
        "driver failed programming external connectivity on endpoint a: "
        f"failed to bind host port 0.0.0.0:8080/tcp: address already in use by {name} (pid {program.pid})"
    )
    assert everything(there) == before
    assert there.ports.publish(container("a", tcp80="8080"), there.gateways("a")), "free again"


def test_an_address_the_host_has_not(there: PortsTown) -> None:
    with pytest.raises(PublishFailed, match=r"198\.51\.100\.1:8080/tcp: cannot assign requested address$"):
        there.ports.publish(container("a", tcp80="198.51.100.1 8080"), there.gateways("a"))


def test_a_port_of_a_cni_client_is_said_with_its_container(there: PortsTown) -> None:
    with Namespace.open(there.town.host.path) as namespace:
        firewall = Firewall(namespace, str(there.run))
        facts = Publish(Prefix.parse("10.1.3.2/24"), (Mapping("tcp", 8080, 80),))
        firewall.install(Owner("mynet", "stranger", "eth0"), "portmap", there.backend, (facts,))
        firewall.close()
    with pytest.raises(PublishFailed, match=r"port is already allocated by container stranger of network mynet$"):
        there.ports.publish(container("a", tcp80="8080"), there.gateways("a"))


def test_a_firewall_that_refuses_leaves_nothing(there: PortsTown, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Failure("no")

    before = everything(there)
    monkeypatch.setattr("netd.ports.nat.Nat.forget_flows", refuse)
    with pytest.raises(PublishFailed, match=r"endpoint a: no$"):
        there.ports.publish(container("a", tcp80="8080"), there.gateways("a"))
    monkeypatch.undo()
    after = everything(there)
    assert "8080" not in after
    assert "10.1.2.2" not in after.replace(before, "")
    assert there.ports.publish(container("b", tcp80="8080"), there.gateways("b"))


def test_ports_come_and_go_while_another_is_in_use(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 81)
    a = container("a", tcp80="8080")
    there.ports.publish(a, there.gateways("a"))
    with echo(there, "a", 80) as pair:
        bound = there.ports.change(a, {"81/tcp": [binding("8081")]}, {})
        assert [each.host_port for port in ("80/tcp", "81/tcp") for each in bound[port]] == ["8080"] * 2 + ["8081"] * 2
        assert pair.works()
        assert town.ask(town.outside, HOST_OUTSIDE, 8081) == OUTSIDE
        assert town.ask(town.outside, HOST_OUTSIDE_6, 8081) == OUTSIDE_6
        assert list(there.ports.change(a, {}, {"81/tcp": None})) == ["80/tcp"]
        assert pair.works()
        assert town.silent(town.outside, HOST_OUTSIDE, 8081)
        assert town.silent(town.host, "::1", 8081)
        town.serve(town.a, 8)
        found = there.ports.change(
            a, {"8/tcp": [binding("8080")]}, {"80/tcp": [binding(":: 8080"), binding("0.0.0.0 ")]}
        )
        assert list(found) == ["8/tcp"], "the same host port may lead elsewhere"
        assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
        assert pair.works(), "a connection that was made before stays"


def test_a_change_that_fails_changes_nothing(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    a = container("a", tcp80="8080", udp53="5353")
    before = there.ports.publish(a, there.gateways("a"))
    there.ports.publish(container("b", tcp80="9000"), there.gateways("b"))
    rules = everything(there)
    with pytest.raises(
        PublishFailed, match=r"Bind for 0\.0\.0\.0:9000 failed: port is already allocated by container b$"
    ):
        there.ports.change(a, {"81/tcp": [binding("8081"), binding("9000")]}, {"80/tcp": None})
    assert sorted(everything(there).splitlines()) == sorted(rules.splitlines())
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert town.ask(town.host, "::1", 8080) == "fd00:2::1"
    with pytest.raises(NotFound, match="port 82/tcp is not published"):
        there.ports.change(a, {"83/tcp": [binding("8083")]}, {"82/tcp": None})
    assert there.ports.change(a, {}, {}) == before


def test_only_a_running_container_can_be_changed(there: PortsTown) -> None:
    with pytest.raises(Conflict, match="container a is not running"):
        there.ports.change(container("a"), {"80/tcp": None}, {})
    joined = container("a")
    joined.state.status = "running"
    with pytest.raises(Conflict, match="container a has no network of its own to publish ports of"):
        there.ports.change(joined, {"80/tcp": None}, {})
    there.ports.publish(container("a", tcp80="8080"), Gateways())
    with pytest.raises(Conflict, match="container a is on no network that ports can be published on"):
        there.ports.change(container("a"), {"80/tcp": None}, {})


def test_ports_move_to_another_gateway(there: PortsTown) -> None:
    """Container a gets a second interface, on br1; its ports go there, and back."""
    town = there.town
    town.host.sh(f"ip link add second type veth peer name eth1 netns {town.a.path}; ip link set second master br1 up")
    town.a.sh("ip addr add 10.1.3.9/24 dev eth1; ip addr add fd00:3::9/64 dev eth1 nodad; ip link set eth1 up")
    with town.a.entered():
        servers = [socket.create_server(("10.1.2.2", 80)), socket.create_server(("10.1.3.9", 80))]
    a = container("a", tcp80="8080")
    first = there.gateways("a")
    other = Gateways(Gateway("other", "eth1", Prefix.parse("10.1.3.9/24"), there.backend), first.ipv6)
    bound = there.ports.publish(a, first)

    def arrives_at(server: socket.socket, address: str, seen: str) -> None:
        server.settimeout(DEADLINE)
        with connect(town.b, address, 8080), server.accept()[0] as inside:
            assert inside.getpeername()[0] == seen

    for each in servers:
        each.settimeout(BLOCKED)
    try:
        arrives_at(servers[0], HOST_OUTSIDE, "10.1.2.1")
        assert there.ports.move(a, other) == bound
        town.a.sh("ip route replace default via 10.1.3.1")
        arrives_at(servers[1], HOST_OUTSIDE, "10.1.2.3")
        rules = everything(there)
        assert "10.1.3.9" in rules
        assert "10.1.2.2:80" not in rules and "10.1.2.2 . 80" not in rules
        assert there.ports.move(a, first) == bound
        town.a.sh("ip route replace default via 10.1.2.1")
        arrives_at(servers[0], HOST_OUTSIDE, "10.1.2.1")
        assert "10.1.3.9" not in everything(there)
    finally:
        for each in servers:
            each.close()


def test_a_container_without_a_gateway_publishes_later(there: PortsTown) -> None:
    """Disconnected from its last network it keeps its ports, and nobody answers there."""
    town = there.town
    town.serve(town.a, 80)
    a = container("a", tcp80="8080")
    assert there.ports.publish(a, Gateways()) == {}
    there.ports.publish(container("b", tcp80="8080"), there.gateways("b"))
    there.ports.unpublish(container("b"))
    bound = there.ports.move(a, there.gateways("a"))
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert there.ports.move(a, Gateways()) == {}
    assert town.silent(town.outside, HOST_OUTSIDE, 8080)
    assert town.silent(town.host, "::1", 8080)
    with pytest.raises(PublishFailed, match="already allocated by container a"):
        there.ports.publish(container("b", tcp80="8080"), there.gateways("b"))
    assert there.ports.move(a, there.gateways("a")) == bound
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert town.ask(town.host, "::1", 8080) == "fd00:2::1"


@pytest.mark.parametrize("address", [HOST_OUTSIDE, HOST_OUTSIDE_6])
def test_a_udp_client_survives_the_servers_restart(there: PortsTown, address: str) -> None:
    """S20: the same client socket, never silent for long, a new container address, host port unlike container port."""
    town = there.town
    town.serve(town.a, 53, udp=True)
    town.serve(town.b, 53, udp=True)
    own = OUTSIDE if ":" not in address else OUTSIDE_6
    a = container("a", udp53="5353")
    there.ports.publish(a, there.gateways("a"))
    with connect(town.outside, address, 5353, socket.SOCK_DGRAM) as client:

        def answered() -> str:
            client.settimeout(0.05)
            for _ in range(100):
                with contextlib.suppress(OSError):
                    client.send(b"?")
                    return client.recv(100).decode()
            return ""

        assert answered() == own
        there.ports.unpublish(a)
        for _ in range(3):  # the host itself refuses: the kernel tracks that flow too
            with contextlib.suppress(OSError):
                client.send(b"?")
                client.recv(100)
        there.ports.publish(a, there.gateways("b"))
        assert answered() == own, "the new container sees the client's own address"
    assert there.warnings == []


def test_withdrawing_is_done_whatever_is_known(there: PortsTown) -> None:
    """By another process, twice, and of a container that publishes nothing."""
    town = there.town
    town.serve(town.a, 80)
    a = container("a", tcp80="8080")
    there.ports.publish(a, there.gateways("a"))
    second = there.new_ports()
    second.unpublish(a)
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == "10.1.2.1", "the first process still holds and serves it"
    there.ports.unpublish(a)
    there.ports.unpublish(a)
    there.ports.unpublish(container("b"))
    assert town.silent(town.outside, HOST_OUTSIDE, 8080)
