"""The lists that `pynet create -d ipvlan` and `-d vlan` write carry traffic: with the host's real devices for facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("link_twins")

from link_twins import WiredMachine  # noqa: E402
from real_machine import ping  # noqa: E402

from netd.networks.host import describe  # noqa: E402
from netd.networks.plan import plan  # noqa: E402
from netd.networks.request import parse_request  # noqa: E402
from pycni.kernel.kinds import Vlan  # noqa: E402
from pycni.kernel.model import Route  # noqa: E402
from pycni.spec.address import Address, Prefix  # noqa: E402


@pytest.fixture
def machine(netns: Callable[[], Any], tmp_path: Path) -> Iterator[WiredMachine]:
    made = WiredMachine(netns, tmp_path)
    yield made
    made.close()


def container(machine: WiredMachine, driver: str, container_id: str, **flags: Any) -> Any:
    """A namespace attached to a network that was made with these flags."""
    kernel = machine.namespace
    links = kernel.links()
    held = [(link.index, address) for link in links for address in kernel.addresses(link.index)]
    facts = describe(links, held, kernel.routes(4, None), (), b"seed")
    request = parse_request("lan", driver=driver, **flags)
    value = plan(request, (), facts, created="", data_dir=str(machine.directory / "leases"))
    space = machine.make()
    config = {"cniVersion": value["cniVersion"], "name": "lan", **value["plugins"][0]}
    machine.ok(driver, "ADD", config, space.path, container_id=container_id)
    return space


def test_ipvlan(machine: WiredMachine) -> None:
    wanted = {"subnets": ["192.0.2.0/24"], "ip_ranges": ["192.0.2.64/26"], "gateways": ["192.0.2.2"]}
    one = container(machine, "ipvlan", "c1", options=["parent=wan"], **wanted)
    two = container(machine, "ipvlan", "c2", options=["parent=wan"], **wanted)
    assert ping(one, "192.0.2.2") and ping(machine.outside, "192.0.2.64") and ping(two, "192.0.2.64")


def test_ipvlan_of_layer_3(machine: WiredMachine) -> None:
    """Nobody asks who has its addresses: the world outside is told the way."""
    outside, parent = machine.outside.namespace(), machine.namespace.link("wan")
    lan = outside.link("lan")
    assert lan is not None and parent is not None
    one = container(machine, "ipvlan", "c1", options=["parent=wan", "mode=l3"], subnets=["10.7.0.0/24"])
    outside.configure(lan.index, (), [Route(Prefix.parse("10.7.0.0/24"), Address.parse("192.0.2.1"))])
    assert ping(one, "192.0.2.2") and ping(machine.outside, "10.7.0.2")


def test_vlan(machine: WiredMachine) -> None:
    outside = machine.outside.namespace()
    lan = outside.link("lan")
    assert lan is not None
    tagged = outside.virtual().create(Vlan(42), "lan.42", outside, lan.index)
    outside.configure(tagged.index, [Prefix.parse("10.7.0.1/24")], ())
    one = container(machine, "vlan", "c1", options=["parent=wan", "vlan=42"], subnets=["10.7.0.0/24"])
    assert ping(one, "10.7.0.1")
