"""The proxy of published ports, on the loopback of a namespace of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from conftest import PrivateNetns
from ports_town import DEADLINE, until

from netd.ports.allocator import Claim
from netd.ports.hold import Held, hold
from netd.ports.proxy import Listener, Proxy
from pycni.spec.address import Address

LOCAL, LOCAL_6 = "127.0.0.1", "::1"


class Bench:
    """Sockets of one namespace, and a proxy there.  All are closed at the end."""

    def __init__(self, ns: PrivateNetns, idle_seconds: float = 90.0) -> None:
        ns.run(["ip", "link", "set", "lo", "up"])
        self.ns = ns
        self.proxy = Proxy(ns.fd, idle_seconds)
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.proxy.close)
        self._ports = count(9000)

    def open(self, kind: int, address: str = LOCAL, listen: bool = False) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.ns.inside():
            made = socket.socket(family, kind)
        self.stack.callback(made.close)
        made.settimeout(DEADLINE)
        if listen:
            made.bind((address, 0))
            if kind == socket.SOCK_STREAM:
                made.listen(1000)
        return made

    def publish(self, server: socket.socket, address: str = LOCAL) -> tuple[int, Listener]:
        """A held port, relayed to the server; its number."""
        protocol = "tcp" if server.type == socket.SOCK_STREAM else "udp"
        port = next(self._ports)
        with self.ns.inside():
            held = hold(Claim(protocol, Address.parse(address), port))
        self.stack.callback(held.close)
        held.open()
        assert held.socket is not None
        (listener,) = self.proxy.serve([(held.socket, (server.family, server.getsockname()[:2]))])
        self.held: Held = held
        return port, listener

    def client(self, port: int, kind: int = socket.SOCK_STREAM, address: str = LOCAL) -> socket.socket:
        made = self.open(kind, address)
        made.connect((address, port))
        return made

    def pair(self, address: str = LOCAL) -> tuple[socket.socket, socket.socket, Listener]:
        """A relayed connection: the client's end, the container's end."""
        server = self.open(socket.SOCK_STREAM, listen=True)
        port, listener = self.publish(server, address)
        client = self.client(port, address=address)
        inside, _ = server.accept()
        self.stack.callback(inside.close)
        inside.settimeout(DEADLINE)
        return client, inside, listener


@pytest.fixture
def bench(netns: Callable[[], PrivateNetns]) -> Iterator[Bench]:
    bench = Bench(netns())
    with bench.stack:
        yield bench


def received(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size and (part := sock.recv(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@pytest.mark.parametrize("address", [LOCAL, LOCAL_6])
def test_both_ways_and_half_close(bench: Bench, address: str) -> None:
    client, inside, listener = bench.pair(address)
    client.sendall(b"question")
    assert inside.recv(100) == b"question"
    client.shutdown(socket.SHUT_WR)
    assert inside.recv(100) == b"", "the end of the question is passed on"
    answer = os.urandom(3_000_000)
    sender = threading.Thread(target=lambda: (inside.sendall(answer), inside.close()))
    sender.start()
    assert received(client, len(answer) + 1) == answer, "and the answer still comes, whole, with its end"
    sender.join()
    until(lambda: bench.proxy.connections([listener]) == 0, "the connection is over")


def test_the_server_may_finish_first(bench: Bench) -> None:
    client, inside, listener = bench.pair()
    inside.sendall(b"hello")
    inside.shutdown(socket.SHUT_WR)
    assert received(client, 6) == b"hello"
    client.sendall(b"thanks")
    assert received(inside, 6) == b"thanks"
    client.close()
    assert inside.recv(1) == b""
    until(lambda: bench.proxy.connections([listener]) == 0, "the connection is over")


def test_what_is_on_its_way_when_both_have_finished_arrives(bench: Bench) -> None:
    """The reader starts after the sender has closed, and the other direction has ended before."""
    client, inside, _ = bench.pair()
    client.shutdown(socket.SHUT_WR)
    assert inside.recv(1) == b""
    data = os.urandom(1_500_000)
    sender = threading.Thread(target=lambda: (inside.sendall(data), inside.close()))
    sender.start()
    assert received(client, 1) == data[:1]
    until(lambda: len(client.recv(200_000, socket.MSG_PEEK)) > 1000, "the pipe has filled")
    assert received(client, len(data)) == data[1:]
    sender.join()


def test_a_slow_reader_slows_its_sender_down_and_nobody_else(bench: Bench) -> None:
    client, inside, listener = bench.pair()
    inside.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < 1 << 28:
            # writable again within the deadline as long as the proxy still takes
            sent += inside.send(bytes(1 << 16))
            select.select([], [inside], [], 0.2)
    assert sent < 64 << 20, "the sender has to wait"
    assert bench.proxy.connections([listener]) == 1
    other, other_inside, _ = bench.pair()
    other.sendall(b"meanwhile")
    assert other_inside.recv(100) == b"meanwhile"
    inside.close()
    total = 0
    while part := client.recv(1 << 20):
        total += len(part)
    assert total == sent, "nothing is lost"


def test_a_reset_is_passed_on(bench: Bench) -> None:
    for first in (0, 1):
        *ends, listener = bench.pair()
        ends[first].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends[first].close()
        with pytest.raises(ConnectionResetError):
            ends[1 - first].recv(1)
        until(lambda listener=listener: bench.proxy.connections([listener]) == 0, "it is over")  # type: ignore[misc]


def test_a_reset_after_a_half_close_ends_the_connection(bench: Bench) -> None:
    client, inside, listener = bench.pair()
    client.shutdown(socket.SHUT_WR)
    assert inside.recv(1) == b""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    until(lambda: bench.proxy.connections([listener]) == 0, "it is over")
    with pytest.raises(BrokenPipeError):
        inside.send(b"too late")


def test_nobody_there(bench: Bench) -> None:
    server = bench.open(socket.SOCK_STREAM, listen=True)
    port, listener = bench.publish(server)
    server.close()
    with pytest.raises(ConnectionResetError):
        bench.client(port).recv(1)
    until(lambda: bench.proxy.connections([listener]) == 0, "it is over")


def test_many_connections(bench: Bench) -> None:
    server = bench.open(socket.SOCK_STREAM, listen=True)
    port, listener = bench.publish(server)
    clients = [bench.client(port) for _ in range(200)]
    insides = []
    for number, client in enumerate(clients):
        client.sendall(f"{number:04}".encode() * 1000)
    for _ in clients:
        inside, _ = server.accept()
        bench.stack.callback(inside.close)
        inside.settimeout(DEADLINE)
        insides.append(inside)
    assert bench.proxy.connections([listener]) == 200
    questions = {received(inside, 4000): inside for inside in insides}
    assert sorted(questions) == [f"{number:04}".encode() * 1000 for number in range(200)]
    for question, inside in questions.items():
        inside.sendall(question[::-1])
        inside.close()
    assert [received(client, 4001) for client in clients] == [question[::-1] for question in sorted(questions)]
    for client in clients:
        client.close()
    until(lambda: bench.proxy.connections([listener]) == 0, "they are over")


def test_connections_begin_and_end_all_the_time(bench: Bench) -> None:
    """Numbers of closed sockets are used again at once."""
    server = bench.open(socket.SOCK_STREAM, listen=True)
    port, listener = bench.publish(server)

    def serve() -> None:
        for _ in range(600):
            with server.accept()[0] as inside:
                inside.sendall(inside.recv(100))

    def ask(answers: list[bytes]) -> None:
        for _ in range(200):
            with bench.ns.inside():
                client = socket.socket()
            with client:
                client.settimeout(DEADLINE)
                client.connect((LOCAL, port))
                client.sendall(b"x")
                answers.append(client.recv(1))

    answers: list[bytes] = []
    threads = [threading.Thread(target=serve), *(threading.Thread(target=ask, args=(answers,)) for _ in range(3))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert answers == [b"x"] * 600
    until(lambda: bench.proxy.connections([listener]) == 0, "they are over")


def test_without_descriptors_others_go_on_and_the_thread_rests(bench: Bench) -> None:
    server = bench.open(socket.SOCK_STREAM, listen=True)
    port, listener = bench.publish(server)
    first = bench.client(port)
    inside, _ = server.accept()
    bench.stack.callback(inside.close)
    waiting = bench.open(socket.SOCK_STREAM)
    waiting.settimeout(DEADLINE)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        waiting.connect((LOCAL, port))  # the kernel accepts for the time being
        before = time.process_time()
        first.sendall(b"still")
        assert inside.recv(5) == b"still"
        assert not select.select([waiting], [], [], 0.5)[0]
        assert time.process_time() - before < 0.2, "it does not spin"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    server.settimeout(DEADLINE)
    second, _ = server.accept()
    bench.stack.callback(second.close)
    assert bench.proxy.connections([listener]) == 2


def test_stopping_ends_what_is_relayed_and_lets_go_of_the_socket(bench: Bench) -> None:
    client, inside, listener = bench.pair()
    bench.proxy.stop([listener])
    for end in (client, inside):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    bench.held.shut()
    with pytest.raises(ConnectionRefusedError):
        bench.client(bench.held.claim.port)


def test_a_new_target_is_for_new_connections(bench: Bench) -> None:
    client, inside, listener = bench.pair()
    server = bench.open(socket.SOCK_STREAM, listen=True)
    bench.proxy.retarget([(listener, (socket.AF_INET, server.getsockname()))])
    bench.client(bench.held.claim.port)
    server.accept()[0].close()
    client.sendall(b"old")
    assert inside.recv(3) == b"old"


@pytest.mark.parametrize("address", [LOCAL, LOCAL_6])
@pytest.mark.parametrize("size", [0, 1, 1472, 65000])
def test_datagrams_of_any_size_and_of_several_clients(bench: Bench, address: str, size: int) -> None:
    server = bench.open(socket.SOCK_DGRAM, listen=True)
    port, listener = bench.publish(server, address)
    clients = [bench.client(port, socket.SOCK_DGRAM, address) for _ in range(5)]
    peers = []
    for number, client in enumerate(clients):
        client.send(bytes([number]) * size)
        data, peer = server.recvfrom(1 << 16)
        assert data == bytes([number]) * size
        peers.append(peer)
    for number, client in reversed(list(enumerate(clients))):
        server.sendto(bytes([number]) * size + b"!", peers[number])
        assert client.recv(1 << 16) == bytes([number]) * size + b"!"
    assert bench.proxy.connections([listener]) == 5


def test_a_client_keeps_its_address_at_the_server(bench: Bench) -> None:
    server = bench.open(socket.SOCK_DGRAM, listen=True)
    port, _ = bench.publish(server)
    client = bench.client(port, socket.SOCK_DGRAM)
    peers = set()
    for _ in range(5):
        client.send(b"?")
        peers.add(server.recvfrom(10)[1])
    assert len(peers) == 1


def test_a_silent_client_is_forgotten(netns: Callable[[], PrivateNetns]) -> None:
    bench = Bench(netns(), idle_seconds=0.3)
    with bench.stack:
        server = bench.open(socket.SOCK_DGRAM, listen=True)
        port, listener = bench.publish(server)
        client = bench.client(port, socket.SOCK_DGRAM)
        client.send(b"?")
        server.recvfrom(10)
        until(lambda: bench.proxy.connections([listener]) == 0, "it is forgotten")
        client.send(b"?")
        server.sendto(b"!", server.recvfrom(10)[1])
        assert client.recv(10) == b"!"
        assert bench.proxy.connections([listener]) == 1


def test_a_closed_container_port_comes_back(bench: Bench) -> None:
    """ICMP errors of one datagram do not spoil the next."""
    server = bench.open(socket.SOCK_DGRAM, listen=True)
    name = server.getsockname()
    port, _ = bench.publish(server)
    client = bench.client(port, socket.SOCK_DGRAM)
    server.close()
    for _ in range(3):
        client.send(b"lost")
    again = bench.open(socket.SOCK_DGRAM)
    again.bind(name)
    client.send(b"?")
    while again.recv(10) != b"?":
        continue  # one of the others came late enough


def test_idle_it_sleeps(bench: Bench) -> None:
    """With connections, clients and held ports that nobody uses."""
    for _ in range(5):
        bench.pair()
    client, inside, _ = bench.pair()
    client.shutdown(socket.SHUT_WR)
    assert inside.recv(1) == b""
    server = bench.open(socket.SOCK_DGRAM, listen=True)
    port, _ = bench.publish(server)
    bench.client(port, socket.SOCK_DGRAM).send(b"?")
    assert server.recv(10) == b"?"
    before = os.times()
    select.select([server], [], [], 1.0)
    after = os.times()
    assert after.user + after.system - before.user - before.system <= 0.02
