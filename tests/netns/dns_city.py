"""A host of private namespaces with the name server on it, containers, and upstream servers outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from engine_process import EngineProcess

from pycni.firewall.facts import Owner
from pycni.names import PORT, RESOLVER, Attachment, Attachments, sandbox_of
from pycni.spec.address import Address

PROGRAM = ("-m", "netd.daemon", "dns")
SECONDS = 3.0


class Upstream:
    """A server at `address` in the namespace `space`: answers A queries with 198.51.100.`last`, or as `behave` says
    (a response code, or `silent`).  `asked` are the (name, source address, protocol) of what came."""

    def __init__(self, space: Any, address: str, last: int = 1) -> None:
        self.address, self.last = address, last
        self.behave: dns.rcode.Rcode | str = dns.rcode.NOERROR
        self.asked: list[tuple[str, str, str]] = []
        self.padding = 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with space.inside():
            self._udp = socket.socket(family, socket.SOCK_DGRAM)
            self._tcp = socket.socket(family, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for each in (self._udp, self._tcp):
            each.bind((address, 53))
        self._tcp.listen(5)
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def names(self) -> list[str]:
        return [name for name, _, _ in self.asked]

    def _answer(self, data: bytes, source: str, protocol: str) -> bytes | None:
        message = dns.message.from_wire(data)
        question = message.question[0]
        self.asked.append((question.name.to_text(True), source, protocol))
        if isinstance(self.behave, str):
            return None
        response = dns.message.make_response(message, recursion_available=True)
        response.set_rcode(self.behave)
        if self.behave == dns.rcode.NOERROR:
            texts = [f"198.51.{n}.{self.last}" for n in range(100, 101 + self.padding)]
            response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", *texts))
        return response.to_wire(max_size=65535)

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, peer = self._udp.recvfrom(65535)
                if peer is None:  # shut down
                    return
                reply = self._answer(data, peer[0], "udp")
                if reply is not None:
                    self._udp.sendto(reply, peer)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._tcp.accept()
                with connection, connection.makefile("rb") as stream:
                    size = stream.read(2)
                    if len(size) == 2:
                        reply = self._answer(stream.read(int.from_bytes(size, "big")), peer[0], "tcp")
                        if reply is not None:
                            connection.sendall(len(reply).to_bytes(2, "big") + reply)

    def close(self) -> None:
        for each in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(SECONDS)


class Asking:
    """Who asks from inside the namespace `space`."""

    space: Any

    def socket(self, kind: int, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """A socket inside."""
        with self.space.inside():
            return socket.socket(family, kind)

    def query(
        self, name: str, kind: str = "A", tcp: bool = False, server: str = RESOLVER, port: int = PORT, **options: Any
    ) -> dns.message.Message:
        """The answer to one query, after at most SECONDS or `seconds`."""
        seconds = options.pop("seconds", SECONDS)
        message = dns.message.make_query(name, kind, **options)
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with self.socket(socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM, family) as sock:
            sock.settimeout(seconds)
            sock.connect((server, port))
            raw = message.to_wire()
            if tcp:
                sock.sendall(len(raw).to_bytes(2, "big") + raw)
                with sock.makefile("rb") as stream:
                    answer = stream.read(int.from_bytes(stream.read(2), "big"))
            else:
                sock.send(raw)
                answer = sock.recv(65535)
        parsed = dns.message.from_wire(answer)
        assert message.is_response(parsed)
        return parsed

    def at_once(
        self, city: City, questions: Sequence[tuple[str, str]], server: str = RESOLVER, port: int = PORT
    ) -> list[list[dns.message.Message]]:
        """All (name, type) of `questions`, asked by each of three sockets while the name server stands still; each
        one's answers in the order of the questions."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(self.socket(socket.SOCK_DGRAM, family)) for _ in range(3)]
            with city.standing_still():
                for sock in sockets:
                    sock.settimeout(SECONDS)
                    sock.connect((server, port))
                    for number, (name, kind) in enumerate(questions):
                        sock.send(dns.message.make_query(name, kind, use_edns=0, payload=4096, id=number).to_wire())
            found = []
            for sock in sockets:
                answers = sorted((dns.message.from_wire(sock.recv(65535)) for _ in questions), key=lambda each: each.id)
                assert [each.id for each in answers] == list(range(len(questions)))
                asked = [
                    (str(each.question[0].name), dns.rdatatype.to_text(each.question[0].rdtype)) for each in answers
                ]
                assert asked == [(f"{name}.", kind) for name, kind in questions]
                found.append(answers)
        return found

    def ask(self, name: str, kind: str = "A", **options: Any) -> list[str] | str:
        """The records' texts, or the error's name."""
        parsed = self.query(name, kind, **options)
        if parsed.rcode():
            return dns.rcode.to_text(parsed.rcode())
        return [item.to_text() for rrset in parsed.answer for item in rrset]


