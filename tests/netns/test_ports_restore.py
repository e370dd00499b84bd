"""The process that holds the ports dies, another takes over; and nothing slips in while ports are published."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from errno import EADDRINUSE
from pathlib import Path

import ports_town
import pytest
from firewall_town import BLOCKED, HOST_OUTSIDE, OUTSIDE, Town
from ports_town import PortsTown, connect, container

from netd.ports.gateways import Endpoint
from netd.runtime.model import Container
from pycni.firewall.firewall import IPTABLES, NFTABLES
from pycni.spec.address import Address

HOLDER = """
import sys
import ports_town
from netd.ports.publish import Ports
from netd.runtime.places import RuntimePlaces
town = object.__new__(ports_town.PortsTown)
town.backend = sys.argv[2]
a = ports_town.container("a", tcp80="8080", udp53="5353", tcp81="127.0.0.1 8081", tcp82="8082")
Ports(RuntimePlaces(run=sys.argv[1])).publish(a, town.gateways("a"))
print("published", flush=True)
input()
"""


@pytest.fixture(params=[IPTABLES, NFTABLES])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortsTown]:
    with ports_town.built(tmp_path, request.param) as there:
        yield there


def holder(there: PortsTown) -> subprocess.Popen[str]:
    """A process of its own that has published ports of container a."""
    here = Path(__file__).resolve()
    process = subprocess.Popen(
        ["nsenter", f"--net={there.town.host.path}", "--", sys.executable, "-c", HOLDER, str(there.run), there.backend],
        env={**os.environ, "PYTHONPATH": f"{here.parent}:{here.parents[2]}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "published\n"
    return process


def recorded() -> Container:
    """What the container's file says about it."""
    a = container("a")
    a.sandbox.ports = {
        "80/tcp": [ports_town.binding("0.0.0.0 8080"), ports_town.binding(":: 8080")],
        "53/udp": [ports_town.binding("0.0.0.0 5353"), ports_town.binding(":: 5353")],
        "81/tcp": [ports_town.binding("127.0.0.1 8081")],
        "82/tcp": [ports_town.binding("0.0.0.0 8082"), ports_town.binding(":: 8082")],
    }
    return a


def test_a_killed_holder_is_not_missed_and_a_new_one_takes_over(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 53, udp=True)
    town.serve(town.a, 80)
    town.serve(town.a, 81)
    with town.a.entered():
        server = socket.create_server(("", 82))
    with server, holder(there) as process:
        try:
            with connect(town.outside, HOST_OUTSIDE, 8082) as client, server.accept()[0] as inside:
                process.send_signal(signal.SIGKILL)
                process.wait()
                client.sendall(b"still here")
                assert inside.recv(10) == b"still here", "an established connection"
            with connect(town.outside, HOST_OUTSIDE, 8082), server.accept()[0] as inside:
                assert inside.getpeername()[0] == OUTSIDE, "a new one"
            assert town.ask(town.outside, HOST_OUTSIDE, 5353, udp=True) == OUTSIDE
            assert town.ask(town.host, "127.0.0.1", 8081) == "10.1.2.1"
            assert town.silent(town.host, "::1", 8080), "this one needs the proxy"
        finally:
            process.kill()
    # somebody flushed the rules meanwhile, too
    town.host.sh("nft flush ruleset" if there.backend == NFTABLES else "iptables -t nat -F; ip6tables -t nat -F")
    a = recorded()
    assert there.ports.restore(a, there.gateways("a")) == []
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE
    assert town.ask(town.outside, HOST_OUTSIDE, 5353, udp=True) == OUTSIDE
    assert town.ask(town.host, "::1", 8080) == "fd00:2::1"
    with town.host.entered(), socket.socket() as other, pytest.raises(OSError) as caught:
        other.bind(("0.0.0.0", 8080))
    assert caught.value.errno == EADDRINUSE
    del a.sandbox.ports["81/tcp"]
    assert there.ports.change(a, {}, {"81/tcp": None}) == a.sandbox.ports
    there.ports.unpublish(a)
    assert town.silent(town.outside, HOST_OUTSIDE, 8080)


