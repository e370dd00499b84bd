"""Memory, processors, processes and ulimits: docker's checks, and what runc is told.  Pure."""

from __future__ import annotations

from typing import Any

from netd.failure import InvalidParameter
from netd.runtime.bundle.host import Host
from netd.runtime.model import HostConfig, Ulimit

LEAST_MEMORY = 6 << 20
"""Bytes: with less, docker found, runc's own start fails."""

_PERIOD = 100_000
"""Microseconds of the CFS: the kernel's own."""

_SHORTEST, _LONGEST = 1_000, 1_000_000
"""Microseconds that a period may last, and the least quota: what the kernel takes."""

_BILLION = 1_000_000_000
_UNLIMITED = (1 << 64) - 1
_ULIMIT_NAMES = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"


def check_limits(wanted: HostConfig, host: Host) -> list[str]:
    """InvalidParameter in docker's words, and with the flag; warnings where the kernel cannot do it."""
    _check_memory(wanted)
    _check_processors(wanted, host)
    for ulimit in wanted.ulimits or []:
        _check_ulimit(ulimit)
    if wanted.shm_size < 0:
        raise _refused("--shm-size", "SHM size can not be less than 0")
    if not -1000 <= wanted.oom_score_adj <= 1000:
        raise _refused(
            "--oom-score-adj", f"Invalid value {wanted.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    return _warnings(wanted, host)


def resources(wanted: HostConfig, host: Host) -> dict[str, Any]:
    """`linux.resources` without devices; what the kernel lacks is left out."""
    found: dict[str, Any] = {}
    if host.memory and (memory := _memory(wanted, host)):
        found["memory"] = memory
    cpu: dict[str, Any] = {}
    if wanted.cpu_shares:
        cpu["shares"] = wanted.cpu_shares
    if wanted.nano_cpus and host.cpu_quota:
        cpu |= {"period": _PERIOD, "quota": wanted.nano_cpus * _PERIOD // _BILLION}
    for key, value, able in (
        ("period", wanted.cpu_period, host.cpu_quota),
        ("quota", wanted.cpu_quota, host.cpu_quota),
        ("cpus", wanted.cpuset_cpus, host.cpuset),
        ("mems", wanted.cpuset_mems, host.cpuset),
    ):
        if value and able:
            cpu[key] = value
    if cpu:
        found["cpu"] = cpu
    if wanted.pids_limit and host.pids:
        found["pids"] = {"limit": max(wanted.pids_limit, -1)}
    return found


def rlimits(wanted: HostConfig) -> list[dict[str, Any]]:
    """`process.rlimits`; -1 is unlimited."""
    return [
        {"type": f"RLIMIT_{each.name.upper()}", "soft": each.soft & _UNLIMITED, "hard": each.hard & _UNLIMITED}
        for each in wanted.ulimits or []
    ]


def cpu_list(text: str) -> set[int]:
    """ "0-2,5" as numbers; ValueError when it is no such list."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(first) > int(last or first):
            raise ValueError(part)
        if int(last or first) > 8191:  # the most that Linux can have
            raise ValueError(part)
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _refused(flag: str, words: str) -> InvalidParameter:
    return InvalidParameter(f"{words} ({flag})")


def _check_memory(wanted: HostConfig) -> None:
    memory, swap, reservation = wanted.memory, wanted.memory_swap, wanted.memory_reservation
    if memory and memory < LEAST_MEMORY:
        raise _refused("--memory", "Minimum memory limit allowed is 6MB")
    if memory and swap != -1 and 0 != swap < memory:
        raise _refused("--memory-swap", "Minimum memoryswap limit should be larger than memory limit, see usage")
    if not memory and swap > 0:
        raise _refused("--memory-swap", "You should always set the Memory limit when using Memoryswap limit, see usage")
    if reservation and reservation < LEAST_MEMORY:
        raise _refused("--memory-reservation", "Minimum memory reservation allowed is 6MB")
    if memory and memory < reservation:
        raise _refused(
            "--memory-reservation", "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_processors(wanted: HostConfig, host: Host) -> None:
    if wanted.nano_cpus and not _BILLION // 100 <= wanted.nano_cpus <= host.cpu_count * _BILLION:
        raise _refused(
            "--cpus",
            f"Range of CPUs is from 0.01 to {host.cpu_count}.00, as there are only {host.cpu_count} CPUs available",
        )
    _check_quota(wanted)
    if wanted.cpu_shares < 0:
        raise _refused("--cpu-shares", f"invalid CPU shares ({wanted.cpu_shares}): value must be a positive integer")
    if wanted.cpuset_cpus:
        try:
            asked = cpu_list(wanted.cpuset_cpus)
        except ValueError as error:
            raise _refused("--cpuset-cpus", f"Invalid value {wanted.cpuset_cpus} for cpuset cpus") from error
        if host.cpus and not asked <= cpu_list(host.cpus):
            raise _refused(
                "--cpuset-cpus",
                f"Requested CPUs are not available - requested {wanted.cpuset_cpus}, available: {host.cpus}",
            )


def _check_quota(wanted: HostConfig) -> None:
    for value, name in ((wanted.cpu_period, "Period"), (wanted.cpu_quota, "Quota")):
        if wanted.nano_cpus and value:
            raise _refused("--cpus", f"Conflicting options: Nano CPUs and CPU {name} cannot both be set.")
    if wanted.cpu_period and not _SHORTEST <= wanted.cpu_period <= _LONGEST:
        raise _refused(
            "--cpu-period", "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < wanted.cpu_quota < _SHORTEST:
        raise _refused("--cpu-quota", "CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if wanted.cpuset_mems:
        try:
            cpu_list(wanted.cpuset_mems)
        except ValueError as error:
            raise _refused("--cpuset-mems", f"Invalid value {wanted.cpuset_mems} for cpuset mems") from error


def _check_ulimit(ulimit: Ulimit) -> None:
    if ulimit.name not in _ULIMIT_NAMES.split():
        raise InvalidParameter(f"invalid ulimit type: {ulimit.name}")
    if ulimit.soft < -1 or ulimit.hard < -1:
        raise InvalidParameter(f"invalid ulimit {ulimit.name}: a limit is a number, or -1 for none")
    if ulimit.hard != -1 and (ulimit.soft == -1 or ulimit.soft > ulimit.hard):
        raise InvalidParameter(
            f"ulimit soft limit must be less than or equal to hard limit: {ulimit.soft} > {ulimit.hard}"
        )


def _warnings(wanted: HostConfig, host: Host) -> list[str]:
    found = []
    for asked, able, what in (
        (bool(wanted.memory or wanted.memory_reservation), host.memory, "memory limit"),
        (bool(wanted.nano_cpus or wanted.cpu_period or wanted.cpu_quota), host.cpu_quota, "CPU CFS scheduler"),
        (bool(wanted.cpuset_cpus or wanted.cpuset_mems), host.cpuset, "cpuset"),
        (bool(wanted.pids_limit and wanted.pids_limit > 0), host.pids, "PIDs limit"),
    ):
        if asked and not able:
            found.append(
                f"Your kernel does not support {what} capabilities or the cgroup is not mounted. Limitation discarded."
            )
    if wanted.memory and host.memory and not host.swap and wanted.memory_swap != -1:
        found.append(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        )
    return found


def _memory(wanted: HostConfig, host: Host) -> dict[str, int]:
    found = {}
    if wanted.memory:
        found["limit"] = wanted.memory
        if host.swap:
            # as much swap as memory, unless said otherwise
            found["swap"] = wanted.memory_swap or 2 * wanted.memory
    if wanted.memory_reservation:
        found["reservation"] = wanted.memory_reservation
    return found