class Container(Asking):
    """A namespace at 10.1.0.`last` behind the host, and its file among the attachments."""

    def __init__(self, city: City, name: str, last: int, **more: Any) -> None:
        self.city, self.space = city, city.make()
        self.address = f"10.1.0.{last}"
        host = city.host
        host.run(["ip", "link", "add", f"v{last}", "type", "veth", "peer", "name", "eth0", "netns", self.space.path])
        host.run(["ip", "link", "set", f"v{last}", "master", "br0", "up"])
        self.space.run(["ip", "link", "set", "lo", "up"])
        self.space.run(["ip", "addr", "add", f"{self.address}/24", "dev", "eth0"])
        self.space.run(["ip", "link", "set", "eth0", "up"])
        self.space.run(["ip", "route", "add", "default", "via", "10.1.0.1"])
        fields = {
            "netns": self.space.path,
            "port": PORT,
            "names": (name,),
            "addresses": (Address.parse(self.address),),
            "gateways": (Address.parse("10.1.0.1"),),
            **more,
        }
        network = str(fields.pop("network", "mynet"))
        owner = Owner(network, f"id-{name}", "eth0")
        self.attachment = Attachment(owner, sandbox_of(self.space.namespace()), **fields)
        self.key = city.store.put(self.attachment)
        city.control(f"sync {self.key}")

    def change(self, **fields: Any) -> None:
        self.attachment = self.attachment.replace(**fields)
        self.city.store.put(self.attachment)
        self.city.control(f"sync {self.key}")


class City:
    """The host (192.0.2.1 outside, 10.1.0.1 inside), the outside (192.0.2.2 and more), the name server."""

    def __init__(self, netns: Callable[[], Any], directory: Path) -> None:
        self.make = netns
        self.directory = directory
        self.host, self.outside = netns(), netns()
        self.host.run(["ip", "link", "set", "lo", "up"])
        self.host.run(["ip", "link", "add", "br0", "type", "bridge"])
        self.host.run(["ip", "addr", "add", "10.1.0.1/24", "dev", "br0"])
        self.host.run(["ip", "link", "set", "br0", "up"])
        self.host.run(["ip", "link", "add", "wan", "type", "veth", "peer", "name", "lan", "netns", self.outside.path])
        self.host.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "wan"])
        self.host.run(["ip", "link", "set", "wan", "up"])
        for last in (2, 3, 4):
            self.outside.run(["ip", "addr", "add", f"192.0.2.{last}/24", "dev", "lan"])
        self.outside.run(["ip", "link", "set", "lan", "up"])
        self.outside.run(["ip", "route", "add", "10.1.0.0/24", "via", "192.0.2.1"])
        self.host.namespace().write_sysctl("net/ipv4/ip_forward", "1")
        self.resolv_conf = directory / "resolv.conf"
        self.resolv_conf.write_text("nameserver 192.0.2.2\n")
        self.process = self.start()
        self.run_dir = str(self.process.run_dir)
        self.store = Attachments(self.run_dir)
        self.upstreams: list[Upstream] = []

    def start(self, *options: str) -> EngineProcess:
        return EngineProcess(
            self.directory / "dns",
            PROGRAM,
            ("/usr/bin/nsenter", f"--net={self.host.path}", "--"),
            ("--resolv-conf", str(self.resolv_conf), *options),
        )

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """The name server does nothing meanwhile."""
        child = self.process.process
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        try:
            yield
        finally:
            child.send_signal(signal.SIGCONT)

    def upstream(self, last: int = 2) -> Upstream:
        self.upstreams.append(Upstream(self.outside, f"192.0.2.{last}", last))
        return self.upstreams[-1]

    def control(self, line: str) -> dict[str, Any]:
        """One request on the control socket."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(SECONDS)
            sock.connect(f"{self.run_dir}/dns.sock")
            sock.sendall(line.encode() + b"\n")
            with sock.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline())
        return answer

    def eventually(self, holds: Callable[[], bool], seconds: float = SECONDS) -> bool:
        """Whether it comes true in time; polls, as nothing tells."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                return False
            threading.Event().wait(0.02)
        return True

    def close(self) -> None:
        self.process.kill()
        for each in self.upstreams:
            each.close()
