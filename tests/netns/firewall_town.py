"""A small town of namespaces for traffic tests: a host with two bridges, three containers, and the world outside.

a 10.1.2.2, b 10.1.2.3 -- br0 --+
c 10.1.3.2 ------------- br1 --host-- 192.0.2.1 : 192.0.2.2 outside (no routes back to the containers)
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from firewall_spaces import Space

TIMEOUT = 5.0
BLOCKED = 0.4
"""Long enough for an answer within one machine, short enough for a test of silence."""

HOST_OUTSIDE = "192.0.2.1"
OUTSIDE = "192.0.2.2"
HOST_OUTSIDE_6 = "2001:db8::1"
OUTSIDE_6 = "2001:db8::2"


class Town:
    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        names = ("host", "a", "b", "c", "outside")
        self.host, self.a, self.b, self.c, self.outside = (self._stack.enter_context(Space()) for _ in names)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        self.host.sh(
            f"""
            ip link set lo up
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            for n in 0 1; do ip link add br$n type bridge; ip link set br$n up; done
            ip addr add 10.1.2.1/24 dev br0; ip addr add fd00:2::1/64 dev br0 nodad
            ip addr add 10.1.3.1/24 dev br1; ip addr add fd00:3::1/64 dev br1 nodad
            echo 1 > /proc/sys/net/ipv4/conf/br0/route_localnet
            ip link add up0 type veth peer name eth0 netns {self.outside.path}
            ip addr add {HOST_OUTSIDE}/24 dev up0; ip addr add {HOST_OUTSIDE_6}/64 dev up0 nodad; ip link set up0 up
            """
        )
        self.outside.sh(
            f"ip link set lo up; ip addr add {OUTSIDE}/24 dev eth0; ip addr add {OUTSIDE_6}/64 dev eth0 nodad;"
            "ip link set eth0 up"
        )
        for space, bridge, address, address_6 in (
            (self.a, "br0", "10.1.2.2", "fd00:2::2"),
            (self.b, "br0", "10.1.2.3", "fd00:2::3"),
            (self.c, "br1", "10.1.3.2", "fd00:3::2"),
        ):
            end = f"v{address.replace('.', '')}"
            self.host.sh(
                f"ip link add {end} type veth peer name eth0 netns {space.path}; ip link set {end} master {bridge};"
                f"ip link set {end} type bridge_slave hairpin on; ip link set {end} up"
            )
            gateway, gateway_6 = address[:-1] + "1", address_6[:-1] + "1"
            space.sh(
                f"ip link set lo up; ip addr add {address}/24 dev eth0; ip addr add {address_6}/64 dev eth0 nodad;"
                f"ip link set eth0 up; ip route add default via {gateway}; ip -6 route add default via {gateway_6}"
            )

    def serve(self, space: Space, port: int, udp: bool = False) -> None:
        """A server there that tells each client the address it sees, and its own port."""
        with space.entered():
            server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", port))
        self._sockets.append(server)
        if not udp:
            server.listen()
        thread = threading.Thread(target=self._answer, args=(server, udp), daemon=True)
        thread.start()
        self._threads.append(thread)

    @staticmethod
    def _answer(server: socket.socket, udp: bool) -> None:
        while True:
            try:
                if udp:
                    data, peer = server.recvfrom(100)
                    if not data:  # shut down
                        return
                    server.sendto(peer[0].removeprefix("::ffff:").encode(), peer)
                else:
                    connection, peer = server.accept()
                    with connection:
                        connection.sendall(peer[0].removeprefix("::ffff:").encode())
            except OSError:
                return

    @staticmethod
    def ask(space: Space, address: str, port: int, udp: bool = False, wait: float = TIMEOUT) -> str:
        """What a client there is told, the address the server sees; empty when there is no answer."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with space.entered():
            client = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        with client:
            client.settimeout(wait)
            try:
                client.connect((address, port))
                if udp:
                    client.send(b"?")
                return client.recv(100).decode()
            except OSError:
                return ""

    def silent(self, space: Space, address: str, port: int) -> bool:
        """Whether a client there gets no answer."""
        return not self.ask(space, address, port, wait=BLOCKED)

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._stack.close()


@contextlib.contextmanager
def built() -> Iterator[Town]:
    town = Town()
    try:
        yield town
    finally:
        town.close()
