"""Which lists `pynet gc` can keep others from attaching to, and what may go where it cannot."""

from __future__ import annotations

import json
import threading
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

import pytest

from netd.networks.conflist import Network, read
from netd.networks.leftovers import Terms, guard, may_go
from netd.networks.places import Places
from pycni.firewall.facts import Owner

BRIDGE: dict[str, Any] = {"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}
OWNER = Owner("net", "c1", "eth0")


def network(root: Path, *plugins: dict[str, Any], version: str = "1.0.0") -> Network:
    given = [json.loads(json.dumps(each)) for each in plugins]
    for each in given:
        if "ipam" in each:
            each["ipam"].setdefault("dataDir", str(root / "leases"))
    value = {"cniVersion": version, "name": "net", "plugins": given}
    path = root / "net.conflist"
    path.write_text(json.dumps(value))
    return read(value, str(path))


def places(root: Path) -> Places:
    return Places(lease_dir=str(root / "leases"), run_dir=str(root / "run"), cache_dir=str(root / "cni"))


@pytest.mark.parametrize("plugins", [(BRIDGE,), (BRIDGE, {"type": "portmap"}, {"type": "theirs"})])
def test_the_lock_of_the_leases_keeps_everybody_out(tmp_path: Path, plugins: tuple[dict[str, Any], ...]) -> None:
    lock = tmp_path / "leases/net/lock"
    with guard(network(tmp_path, *plugins), places(tmp_path)) as locked:
        assert locked is not None
        with lock.open() as other, pytest.raises(BlockingIOError):
            flock(other, LOCK_EX | LOCK_NB)
    with lock.open() as other:
        flock(other, LOCK_EX | LOCK_NB)


def test_nobody_waits_longer_than_it_takes(tmp_path: Path) -> None:
    """Also when it fails."""
    net, entered = network(tmp_path, BRIDGE), threading.Event()

    def enter() -> None:
        with guard(net, places(tmp_path)):
            entered.set()

    thread = threading.Thread(target=enter)
    with pytest.raises(ZeroDivisionError), guard(net, places(tmp_path)):
        thread.start()
        raise ZeroDivisionError
    thread.join(20)
    assert entered.is_set()


@pytest.mark.parametrize(
    "plugins",
    [
        ({"type": "bridge"},),
        ({"type": "ptp", "ipam": {"type": "static"}},),
        ({"type": "macvlan", "ipam": {"type": "dhcp"}},),
        ({"type": "theirs", "ipam": {"type": "host-local"}},),
        (BRIDGE, {"type": "theirs", "ipam": {"type": "host-local"}}),
        ({"type": "theirs"}, BRIDGE),
        ({"type": "bridge", "ipam": []},),
        ({"type": "bridge", "ipam": {"type": "host-local", "dataDir": "/elsewhere"}}, {"type": "tuning", "ipam": {}}),
    ],
)
def test_what_has_no_such_lock_is_not_guarded(tmp_path: Path, plugins: tuple[dict[str, Any], ...]) -> None:
    path = tmp_path / "net.conflist"
    path.write_text(json.dumps({"name": "net", "plugins": plugins}))
    net = read(json.loads(path.read_text()), str(path))
    if plugins[0].get("ipam") and plugins[0]["type"] == "bridge" and isinstance(plugins[0]["ipam"], dict):
        # its leases are where nobody looks for them
        net = net.replace(data_dir="")
    with guard(net, places(tmp_path)) as locked:
        assert locked is None
    assert not (tmp_path / "leases").exists()


def test_a_list_that_is_gone_is_not_guarded(tmp_path: Path) -> None:
    net = network(tmp_path, BRIDGE)
    Path(net.file).unlink()
    with guard(net, places(tmp_path)) as locked:
        assert locked is None


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("dead", [True, False])
def test_what_may_go(guarded: bool, dead: bool) -> None:
    terms = Terms(frozenset(), frozenset(), lambda _owner: dead, 0.0)
    assert may_go(OWNER, terms, guarded) == (guarded or dead)
    assert may_go(None, terms, guarded) == guarded
    assert not may_go(OWNER, terms.replace(running=frozenset({"c1"})), guarded)
    # a lease in the old format names no interface
    assert not may_go(OWNER, terms.replace(attached=frozenset({("c1", "")})), guarded)
    assert may_go(OWNER, terms.replace(attached=frozenset({("c2", "")})), guarded) == (guarded or dead)
