"""SCTP through published ports, with real associations: ports of the bundled runtime, and the plugins' chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ports_town
import pytest
from firewall_spaces import Space
from firewall_town import HOST_OUTSIDE, HOST_OUTSIDE_6, OUTSIDE, OUTSIDE_6
from ports_town import PortsTown, container
from real_machine import Chain, RealMachine
from sctp_talk import SILENCE, ask, bind, load_modules, serving

BACKENDS = ("iptables", "nftables")
PORT = 38412

FROM_EVERYWHERE = [
    ("outside", HOST_OUTSIDE, OUTSIDE),
    ("outside", HOST_OUTSIDE_6, OUTSIDE_6),
    ("host", HOST_OUTSIDE, HOST_OUTSIDE),
    ("host", HOST_OUTSIDE_6, HOST_OUTSIDE_6),
    ("host", "127.0.0.1", "10.1.2.1"),
    ("b", "10.1.2.1", "10.1.2.1"),
    ("b", "fd00:2::1", "fd00:2::1"),
    ("c", HOST_OUTSIDE, "10.1.3.2"),
]
"""(who, to which address of the host, which client address the container sees)."""


@pytest.fixture(autouse=True, scope="module")
def _modules() -> None:
    load_modules()


@pytest.fixture(params=BACKENDS, scope="module")
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortsTown]:
    """Each test leaves it as it found it."""
    with ports_town.built(tmp_path_factory.mktemp("town"), request.param) as there:
        yield there


def _space(there: PortsTown, name: str) -> Space:
    found = getattr(there.town, name)
    assert isinstance(found, Space)
    return found


def test_a_published_port_from_everywhere(there: PortsTown) -> None:
    town = there.town
    a = container("a", sctp38412="38412")
    there.ports.publish(a, there.gateways("a"))
    with serving(town.a, PORT):
        for who, address, seen in FROM_EVERYWHERE:
            assert ask(_space(there, who), address, PORT) == seen, f"from {who} to {address}"
        # what NAT does not take is held, and nobody serves it: refused, and not kept waiting
        assert ask(town.host, "::1", PORT) == "ECONNREFUSED"
        for address in ("0.0.0.0", "127.0.0.1", HOST_OUTSIDE, "::", HOST_OUTSIDE_6):
            assert bind(town.host, address, PORT) == "EADDRINUSE", address
            assert bind(town.host, address, PORT, shared=True) == "EADDRINUSE", address
        there.ports.unpublish(a)
        for who, address, _ in FROM_EVERYWHERE:
            assert ask(_space(there, who), address, PORT, SILENCE) == "ECONNREFUSED", f"from {who} to {address}"
    assert bind(town.host, "0.0.0.0", PORT) == bind(town.host, "::", PORT) == ""
    assert there.warnings == []


def test_a_family_that_the_container_lacks_is_refused_at_once(there: PortsTown) -> None:
    town = there.town
    a = container("a", sctp38412="38412")
    there.ports.publish(a, there.gateways("a", families=(4,)))
    with serving(town.a, PORT):
        assert ask(town.outside, HOST_OUTSIDE, PORT) == OUTSIDE
        assert ask(town.outside, HOST_OUTSIDE_6, PORT) == "ECONNREFUSED"
    assert bind(town.host, "::", PORT) == "EADDRINUSE"
    there.ports.unpublish(a)


@pytest.fixture
def machine(netns: Callable[[], Any], tmp_path: Path) -> Iterator[RealMachine]:
    made = RealMachine(netns, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_chain_of_plugins(machine: RealMachine, netns: Callable[[], Any], backend: str) -> None:
    """bridge, portmap, firewall: to a published port, and out where the host drops what it is not told to forward."""
    ranges = [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]
    ipam = {"type": "host-local", "ranges": ranges, "dataDir": str(machine.directory / "leases")}
    port = {"hostPort": PORT, "containerPort": 3868, "protocol": "sctp"}
    keys = {"bridge": "br0", "isDefaultGateway": True, "hairpinMode": True, "ipMasq": True, "ipMasqBackend": backend}
    chain = Chain(
        machine,
        [
            {"type": "bridge", **keys, "ipam": ipam},
            {"type": "portmap", "backend": backend, "runtimeConfig": {"portMappings": [port]}},
            {"type": "firewall", "backend": backend},
        ],
    )
    machine.host.run(["iptables", "-P", "FORWARD", "DROP"])
    server = netns()
    chain.add(server.path)
    assert chain.check(server.path) == []
    with serving(machine.outside, 3868):
        assert ask(server, "192.0.2.2", 3868) == "192.0.2.1"
    machine.host.run(["iptables", "-P", "FORWARD", "ACCEPT"])
    with serving(server, 3868):
        assert ask(machine.outside, "192.0.2.1", PORT) == "192.0.2.2"
        assert ask(machine.outside, "fd99::1", PORT) == "fd99::2"
        assert ask(machine.host, "192.0.2.1", PORT)[0].isdigit()
        assert ask(machine.host, "127.0.0.1", PORT) == "10.1.2.1"
        assert ask(machine.outside, "192.0.2.1", 3868, SILENCE) == "ECONNREFUSED"
        chain.delete(server.path)
    for address in ("192.0.2.1", "fd99::1"):
        assert ask(machine.outside, address, PORT, SILENCE) == "ECONNREFUSED"
