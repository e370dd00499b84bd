from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.runtime.bundle.host import Host
from netd.runtime.bundle.limits import check_limits, cpu_list, resources, rlimits
from netd.runtime.model import HostConfig, Ulimit

MB = 1 << 20
HOST = Host(cpu_count=2, cpus="0-1", capabilities=frozenset(range(41)), kernel=(6, 1), machine="x86_64")
BARE = HOST.replace(memory=False, swap=False, cpu_quota=False, cpuset=False, pids=False)


def test_nothing_asked_nothing_said() -> None:
    assert check_limits(HostConfig(), HOST) == []
    assert resources(HostConfig(), HOST) == {}
    assert rlimits(HostConfig()) == []


def test_everything() -> None:
    wanted = HostConfig(
        memory=64 * MB,
        memory_reservation=32 * MB,
        cpu_shares=512,
        nano_cpus=1_500_000_000,
        cpuset_cpus="0,1",
        pids_limit=20,
    )
    assert check_limits(wanted, HOST) == []
    assert resources(wanted, HOST) == {
        "memory": {"limit": 64 * MB, "swap": 128 * MB, "reservation": 32 * MB},
        "cpu": {"shares": 512, "period": 100000, "quota": 150000, "cpus": "0,1"},
        "pids": {"limit": 20},
    }


def test_a_quota_of_ones_own() -> None:
    wanted = HostConfig(cpu_period=50_000, cpu_quota=25_000, cpuset_mems="0")
    assert check_limits(wanted, HOST) == []
    assert resources(wanted, HOST) == {"cpu": {"period": 50_000, "quota": 25_000, "mems": "0"}}
    assert resources(HostConfig(cpu_quota=-1), HOST) == {"cpu": {"quota": -1}}
    assert resources(wanted, BARE) == {}
    assert len(check_limits(wanted, BARE)) == 2


@pytest.mark.parametrize(("asked", "swap"), [(0, 128 * MB), (64 * MB, 64 * MB), (100 * MB, 100 * MB), (-1, -1)])
def test_swap(asked: int, swap: int) -> None:
    wanted = HostConfig(memory=64 * MB, memory_swap=asked)
    check_limits(wanted, HOST)
    assert resources(wanted, HOST)["memory"]["swap"] == swap
    assert "swap" not in resources(wanted, HOST.replace(swap=False))["memory"]


def test_what_the_kernel_lacks_is_left_out_with_a_warning() -> None:
    wanted = HostConfig(memory=64 * MB, nano_cpus=1_000_000_000, cpuset_cpus="0", pids_limit=5)
    assert resources(wanted, BARE) == {}
    warnings = check_limits(wanted, BARE)
    assert [
        warning.split(" capabilities")[0].removeprefix("Your kernel does not support ") for warning in warnings
    ] == [
        "memory limit",
        "CPU CFS scheduler",
        "cpuset",
        "PIDs limit",
    ]
    assert check_limits(HostConfig(memory=64 * MB), HOST.replace(swap=False)) == [
        "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
        "Memory limited without swap."
    ]


@pytest.mark.parametrize("limit", [None, 0])
def test_no_limit_of_processes(limit: int | None) -> None:
    assert resources(HostConfig(pids_limit=limit), HOST) == {}


def test_ulimits() -> None:
    wanted = HostConfig(ulimits=[Ulimit("nofile", 10, 20), Ulimit("core", -1, -1)])
    check_limits(wanted, HOST)
    assert rlimits(wanted) == [
        {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20},
        {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1},
    ]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (HostConfig(memory=MB), "Minimum memory limit allowed is 6MB (--memory)"),
        (HostConfig(memory=-1), "Minimum memory limit allowed is 6MB (--memory)"),
        (
            HostConfig(memory=64 * MB, memory_swap=32 * MB),
            "Minimum memoryswap limit should be larger than memory limit, see usage (--memory-swap)",
        ),
        (
            HostConfig(memory_swap=MB),
            "You should always set the Memory limit when using Memoryswap limit, see usage (--memory-swap)",
        ),
        (HostConfig(memory_reservation=MB), "Minimum memory reservation allowed is 6MB (--memory-reservation)"),
        (
            HostConfig(memory=8 * MB, memory_reservation=9 * MB),
            "Minimum memory limit can not be less than memory reservation limit, see usage (--memory-reservation)",
        ),
        (
            HostConfig(nano_cpus=3_000_000_000),
            "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available (--cpus)",
        ),
        (HostConfig(nano_cpus=1), "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available (--cpus)"),
        (HostConfig(nano_cpus=-1), "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available (--cpus)"),
        (HostConfig(cpu_shares=-1), "invalid CPU shares (-1): value must be a positive integer (--cpu-shares)"),
        (HostConfig(cpuset_cpus="0-"), "Invalid value 0- for cpuset cpus (--cpuset-cpus)"),
        (HostConfig(cpuset_cpus="0-99999999"), "Invalid value 0-99999999 for cpuset cpus (--cpuset-cpus)"),
        (
            HostConfig(cpuset_cpus="0-7"),
            "Requested CPUs are not available - requested 0-7, available: 0-1 (--cpuset-cpus)",
        ),
        (HostConfig(cpuset_mems="x"), "Invalid value x for cpuset mems (--cpuset-mems)"),
        (
            HostConfig(nano_cpus=10**9, cpu_period=100_000),
            "Conflicting options: Nano CPUs and CPU Period cannot both be set. (--cpus)",
        ),
        (
            HostConfig(nano_cpus=10**9, cpu_quota=50_000),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set. (--cpus)",
        ),
        (
            HostConfig(cpu_period=999),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000) (--cpu-period)",
        ),
        (HostConfig(cpu_quota=999), "CPU cfs quota can not be less than 1ms (i.e. 1000) (--cpu-quota)"),
        (HostConfig(shm_size=-1), "SHM size can not be less than 0 (--shm-size)"),
        (
            HostConfig(oom_score_adj=1001),
            "Invalid value 1001, range for oom score adj is [-1000, 1000] (--oom-score-adj)",
        ),
        (HostConfig(ulimits=[Ulimit("files", 1, 1)]), "invalid ulimit type: files"),
        (
            HostConfig(ulimits=[Ulimit("nofile", 2, 1)]),
            "ulimit soft limit must be less than or equal to hard limit: 2 > 1",
        ),
        (
            HostConfig(ulimits=[Ulimit("nofile", -1, 1)]),
            "ulimit soft limit must be less than or equal to hard limit: -1 > 1",
        ),
        (
            HostConfig(ulimits=[Ulimit("nofile", -2, 1)]),
            "invalid ulimit nofile: a limit is a number, or -1 for none",
        ),
    ],
)
def test_refusals(wanted: HostConfig, words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        check_limits(wanted, HOST)
    assert str(raised.value) == words


@given(st.sets(st.integers(0, 100), min_size=1))
def test_lists_of_processors(numbers: set[int]) -> None:
    assert cpu_list(",".join(map(str, numbers))) == numbers
    assert cpu_list(f"{min(numbers)}-{max(numbers)}") == set(range(min(numbers), max(numbers) + 1))


@given(st.text(alphabet="0123456789-, x", max_size=12))
def test_any_list_is_read_or_refused(text: str) -> None:
    try:
        found = cpu_list(text)
    except ValueError:
        assert not text.isdecimal() or int(text) > 8191
        return
    assert found and max(found) <= 8191
