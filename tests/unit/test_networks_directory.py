"""Files of the configuration directory, and the removal of a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from network_host import FakeHost

from netd.networks import directory
from netd.networks.errors import Ambiguous, InUse, NameTaken, NotFound, NotOurs, RemovalFailed
from netd.networks.manage import create, remove, unused
from netd.networks.places import Places, from_environment
from netd.networks.request import parse_request
from netd.networks.usage import attachments

NOW = "2026-01-02T03:04:05Z"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(
        netconf_dir=str(tmp_path / "net.d"),
        cache_dir=str(tmp_path / "cni"),
        lease_dir=str(tmp_path / "leases"),
        run_dir=str(tmp_path / "run"),
    )


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def make(places: Places, host: FakeHost, name: str = "mynet", **flags: Any) -> dict[str, Any]:
    return create(parse_request(name, **flags), places, host, NOW)


def lease(places: Places, network: str, address: str, container: str = "c1", ifname: str = "eth0") -> Path:
    path = Path(places.lease_dir, network, address)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{container}\r\n{ifname}".encode())
    return path


def cache(places: Places, network: str, container: str, netns: str, address: str = "10.208.0.9/24") -> Path:
    path = Path(places.cache_dir, "results", f"{network}-{container}-eth0")
    path.parent.mkdir(parents=True, exist_ok=True)
    interfaces = [{"name": "br0"}, {"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": netns}]
    result = {"cniVersion": "1.0.0", "interfaces": interfaces, "ips": [{"address": address, "interface": 1}]}
    entry = {"kind": "cniCacheV1", "containerId": container, "ifName": "eth0", "networkName": network}
    path.write_text(json.dumps({**entry, "netns": netns, "result": result}))
    return path


def test_the_file_is_complete_readable_and_alone(places: Places, host: FakeHost) -> None:
    value = make(places, host)
    path = Path(places.netconf_dir, "mynet.conflist")
    assert json.loads(path.read_text()) == value
    assert path.stat().st_mode & 0o777 == 0o644
    assert sorted(os.listdir(places.netconf_dir)) == [".pynet.lock", "mynet.conflist"]
    assert value["plugins"][0]["ipam"]["dataDir"] == places.lease_dir


def test_dry_run_touches_nothing(places: Places, host: FakeHost) -> None:
    assert create(parse_request("mynet"), places, host, NOW, dry_run=True)["name"] == "mynet"
    assert not os.path.exists(places.netconf_dir)


def test_a_file_in_the_way_is_never_overwritten(places: Places, host: FakeHost) -> None:
    os.makedirs(places.netconf_dir)
    path = Path(places.netconf_dir, "mynet.conflist")
    path.write_text("not ours")
    with pytest.raises(NameTaken, match=r"mynet.conflist"):
        make(places, host)
    assert path.read_text() == "not ours"
    assert sorted(os.listdir(places.netconf_dir)) == [".pynet.lock", "mynet.conflist"]


def test_what_a_killed_create_left_is_swept(places: Places, host: FakeHost) -> None:
    os.makedirs(places.netconf_dir)
    Path(places.netconf_dir, f".mynet.1{directory.DRAFT}").write_text("{")
    make(places, host)
    assert sorted(os.listdir(places.netconf_dir)) == [".pynet.lock", "mynet.conflist"]


RACER = """
import sys
import threading
from netd.networks import directory
from netd.networks.errors import NameTaken
sys.stdin.read(1)
try:
    directory.add(sys.argv[1], {"name": "mynet", "plugins": [{"type": "bridge", "by": sys.argv[2]}]})
except NameTaken:
    sys.exit(3)
