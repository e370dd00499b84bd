"""`pynet gc --force`, again and again, while containers come and go: nothing of who lives is ever lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest
from crash_host import BACKENDS, NETWORK, Config, Container, CrashHost, chain
from lease_servers import reference_binary

from netd.networks import gc_run, usage
from netd.networks.conflist import Network
from netd.networks.gc import Engines
from netd.networks.host import LiveHost
from netd.networks.leftovers import Again, Leftovers, Terms
from netd.networks.places import Places
from pycni.cache import Attachment, CacheEntry, ResultCache

ROOT = Path(__file__).resolve().parents[2]
WAYS = ("engine", "process")
TURNS = 3
"""How often each of the containers comes."""


class Gc:
    """The network as a list of the host, and `pynet gc --force` until the block ends."""

    def __init__(self, host: CrashHost, plugins: list[Config]) -> None:
        self.host, self.plugins = host, plugins
        self.netconf, self.cache = host.directory / "net.d", host.directory / "cni"
        self.netconf.mkdir()
        self.list = json.dumps({"cniVersion": "1.1.0", "name": NETWORK, "plugins": plugins})
        (self.netconf / "net.conflist").write_text(self.list)
        self.told: list[dict[str, Any]] = []
        self.runs = 0
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._loop)

    @property
    def places(self) -> Places:
        return Places(
            netconf_dir=str(self.netconf),
            run_dir=str(self.host.run_dir),
            cache_dir=str(self.cache),
            lease_dir=str(self.host.leases),
        )

    def once(self) -> list[dict[str, Any]]:
        """What it gave back."""
        names = {"NETCONF": self.netconf, "CACHE": self.cache, "LEASE": self.host.leases, "RUN": self.host.run_dir}
        environment = {
            **{f"PYNET_{name}_DIR": str(path) for name, path in names.items()},
            "PYNET_ROOT": str(self.host.directory / "root"),
            "PATH": "/nowhere:/usr/sbin:/sbin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "netd.cli.main", "gc", "--force", "--json"]
        with self.host.host.inside():
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr.decode()
        found: list[dict[str, Any]] = json.loads(stdout)
        return found

    def _loop(self) -> None:
        while not self._enough.is_set():
            self.told += self.once()
            self.runs += 1

    def __enter__(self) -> Gc:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def note(self, container: Container) -> None:
        """As libcni does when all plugins have succeeded."""
        attachment = Attachment(container.name, container.netns.path, "eth0")
        result = container.result or {}
        ResultCache(str(self.cache)).write(CacheEntry(NETWORK, attachment, self.list.encode(), result))

    def forget(self, container: Container) -> None:
        ResultCache(str(self.cache)).remove(NETWORK, Attachment(container.name, container.netns.path, "eth0"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[CrashHost]:
    with CrashHost(tmp_path / "crash") as host:
        yield host


class Meanwhile(LiveHost):
    """Does something at the moments that matter: after the survey, and when everything is counted again."""

    def __init__(self, places: Places) -> None:
        super().__init__(places)
        self.before: Callable[[], object] = lambda: None
        self.during: Callable[[], object] = lambda: None

    def free(self, network: Network, found: Leftovers, again: Again) -> list[str]:
        self.before()

        def counted() -> tuple[Iterable[usage.Attachment], Terms]:
            now = again()
            self.during()
            return now

        return super().free(network, found, counted)


def give_back(gc: Gc, live: Meanwhile, ask: Callable[[], Engines] = lambda: Engines({})) -> list[str]:
    """What a run of `pynet gc --force` in this process saw before; nothing failed."""
    with gc.host.host.inside():
        networks = gc_run.Collector(gc.places, str(gc.host.directory / "root"), live, ask)
        (found,) = networks.survey()
        assert networks.free(found) == [] == list(found.leftovers.failures)
        return [each.attachment.container_id for each in found.frees] + list(found.leftovers.things)


def network(host: CrashHost, backend: str, number: int) -> list[Config]:
    """Each container has ports of its own."""
    return chain(host, backend, "same-bridge", 20000 + 3 * number)


def live(gc: Gc, container: Container, number: int) -> None:
    """Comes, is complete, goes; stays the last time."""
    for turn in range(TURNS):
        via = WAYS[(number + turn) % 2]
        container.added(via)
        gc.note(container)
        assert container.check(via) == [], container.name
        if turn < TURNS - 1:
            container.deleted(WAYS[(number + turn + 1) % 2])
            gc.forget(container)


def lease_by_reference(host: CrashHost, config: Config, number: int) -> str:
    """Of the Go binary, for containers that nobody here knows; its file."""
    environment = {**host.environment("ADD", f"go{number}", "/nowhere", "process"), "PATH": "/nowhere"}
    stdin = json.dumps({"cniVersion": "1.1.0", "name": NETWORK, **config})
    done = subprocess.run(
        [reference_binary()], input=stdin, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    return str(json.loads(done.stdout)["ips"][0]["address"].split("/")[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_of_who_lives_is_lost(host: CrashHost, backend: str) -> None:
    containers = [Container(host, f"c{number}", network(host, backend, number)) for number in range(4)]
    lost, dead = (Container(host, name, network(host, backend, number)) for name, number in (("lost", 7), ("dead", 8)))
    gc = Gc(host, network(host, backend, 9))
    with host.engine() as engine:
        lost.added()
        for name in [each for each in os.listdir(host.leases / NETWORK) if each[0] in "1f"]:
            (host.leases / NETWORK / name).unlink()
        dead.added()
        gc.note(dead)
        dead.netns.close()
        with gc, ThreadPoolExecutor(len(containers) + 1) as pool:
            going = [pool.submit(live, gc, each, number) for number, each in enumerate(containers)]
            ours = [pool.submit(lease_by_reference, host, gc.plugins[0], number) for number in range(8)]
            leased = {each.result(120) for each in ours}
            for each in going:
                each.result(300)
        gc.told += gc.once()
        assert gc.runs >= 1
        kept = {name for name in os.listdir(host.leases / NETWORK) if name[0] == "1"}
        addresses = {ip["address"].split("/")[0] for each in containers for ip in (each.result or {})["ips"]}
        assert kept == leased | {each for each in addresses if "." in each}
        for each in containers:
            assert each.check() == [], each.name
        freed = [each["Reason"] for each in gc.told]
        assert any(each["Container"] == "dead" for each in gc.told) and any('"lost"' in each for each in freed)
        # between DEL and the end of its record somebody may look dead
        alive = [each for each in gc.told if each["Container"] not in ("dead", "")]
        assert {each["Reason"].split(" is ")[-1] for each in alive} <= {
            "another namespace by now, without its interface"
        }
        assert host.devices_in(lost.netns) == []
        for each in containers:
            each.deleted()
            gc.forget(each)
        engine.sync()


def waits_for(path: Path) -> bool:
    """Whether, within a minute, somebody waits for the lock."""
    inode, deadline = f":{path.stat().st_ino} ", time.monotonic() + 60
    while time.monotonic() < deadline:
        if any("-> FLOCK" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()):
            return True
    return False


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("moment", ["after the survey", "while it is freed"])
def test_who_attaches_meanwhile_keeps_all(
    host: CrashHost, backend: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody new, and somebody whose things were taken for left over; what is left over goes all the same."""
    monkeypatch.setattr(gc_run, "SETTLED", 0.0)
    new, again, lost = (
        Container(host, name, network(host, backend, number)) for number, name in enumerate(("new", "again", "lost"))
    )
    gc = Gc(host, network(host, backend, 9))
    for each in (again, lost):
        each.added("process")
    lock = host.leases / NETWORK / "lock"
    for name in [each for each in os.listdir(host.leases / NETWORK) if each[0] in "1f"]:
        (host.leases / NETWORK / name).unlink()

    def attach() -> None:
        again.deleted("process")
        again.added("process")
        new.added("process")

    live = Meanwhile(gc.places)
    threads = [threading.Thread(target=each.added, args=("process",)) for each in (new, again)]

    def begin() -> None:
        """They are on their way as far as the lock lets them."""
        for thread in threads:
            thread.start()
            assert waits_for(lock)

    if moment == "after the survey":
        live.before = attach
    else:
        live.before, live.during = lambda: again.deleted("process"), begin
    seen = give_back(gc, live)
    for thread in threads if moment == "while it is freed" else ():
        thread.join(60)
    assert any('"again"' in what for what in seen) and any('"lost"' in what for what in seen)
    assert new.check("process") == again.check("process") == []
    assert host.devices_in(lost.netns) == []
    for name, text in host.files().items():
        assert "lost" not in text, name
    for each in (new, again):
        each.deleted("process")
    assert host.files() == {}


def test_who_is_being_attached_without_a_lease_yet_is_spared(host: CrashHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """bridge makes the link first.  What was there long before is nobody's, what has come since is somebody's."""
    monkeypatch.setattr(gc_run, "SETTLED", 0.0)
    plugins = network(host, "nftables", 0)
    first = Container(host, "first", plugins).added("process")
    gc = Gc(host, plugins)
    begun = Container(host, "begun", network(host, "nftables", 1))
    lock = host.leases / NETWORK / "lock"
    thread = threading.Thread(target=begun.added, args=("process",))
    live = Meanwhile(gc.places)

    def begin() -> None:
        with lock.open() as other:
            flock(other, LOCK_EX)
            thread.start()
            assert waits_for(lock)

    live.before = begin
    (host.leases / NETWORK / "10.1.200.1").touch()
    assert give_back(gc, live) == ["lease of 10.1.200.1 that names nobody"]
    thread.join(60)
    assert begun.check("process") == first.check("process") == []
