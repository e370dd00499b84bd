"""Containers where version 2 of control groups is all there is, as on Debian with systemd: what they see of it, limits
that are really enforced, and nothing left of their groups."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_client import PATIENCE, receive_all
from container_house import House

from netd.runtime.control_groups import ROOT, group_of, members
from netd.runtime.model import Container, ExecOptions

# the same as where runc also knows version 1
from test_control_groups import *  # noqa: F403  # isort: skip

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def whole() -> Iterator[House]:
    with House() as made:
        yield made


@pytest.fixture
def house(whole: House) -> Iterator[House]:
    """Nothing is left of what a test made in it."""
    yield whole
    for container in whole.containers.list():
        whole.containers.remove(container.id, force=True)
    deadline = time.monotonic() + PATIENCE
    while whole.left() and time.monotonic() < deadline:
        os.sched_yield()
    assert whole.left() == []


def output(house: House, container: Container) -> str:
    """All that the container writes, when it has ended."""
    stream = house.attach(container.id)
    house.containers.start(container.id)
    found = receive_all(stream)
    assert found[2] == b""
    return found[1].decode()


def executed(house: House, container: Container, *command: str) -> str:
    exec_id = house.containers.exec_create(container.id, ExecOptions(attach_stdout=True, cmd=list(command)))
    return receive_all(house.start_exec(exec_id))[1].decode()


def setting(container: Container, name: str) -> str:
    return Path(group_of(container.state.pid), name).read_text().strip()


def test_this_is_version_2() -> None:
    assert os.path.exists(f"{ROOT}/cgroup.controllers")


def test_limits_are_read_back_inside(house: House) -> None:
    files = {
        "memory.max": str(64 * MEGABYTE),
        "memory.swap.max": str(64 * MEGABYTE),
        "memory.low": str(16 * MEGABYTE),
        "cpu.max": "50000 100000",
        "cpu.weight": "20",
        "cpuset.cpus.effective": "0",
        "pids.max": "20",
    }
    host = {
        "memory": 64 * MEGABYTE,
        "memory_reservation": 16 * MEGABYTE,
        "nano_cpus": 500_000_000,
        "cpu_shares": 512,
        "cpuset_cpus": "0",
        "pids_limit": 20,
    }
    script = f"cd /sys/fs/cgroup; cat /proc/self/cgroup; cat {' '.join(files)}; mkdir inner 2>/dev/null || echo no"
    made = house.create("sh", "-c", script, host=host)
    # the container's own group is the root of all that it sees, and not its to change
    assert output(house, made).splitlines() == ["0::/", *files.values(), "no"]


def test_a_limit_of_processes_is_felt(house: House) -> None:
    script = "for n in 1 2 3 4 5 6 7 8; do sleep 1000 & done; sleep 1000"
    made = house.run("sh", "-c", script, host={"pids_limit": 4})
    assert house.containers.wait(made.id).result(PATIENCE) != 0
    assert b"can't fork" in b"".join(data for _, data in house.containers.logs(made.id))


def test_a_limit_of_memory_is_felt(house: House) -> None:
    # tail keeps what it reads of a line without an end
    made = house.run("tail", "/dev/zero", host={"memory": 8 * MEGABYTE, "memory_swap": 8 * MEGABYTE})
    assert house.containers.wait(made.id).result(PATIENCE) == 137
    assert made.state.oom_killed


def test_exec_pause_and_restart(house: House) -> None:
    made = house.run("sleep", "1000", host={"pids_limit": 20})
    group = group_of(made.state.pid)
    assert group == f"{ROOT}/{house.parent}/{made.id}"
    assert executed(house, made, "sh", "-c", "cat /proc/self/cgroup /sys/fs/cgroup/pids.max").split() == ["0::/", "20"]
    house.containers.pause(made.id)
    assert setting(made, "cgroup.freeze") == "1"
    assert "frozen 1" in setting(made, "cgroup.events")
    house.containers.unpause(made.id)
    assert "frozen 0" in setting(made, "cgroup.events")
    house.containers.pause(made.id)
    house.containers.restart(made.id, timeout=0)
    assert members(group_of(made.state.pid)) == {made.state.pid}
    assert setting(made, "pids.max") == "20" and "frozen 0" in setting(made, "cgroup.events")


def test_a_privileged_container_has_its_groups_for_itself(house: House) -> None:
    """As an engine in a container wants it; whatever it makes there goes with it."""
    script = """
    cd /sys/fs/cgroup; cat /proc/self/cgroup pids.max; mkdir -p inner/most
    echo $$ >inner/cgroup.procs; echo +memory >cgroup.subtree_control; cat inner/memory.max
    sleep 1000
    """
    made = house.run("sh", "-c", script, host={"privileged": True, "pids_limit": 30})
    group = f"{ROOT}/{house.parent}/{made.id}"
    said = b""
    for _, data in house.containers.logs(made.id, follow=True):
        said += data
        if said.count(b"\n") == 3:
            break
    assert said == b"0::/\n30\nmax\n"
    assert made.state.pid in members(group)
    house.containers.stop(made.id, timeout=0)
    assert not os.path.exists(group)


def test_another_daemon_takes_over(house: House) -> None:
    made = house.run("sleep", "1000", name="stays", host={"memory": 64 * MEGABYTE})
    containers = house.new_daemon()
    found = containers.get("stays")
    assert found.state.pid == made.state.pid
    assert executed(house, found, "cat", "/sys/fs/cgroup/memory.max") == f"{64 * MEGABYTE}\n"
    containers.pause(found.id)
    containers.unpause(found.id)
    containers.stop(found.id, timeout=0)
    assert found.state.exit_code == 137