"""


def test_of_many_creating_one_file_exactly_one_wins(tmp_path: Path) -> None:
    """Without the lock, as against a program that does not take it."""
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(tmp_path), str(number)], stdin=subprocess.PIPE)
        for number in range(6)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
    codes = [racer.wait(30) for racer in racers]
    assert sorted(codes) == [0, 3, 3, 3, 3, 3]
    winner = json.loads((tmp_path / "mynet.conflist").read_text())["plugins"][0]["by"]
    assert codes[int(winner)] == 0
    assert os.listdir(tmp_path) == ["mynet.conflist"]


def test_every_kind_of_list_is_seen(places: Places) -> None:
    top = Path(places.netconf_dir)
    (top / "default").mkdir(parents=True)
    bridge = {"type": "bridge", "bridge": "br0", "ipam": {"type": "host-local", "subnet": "10.3.0.0/24"}}
    (top / "10-plain.conf").write_text(json.dumps({"name": "plain", "cniVersion": "0.3.1", **bridge}))
    (top / "nerdctl-bridge.conflist").write_text(
        json.dumps({"name": "bridge", "nerdctlID": "17", "nerdctlLabels": {"a": "b"}, "plugins": [bridge]})
    )
    podman = {"name": "pods", "args": {"podman_options": {"isolate": "true"}}, "plugins": [{**bridge, "BRIDGE": "x"}]}
    (top / "87-podman.conflist").write_text(json.dumps(podman))
    (top / "default" / "nerdctl-inner.conflist").write_text(json.dumps({"name": "inner", "plugins": [bridge]}))
    (top / "broken.conflist").write_text("{")
    (top / "empty.conflist").write_text('{"name": "empty", "plugins": []}')
    (top / "climb.conflist").write_text('{"name": "../climb", "plugins": [{"type": "bridge"}]}')
    (top / "README").write_text("not a list")
    found = directory.load(places.netconf_dir)
    assert [(item.name, item.owner) for item in found.networks] == [
        ("plain", "other"),
        ("pods", "podman"),
        ("bridge", "nerdctl"),
        ("inner", "other"),
    ]
    assert {str(subnet.prefix) for item in found.networks for subnet in item.subnets} == {"10.3.0.0/24"}
    reasons = {os.path.basename(item.file): item.reason for item in found.unreadable}
    assert reasons["broken.conflist"].startswith("not JSON")
    assert reasons["empty.conflist"] == "has no plugins"
    assert reasons["climb.conflist"] == "'../climb' is no network name"


def test_what_is_no_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.conflist")
    os.symlink("/dev/zero", tmp_path / "endless.conflist")
    os.mkdir(tmp_path / "inner")
    os.mkfifo(tmp_path / "inner" / "fifo.conflist")
    found: list[directory.Inventory] = []
    # a daemon's thread: one that waits for ever does not keep the tests from ending
    reader = threading.Thread(target=lambda: found.append(directory.load(str(tmp_path))), daemon=True)
    reader.start()
    reader.join(10)
    reasons = [(os.path.relpath(each.file, tmp_path), each.reason) for each in found[0].unreadable]
    assert reasons == [(name, "not a file") for name in ("a.conflist", "endless.conflist", "inner/fifo.conflist")]


def test_networks_are_found_by_name_id_and_unique_prefix(places: Places, host: FakeHost) -> None:
    value = make(places, host)
    make(places, host, "other")
    inventory = directory.load(places.netconf_dir)
    for wanted in ("mynet", value["pynet"]["id"], value["pynet"]["id"][:12]):
        assert inventory.find(wanted).name == "mynet"
    with pytest.raises(NotFound, match=r"network nope not found"):
        inventory.find("nope")
    with pytest.raises(NotFound):
        inventory.find(value["pynet"]["id"][:2])  # too short to be meant as an id


def test_an_ambiguous_prefix_names_both(places: Places, host: FakeHost) -> None:
    make(places, host, "n7")
    first = directory.load(places.netconf_dir).networks[0]
    second = next(
        candidate for number in range(100000) if (candidate := first.replace(name=f"m{number}")).id[:3] == first.id[:3]
    )
    with pytest.raises(Ambiguous, match=f"fits n7 and {second.name}"):
        directory.Inventory((first, second)).find(first.id[:3])


def test_attachments_join_leases_and_cached_results(places: Places, host: FakeHost) -> None:
    make(places, host)
    lease(places, "mynet", "10.208.0.9", "c1")
    lease(places, "mynet", "10.208.0.10", "c2")
    Path(places.lease_dir, "mynet", "last_reserved_ip.0").write_text("10.208.0.10")
    cache(places, "mynet", "c1", "/proc/self/ns/net")
    cache(places, "mynet-two", "c9", "/proc/self/ns/net")
    network = directory.load(places.netconf_dir).find("mynet")
    first, second = attachments(network, places.cache_dir, places.lease_dir)
    assert (first.container_id, first.ifname, first.mac, first.netns) == (
        "c1",
        "eth0",
        "02:00:00:00:00:01",
        "/proc/self/ns/net",
    )
    assert [str(item) for item in first.addresses] == ["10.208.0.9/24"]
    assert (second.container_id, [str(item) for item in second.addresses]) == ("c2", ["10.208.0.10/24"])
    assert not first.is_gone and not second.is_gone


def test_removal_takes_everything(places: Places, host: FakeHost, tmp_path: Path) -> None:
    value = make(places, host)
    host.bridges.add(value["plugins"][0]["bridge"])
    cached = cache(places, "mynet", "gone", str(tmp_path / "no-such-netns"))
    other = cache(places, "mynet-two", "c9", "/proc/self/ns/net")
    lease(places, "mynet", "10.208.0.9", "gone")
    assert remove("mynet", places, host) == "mynet"
    assert os.listdir(places.netconf_dir) == [".pynet.lock"]
    assert host.bridges == set() and host.collected == ["mynet"]
    assert not cached.exists() and other.exists()
    assert not os.path.exists(os.path.join(places.lease_dir, "mynet"))
    with pytest.raises(NotFound):
        remove("mynet", places, host)


def test_a_network_in_use_stays_unless_forced(places: Places, host: FakeHost) -> None:
    make(places, host)
    lease(places, "mynet", "10.208.0.9", "c1")
    with pytest.raises(InUse, match=r"network mynet is in use by c1: remove the containers, or use --force"):
        remove("mynet", places, host)
    assert host.collected == [] and unused(places) == ()
    remove("mynet", places, host, force=True)
    assert directory.load(places.netconf_dir).networks == ()


def test_a_foreign_list_stays_unless_forced_and_keeps_its_bridge(places: Places, host: FakeHost) -> None:
    os.makedirs(places.netconf_dir)
    path = Path(places.netconf_dir, "lan.conflist")
    path.write_text(json.dumps({"name": "lan", "plugins": [{"type": "bridge", "bridge": "br-lan"}]}))
    host.bridges.add("br-lan")
    with pytest.raises(NotOurs, match=r"network lan was made by hand .*--force"):
        remove("lan", places, host)
    assert path.exists()
    remove("lan", places, host, force=True)
    assert not path.exists() and host.bridges == {"br-lan"}


def test_a_bridge_that_was_there_before_stays(places: Places, host: FakeHost) -> None:
    host.bridges.add("br0")
    make(places, host, bridge="br0")
    remove("mynet", places, host)
    assert host.bridges == {"br0"}


def test_a_failed_removal_is_hidden_from_clients_and_can_be_resumed(places: Places, host: FakeHost) -> None:
    make(places, host, bridge="br-stuck")
    host.failures = ["firewall: no tool"]
    lease_file = lease(places, "mynet", "10.208.0.9", "c1")
    with pytest.raises(RemovalFailed, match=r"firewall: no tool; bridge br-stuck: device is busy.*run pynet rm mynet"):
        remove("mynet", places, host, force=True)
    assert not lease_file.exists(), "later steps run in spite of earlier failures"
    inventory = directory.load(places.netconf_dir)
    assert inventory.networks == () and [item.name for item in inventory.retired] == ["mynet"]
    with pytest.raises(NameTaken, match=r"half removed: run pynet rm mynet first"):
        make(places, host)
    host.failures = []
    host.delete_device = lambda name, _kind: host.bridges.discard(name)  # type: ignore[method-assign]
    assert remove("mynet", places, host) == "mynet"
    assert os.listdir(places.netconf_dir) == [".pynet.lock"]


def test_unused_are_ours_without_containers(places: Places, host: FakeHost, tmp_path: Path) -> None:
    for name in ("used", "idle", "stale"):
        make(places, host, name)
    lease(places, "used", "10.208.0.9")
    cache(places, "stale", "c1", str(tmp_path / "gone"))
    Path(places.netconf_dir, "hand.conflist").write_text('{"name": "hand", "plugins": [{"type": "bridge"}]}')
    assert [item.name for item in unused(places)] == ["idle", "stale"]


def test_places_come_from_the_environment() -> None:
    assert from_environment({}) == Places()
    environ = {"NETCONFPATH": "/n", "CNI_PATH": "/a:/b", "PYNET_RUN_DIR": "/r", "PYNET_LEASE_DIR": ""}
    seen = from_environment(environ)
    assert (seen.netconf_dir, seen.cni_path, seen.run_dir, seen.lease_dir) == (
        "/n",
        ("/a", "/b"),
        "/r",
        "/var/lib/cni/networks",
    )
    assert from_environment({**environ, "PYNET_NETCONF_DIR": "/p", "PYNET_CNI_PATH": "/c"}).netconf_dir == "/p"