def test_what_a_restart_finds_taken_is_told_and_led_on_all_the_same(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    with town.host.entered(), socket.create_server(("0.0.0.0", 8080)):
        problems = there.ports.restore(recorded(), there.gateways("a"))
        assert [text.partition(" by ")[0] for text in problems] == [
            "failed to bind host port 0.0.0.0:8080/tcp: address already in use"
        ]
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE


def test_repair_after_a_flush(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    a = container("a", tcp80="8080")
    there.ports.publish(a, there.gateways("a"))
    town.host.sh("nft flush ruleset; iptables -t nat -F; ip6tables -t nat -F")
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == "10.1.2.1", "through the proxy"
    assert there.ports.repair().problems == ()
    assert town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE


@pytest.mark.parametrize(
    "flush", ["nft flush ruleset", "nft delete table inet pynet_guard", "nft flush table inet pynet_guard"]
)
def test_what_somebody_flushes_comes_back_by_itself(there: PortsTown, flush: str) -> None:
    town = there.town
    town.serve(town.a, 80)
    town.outside.sh("ip route add 10.1.0.0/16 via 192.0.2.1")
    a = container("a", tcp80="8080")
    there.ports.shield(a, [Endpoint(Address.parse("10.1.2.2"), "br0")])
    there.ports.publish(a, there.gateways("a"))
    there.ports.watch()
    for _ in range(2):
        assert town.silent(town.outside, "10.1.2.2", 80)
        town.host.sh(flush)
        began = time.monotonic()
        assert town.ask(town.outside, "10.1.2.2", 80) == OUTSIDE, "the shield is gone"
        while not (town.silent(town.outside, "10.1.2.2", 80) and town.ask(town.outside, HOST_OUTSIDE, 8080) == OUTSIDE):
            assert time.monotonic() - began < 2.0 + BLOCKED
    assert [text for text in there.warnings if "somebody else removed" in text]


def test_a_container_that_starts_after_a_flush_does_not_hide_the_others(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 80)
    town.outside.sh("ip route add 10.1.0.0/16 via 192.0.2.1")
    a, b = container("a"), container("b")
    there.ports.shield(a, [Endpoint(Address.parse("10.1.2.2"), "br0")])
    town.host.sh("nft flush ruleset")
    there.ports.shield(b, [Endpoint(Address.parse("10.1.2.3"), "br0")])
    assert there.ports.repair().lost
    assert town.silent(town.outside, "10.1.2.2", 80)
    there.ports.unpublish(a)
    town.host.sh("nft flush ruleset")
    there.ports.repair()
    assert town.ask(town.outside, "10.1.2.2", 80) == OUTSIDE, "it is gone, and so is its shield"


class _Hammer:
    """Connects from outside, again and again, and notes what the container saw of whom."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._ended = threading.Event()
        self.seen: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError), connect(self._town.outside, HOST_OUTSIDE, 8080) as client:
                self.seen.append(client.recv(100).decode())

    def __enter__(self) -> _Hammer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def test_nothing_slips_in_between(there: PortsTown) -> None:
    """S18: whoever gets through is led by the firewall, so the container sees its own address."""
    town = there.town
    town.serve(town.a, 80)
    a = container("a", tcp80="8080")
    with _Hammer(town) as hammer:
        for _ in range(20):
            before = len(hammer.seen)
            there.ports.publish(a, there.gateways("a"))
            ports_town.until(lambda before=before: len(hammer.seen) > before, "somebody gets through")  # type: ignore[misc]
            there.ports.unpublish(a)
    assert set(hammer.seen) <= {OUTSIDE, ""}, "never the host's address, which the proxy would show"


def test_no_datagram_slips_in_between(there: PortsTown) -> None:
    town = there.town
    town.serve(town.a, 53, udp=True)
    a = container("a", udp53="8080")
    with connect(town.outside, HOST_OUTSIDE, 8080, socket.SOCK_DGRAM) as client:
        client.settimeout(0.02)
        seen = set()
        for _ in range(10):
            with contextlib.suppress(OSError):
                client.send(b"?")
                client.recv(100)
            publishing = threading.Thread(target=there.ports.publish, args=(a, there.gateways("a")))
            publishing.start()
            while publishing.is_alive() or not seen:
                with contextlib.suppress(OSError):
                    client.send(b"?")
                    seen.add(client.recv(100).decode())
            publishing.join()
            there.ports.unpublish(a)
        assert seen == {OUTSIDE}
