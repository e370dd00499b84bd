"""A new daemon knows the containers of the one before; after a reboot nothing of them is in the way."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_town import NOTHING, Box, Ledger, Town, static

from netd.networks.directory import load
from netd.runtime.model import Endpoint, PortBinding, decode, encode
from netd.sandbox import namespaces
from pycni.cache import Attachment, CacheEntry, ResultCache

PUBLISHED = {"80/tcp": [PortBinding(host_port="8080")]}


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(netns, tmp_path)
    made.network("mynet", subnet="10.1.0.0/24")
    made.network("other", subnet="10.2.0.0/24")
    yield made
    made.close()


def new_daemon(town: Town) -> None:
    """The old one is gone without a word; containers are read from disk."""
    town.sandboxes.shut_down()
    for box in town.boxes.values():
        box.container = decode(encode(box.container))
    town.ports = Ledger()
    town.sandboxes = town.make_sandboxes()
    town.sandboxes.restore([box.container for box in town.boxes.values()])


def died(box: Box) -> None:
    """While no daemon looked."""
    box.kill()
    box.container.state.status = "exited"


def test_everything_is_as_before(town: Town) -> None:
    web = town.started("web", "mynet", port_bindings=PUBLISHED)
    joiner = town.started("joiner", "container:web")
    peer = town.started("peer", "mynet", networks={"mynet": Endpoint(aliases=["www"])})
    before = town.left()
    new_daemon(town)
    now = town.left()
    assert {**now, "ports": before["ports"]} == before
    assert town.log == []
    assert town.ports.published[web.container.id].ipv4 is not None
    assert [str(each.address) for each in town.ports.shields[web.container.id]] == ["10.1.0.2"]
    assert web.ask("www", port=53) == ["10.1.0.3"]
    town.sandboxes.connect(web.container, "other", Endpoint())
    assert joiner.interfaces() == {"eth0": ["10.1.0.2/24"], "eth1": ["10.2.0.2/24"]}
    web.stop()
    assert joiner.interfaces() == {"eth0": ["10.1.0.2/24"], "eth1": ["10.2.0.2/24"]}
    joiner.stop()
    peer.stop()
    town.settle()
    assert town.left() == NOTHING


def look(town: Town, box: Box) -> object:
    left = town.left()
    return box.interfaces(), box.default_route(), box.text("hosts"), left["leases"], left["names"], left["results"]


def test_a_connection_that_was_cut_short_is_taken_back(town: Town) -> None:
    """The daemon died between the plugins' answer and the container's record."""
    web, peer = town.started("web", "mynet"), town.started("peer", "other")
    before, record = look(town, web), encode(web.container)
    town.sandboxes.connect(web.container, "other", Endpoint(gw_priority=1))
    assert web.default_route() == "10.2.0.1 dev eth1"
    web.container = decode(record)
    new_daemon(town)
    town.settle()
    town.sandboxes.restore([box.container for box in town.boxes.values()])
    assert look(town, web) == before and town.log == []
    assert peer.ask("web", port=53) != ["10.2.0.3"]
    town.sandboxes.connect(web.container, "other", Endpoint())
    assert web.interfaces() == {"eth0": ["10.1.0.2/24"], "eth1": ["10.2.0.3/24"]}


def test_a_disconnection_that_was_cut_short_is_taken_back_or_done(town: Town) -> None:
    web = town.started("web", "mynet", networks={"mynet": Endpoint(), "other": Endpoint()})
    before, record = look(town, web), encode(web.container)
    # nothing but routes and names had been changed
    web.run("ip", "route", "del", "default")
    town.control(f"sync {town.left()['names'][0]}")
    new_daemon(town)
    assert look(town, web) == before
    # the interface had gone already
    town.sandboxes.disconnect(web.container, "other")
    after = look(town, web)
    web.container = decode(record)
    new_daemon(town)
    assert look(town, web) == after and town.log == []
    assert web.container.networks["other"].ip_address == ""
    town.sandboxes.disconnect(web.container, "other")
    town.sandboxes.connect(web.container, "other", Endpoint())
    assert look(town, web) == before


def test_what_ended_while_no_daemon_looked_is_taken_away(town: Town) -> None:
    web, peer = town.started("web", "mynet"), town.started("peer", "mynet")
    joined = town.started("joined", "mynet")
    joiner = town.started("joiner", "container:joined")
    died(web)
    died(joined)
    new_daemon(town)
    for gone in (web, joined):
        assert peer.ask(gone.container.name, port=53) == "SERVFAIL"
        assert gone.container.networks["mynet"].ip_address == ""
        assert gone.container.id not in town.ports.published
    assert joiner.interfaces() == {"eth0": ["10.1.0.4/24"]}, "somebody still lives there"
    assert town.started("new", "mynet").address("mynet") == "10.1.0.2"
    town.boxes.pop(joined.container.id)
    new_daemon(town)
    assert joiner.interfaces() == {"eth0": ["10.1.0.4/24"]}, "found by the process, now that its donor is gone"
    joiner.stop()
    assert "mynet/10.1.0.4" not in town.left()["leases"]


def test_a_joiner_of_a_removed_container_without_networks(town: Town) -> None:
    donor, joiner = town.started("donor", "none"), town.started("joiner", "container:donor")
    donor.kill()
    town.boxes.pop(donor.container.id)
    new_daemon(town)
    assert joiner.interfaces() == {}
    joiner.stop()
    assert town.left() == NOTHING


def test_a_removed_containers_sandbox_goes_too(town: Town) -> None:
    web = town.started("web", "mynet")
    web.kill()
    town.boxes.clear()
    new_daemon(town)
    town.settle()
    assert town.left() == NOTHING


def test_after_a_reboot_leases_are_free_and_containers_start(town: Town) -> None:
    web = town.started("web", "mynet", networks={"mynet": static("10.1.0.9")})
    peer = town.started("peer", "mynet")
    for box in (web, peer):
        box.kill()
    # the kernel forgets links and namespaces, and /run is empty
    for name in Path(town.runtime.namespaces).iterdir():
        namespaces.remove(str(name))
    shutil.rmtree(town.runtime.run)
    shutil.rmtree(f"{town.run_dir}/dns")
    for box in (web, peer):
        box.container.state.status = "exited"
    assert town.left()["leases"] != []
    new_daemon(town)
    assert town.left() == NOTHING
    assert web.start().address("mynet") == "10.1.0.9"
    assert peer.start().address("mynet") == "10.1.0.2"


def test_an_attachment_that_was_cut_short_is_taken_back(town: Town) -> None:
    web = town.create("web", "mynet")
    folder = Path(town.places.lease_dir) / "mynet"
    folder.mkdir(parents=True)
    (folder / "10.1.0.2").write_text(f"{web.container.id}\r\neth0")
    (folder / "10.1.0.3").write_text("somebody-else\r\neth0")
    (folder / "10.1.0.4").write_text("before-this-boot\r\neth0")
    os.utime(folder / "10.1.0.4", (1000, 1000))
    namespaces.create(f"{town.runtime.namespaces}/{web.container.short_id}")
    new_daemon(town)
    assert town.left() == {**NOTHING, "leases": ["mynet/10.1.0.3"]}
    assert web.start().address("mynet") == "10.1.0.2"


def test_what_other_engines_containers_held_when_they_vanished_is_given_back(town: Town) -> None:
    (network,) = (each for each in load(town.places.netconf_dir).networks if each.name == "mynet")
    config = Path(network.file).read_bytes()
    folder = Path(town.places.lease_dir) / "mynet"
    folder.mkdir(parents=True)
    alive = town.started("alive", "none")
    cache = ResultCache(town.places.cache_dir)
    for name, netns, last, interface in (
        ("gone", "/proc/4194305/ns/net", 3, "eth1"),
        ("silent", alive.netns, 4, ""),  # a result that names no device of its container
        ("alive", alive.netns, 5, "lo"),
        # paths that came again after a reboot
        ("another", alive.netns, 6, "eth1"),
        ("hosts", "/proc/thread-self/ns/net", 7, "lo"),
    ):
        (folder / f"10.1.0.{last}").write_text(f"{name}\r\neth1")
        interfaces = [{"name": interface, "mac": "0a:00:00:00:00:07", "sandbox": netns}] if interface else []
        result = {"cniVersion": "1.0.0", "interfaces": interfaces, "ips": [{"address": f"10.1.0.{last}/24"}]}
        cache.write(CacheEntry("mynet", Attachment(name, netns, "eth1"), config, result))
    new_daemon(town)
    left = town.left()
    assert left["leases"] == ["mynet/10.1.0.4", "mynet/10.1.0.5"]
    assert left["results"] == ["mynet-alive-eth1", "mynet-silent-eth1"]
    assert town.log == []


def test_leases_that_a_power_cut_emptied_are_given_back(town: Town) -> None:
    """Without a word: no plugin can be asked to give back what nobody holds."""
    web = town.started("web", "mynet")
    folder = Path(town.places.lease_dir) / "mynet"
    cut = {3: b"", 4: bytes(64), 5: b"cut-short", 6: b"cut-short\r\net", 7: b"cut\0\0\r\neth0", 8: b"cut-short\0\0"}
    for last, content in cut.items():
        (folder / f"10.1.0.{last}").write_bytes(content)
        os.utime(folder / f"10.1.0.{last}", (1000, 1000))
    (folder / "10.1.0.9").write_bytes(b"young\0\0\r\neth0")
    (folder / "last_reserved_ip.0").write_bytes(b"10.1.")
    new_daemon(town)
    assert town.log == []
    assert town.left()["leases"] == ["mynet/10.1.0.2", "mynet/10.1.0.9"]
    assert town.started("next", "mynet").address("mynet") == "10.1.0.3"
    assert web.interfaces() == {"eth0": ["10.1.0.2/24"]}


def test_results_that_a_power_cut_emptied_are_removed(town: Town) -> None:
    folder = Path(town.places.cache_dir) / "results"
    folder.mkdir(parents=True, exist_ok=True)
    before = time.time() - 60
    whole = b'{"kind":"cniCacheV1","containerId":"a","ifName":"eth0","networkName":"net"}'
    contents = {
        "net-a-eth0": b"",
        "net-b-eth0": bytes(4096),
        ".new-0123": b"{",
        "net-c-eth0": b"not ours",
        "net-cut-eth0": whole[:40],
        "net-zeros-eth0": whole[:40] + bytes(30),
        "net-tail-eth0": bytes(40) + whole[40:],
        "net-whole-eth0": whole,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1000, 1000) if name[4:5] in "ctzw" else (before, before))
    (folder / "net-d-eth0").touch()  # somebody is about to write it
    (folder / "net-e-eth0").write_bytes(whole[:40])
    os.utime(folder / "net-e-eth0", (before, before))
    new_daemon(town)
    assert sorted(os.listdir(folder)) == ["net-c-eth0", "net-d-eth0", "net-e-eth0", "net-whole-eth0"]
    assert town.log == []
