"""Control groups beside runc, on the machine's own hierarchies in a group that nobody else has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from netd.runtime import control_groups
from netd.runtime.control_groups import ROOT, GracePeriod


@pytest.fixture
def group() -> Iterator[str]:
    """A path of groups in all hierarchies that let them be made."""
    path = f"/pycni-test-{os.getpid()}/inner"
    for hierarchy in (ROOT, *(f"{ROOT}/{name}" for name in os.listdir(ROOT))):
        if os.path.exists(f"{hierarchy}/cgroup.procs"):
            os.makedirs(f"{hierarchy}{path}")
    yield path
    control_groups.remove(os.path.dirname(path))


def directories(path: str) -> list[str]:
    found = [f"{ROOT}{path}", *(f"{ROOT}/{name}{path}" for name in os.listdir(ROOT))]
    return [each for each in found if os.path.isdir(each)]


def test_empty_groups_go_in_all_hierarchies(group: str) -> None:
    assert directories(group) != []
    assert control_groups.remove_empty(group)
    assert directories(group) == []
    assert control_groups.remove_empty(group), "again is harmless"


def test_groups_with_something_in_them_are_for_others(group: str) -> None:
    # the others may be symbolic links to it, or not be there at all
    inhabited = next(each for each in directories(group) if "/pids/" in each or each == f"{ROOT}{group}")
    process = subprocess.Popen(["sleep", "1000"])
    try:
        with open(f"{inhabited}/cgroup.procs", "w", encoding="ascii") as stream:
            stream.write(str(process.pid))
        assert not control_groups.remove_empty(group)
        assert process.poll() is None
        assert control_groups.members(inhabited) == {process.pid}
        control_groups.remove(group)
        assert directories(group) == []
    finally:
        process.kill()
        assert process.wait() == -9


@pytest.mark.parametrize("path", ["", "/", "/./", ".."])
def test_the_root_is_never_meant(path: str) -> None:
    with pytest.raises(ValueError, match="not a container's control group"):
        control_groups.remove_empty(path)


def test_passing_a_grace_period_moves_nobody() -> None:
    with open("/proc/self/cgroup", encoding="ascii") as stream:
        before = stream.read()
    period = GracePeriod()
    period.pass_early()
    period.pass_early()
    with open("/proc/self/cgroup", encoding="ascii") as stream:
        assert stream.read() == before
