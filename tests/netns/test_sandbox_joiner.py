"""`--network container:NAME`: the joiner's network outlives the processes of the container that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_town import NOTHING, Town, accepted, static

from netd.failure import Conflict, Failure, InvalidParameter
from netd.runtime.model import Endpoint, PortBinding

PUBLISHED = {"80/tcp": [PortBinding(host_port="8080")]}


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(netns, tmp_path)
    made.network("mynet", subnet="10.1.0.0/24")
    made.network("other", subnet="10.2.0.0/24")
    yield made
    made.close()


def test_a_joiner_survives_its_donors_restart(town: Town) -> None:
    donor = town.started("donor", "mynet", port_bindings=PUBLISHED)
    joiner = town.started("joiner", "container:donor")
    peer = town.started("peer", "mynet")
    joiner.serve()
    outside = town.serve_outside()
    assert peer.reaches("10.1.0.2")
    mac = joiner.run("cat", "/sys/class/net/eth0/address", check=False) or joiner.run("ip", "link", "show", "eth0")

    donor.stop()
    # the joiner goes on, under its address; names and ports were the donor's
    assert peer.reaches("10.1.0.2")
    assert joiner.reaches("192.0.2.2")
    assert accepted(outside) == "192.0.2.1"
    assert joiner.ask("peer", port=53) == ["10.1.0.3"]
    assert peer.ask("donor", port=53) == "SERVFAIL"
    assert donor.container.networks["mynet"].ip_address == ""
    assert donor.container.id not in town.ports.published

    donor.start()
    assert donor.netns == joiner.netns
    assert donor.interfaces() == joiner.interfaces() == {"eth0": ["10.1.0.2/24"]}
    assert (
        joiner.run("cat", "/sys/class/net/eth0/address", check=False) or joiner.run("ip", "link", "show", "eth0")
    ) == mac
    assert donor.container.networks["mynet"].ip_address == "10.1.0.2"
    assert peer.ask("donor", port=53) == ["10.1.0.2"]
    assert town.ports.published[donor.container.id].ipv4 is not None
    donor.serve(81)
    assert joiner.reaches("127.0.0.1", 81)
    assert peer.reaches("10.1.0.2", 81)


@pytest.mark.parametrize("last", ["donor", "joiner"])
def test_the_sandbox_ends_with_the_last_who_uses_it(town: Town, last: str) -> None:
    boxes = {"donor": town.started("donor", "mynet"), "joiner": town.started("joiner", "container:donor")}
    first = next(name for name in boxes if name != last)
    boxes[first].stop()
    assert boxes[last].interfaces() == {"eth0": ["10.1.0.2/24"]}
    assert town.left()["leases"] == ["mynet/10.1.0.2"]
    boxes[last].stop()
    town.settle()
    assert town.left() == NOTHING


def test_the_donor_may_be_removed_while_the_joiner_runs(town: Town) -> None:
    donor, joiner = town.started("donor", "mynet"), town.started("joiner", "container:donor")
    third = town.started("third", "container:joiner")
    donor.remove()
    assert third.interfaces() == joiner.interfaces() == {"eth0": ["10.1.0.2/24"]}
    joiner.stop()
    assert third.interfaces() == {"eth0": ["10.1.0.2/24"]}
    with pytest.raises(Failure, match=f"cannot join network of container {donor.container.id}: no such container"):
        joiner.start()
    third.stop()
    town.settle()
    assert town.left() == NOTHING


def test_what_was_changed_meanwhile_is_so_after_the_restart(town: Town) -> None:
    donor = town.started("donor", "mynet", networks={"mynet": Endpoint(), "other": static("10.2.0.9")})
    joiner = town.started("joiner", "container:donor")
    donor.stop()
    town.sandboxes.disconnect(donor.container, "mynet")
    town.sandboxes.connect(donor.container, "bridge", Endpoint())
    assert joiner.interfaces() == {"eth0": ["10.1.0.2/24"], "eth1": ["10.2.0.9/24"]}
    donor.start()
    assert joiner.interfaces() == {"eth0": ["172.17.0.2/16"], "eth1": ["10.2.0.9/24"]}
    assert joiner.default_route() == "172.17.0.1 dev eth0"
    # another address is another interface
    donor.stop()
    assert donor.container.networks["other"].ipam_config is not None
    donor.container.networks["other"].ipam_config.ipv4_address = "10.2.0.10"
    donor.start()
    assert joiner.interfaces() == {"eth0": ["172.17.0.2/16"], "eth1": ["10.2.0.10/24"]}


def test_a_start_that_fails_leaves_the_joiner_in_peace(town: Town) -> None:
    donor, joiner = town.started("donor", "mynet", port_bindings=PUBLISHED), town.started("joiner", "container:donor")
    donor.stop()
    town.sandboxes.connect(donor.container, "other", Endpoint())
    town.ports.fails = "driver failed programming external connectivity"
    with pytest.raises(Failure, match="driver failed"):
        donor.start()
    assert joiner.interfaces() == {"eth0": ["10.1.0.2/24"]}
    assert town.left()["leases"] == ["mynet/10.1.0.2"]
    assert (donor.container.sandbox.key, donor.container.networks["other"].ip_address) == ("", "")
    town.ports.fails = ""
    donor.start()
    assert joiner.interfaces() == {"eth0": ["10.1.0.2/24"], "eth1": ["10.2.0.2/24"]}


def test_whom_one_can_join(town: Town) -> None:
    donor = town.create("donor", "mynet")
    joiner = town.create("joiner", "container:donor")
    with pytest.raises(Conflict, match=r"cannot join network of a non running container: .* \(donor\)"):
        joiner.start()
    donor.container.state.status = "restarting"
    with pytest.raises(Conflict, match="while it is restarting"):
        joiner.start()
    with pytest.raises(Failure, match="cannot join network of container nobody: no such container"):
        town.create("late", "container:nobody").start()
    with pytest.raises(InvalidParameter, match="cannot join its own network"):
        town.create("self", "container:self")
    assert town.left() == NOTHING


def test_a_joiner_cannot_be_connected(town: Town) -> None:
    town.started("donor", "mynet")
    joiner = town.started("joiner", "container:donor")
    with pytest.raises(InvalidParameter, match="sharing network namespace with another container"):
        town.sandboxes.connect(joiner.container, "other", Endpoint())
