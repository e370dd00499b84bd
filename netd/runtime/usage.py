"""What a container uses: processor, memory, disk and network, from its control groups and its network namespace.

Both versions of control groups; what the kernel does not count is None or 0, as in docker's statistics.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from netd.runtime.control_groups import ROOT
from pycni.record import Record

_TICKS = os.sysconf("SC_CLK_TCK")
_BILLION = 1_000_000_000
_NO_LIMIT = 1 << 62
"""A limit of memory at or above this is none: version 1 says it so."""


class Traffic(Record):
    """Of one interface; as the container sees it."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class Usage(Record):
    """Times in ns; memory in bytes, its limit 0 for none; `pids_limit` 0 for none; `disk` (major, minor, "read" or
    "write", bytes)."""

    cpu: int = 0
    cpu_user: int = 0
    cpu_kernel: int = 0
    per_cpu: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled: int = 0
    memory: int = 0
    memory_most: int = 0
    memory_limit: int = 0
    memory_failures: int = 0
    memory_details: tuple[tuple[str, int], ...] = ()
    pids: int = 0
    pids_limit: int = 0
    disk: tuple[tuple[int, int, str, int], ...] = ()
    traffic: tuple[tuple[str, Traffic], ...] = ()


class System(Record):
    """Of the whole machine: processor time so far in ns, and processors."""

    cpu: int
    processors: int


def usage(pid: int, own_network: bool = True, root: str = ROOT, proc: str = "/proc") -> Usage:
    """Of the container whose first process is `pid`; `own_network` False leaves the network out.  ProcessLookupError
    when it has ended."""
    text = _text(f"{proc}/{pid}/cgroup")
    if not text:
        raise ProcessLookupError(pid)
    groups = dict(_groups(text, root))
    is_version_2 = os.path.exists(f"{root}/cgroup.controllers")
    found = _version_2(groups[""]) if is_version_2 else _version_1(groups)
    if own_network:
        found = found.replace(traffic=tuple(_traffic(_text(f"{proc}/{pid}/net/dev"))))
    return found


def system(proc: str = "/proc") -> System:
    lines = _text(f"{proc}/stat").splitlines()
    times = [int(word) for word in lines[0].split()[1:8]]
    processors = sum(line.startswith("cpu") for line in lines) - 1
    return System(sum(times) * _BILLION // _TICKS, processors)


def _groups(text: str, root: str) -> Iterator[tuple[str, str]]:
    """Controllers of version 1, and "" of version 2, with the directories of the process's groups."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for each in controllers.split(","):
            yield each, f"{root}/{each}{path}" if each else f"{root}{path}"


def _version_1(groups: dict[str, str]) -> Usage:
    cpu, memory, pids = groups.get("cpuacct", ""), groups.get("memory", ""), groups.get("pids", "")
    times = _pairs(f"{cpu}/cpuacct.stat")
    quota = _pairs(f"{groups.get('cpu', '')}/cpu.stat")
    return Usage(
        cpu=_number(f"{cpu}/cpuacct.usage"),
        cpu_user=times.get("user", 0) * _BILLION // _TICKS,
        cpu_kernel=times.get("system", 0) * _BILLION // _TICKS,
        per_cpu=tuple(int(word) for word in _text(f"{cpu}/cpuacct.usage_percpu").split()),
        periods=quota.get("nr_periods", 0),
        throttled_periods=quota.get("nr_throttled", 0),
        throttled=quota.get("throttled_time", 0),
        memory=_number(f"{memory}/memory.usage_in_bytes"),
        memory_most=_number(f"{memory}/memory.max_usage_in_bytes"),
        memory_limit=_limit(f"{memory}/memory.limit_in_bytes"),
        memory_failures=_number(f"{memory}/memory.failcnt"),
        memory_details=tuple(_pairs(f"{memory}/memory.stat").items()),
        pids=_number(f"{pids}/pids.current"),
        pids_limit=_limit(f"{pids}/pids.max"),
        disk=tuple(_throttle(_text(f"{groups.get('blkio', '')}/blkio.throttle.io_service_bytes_recursive"))),
    )


def _version_2(group: str) -> Usage:
    times = _pairs(f"{group}/cpu.stat")
    return Usage(
        cpu=times.get("usage_usec", 0) * 1000,
        cpu_user=times.get("user_usec", 0) * 1000,
        cpu_kernel=times.get("system_usec", 0) * 1000,
        periods=times.get("nr_periods", 0),
        throttled_periods=times.get("nr_throttled", 0),
        throttled=times.get("throttled_usec", 0) * 1000,
        memory=_number(f"{group}/memory.current"),
        memory_most=_number(f"{group}/memory.peak"),
        memory_limit=_limit(f"{group}/memory.max"),
        memory_details=tuple(_pairs(f"{group}/memory.stat").items()),
        pids=_number(f"{group}/pids.current"),
        pids_limit=_limit(f"{group}/pids.max"),
        disk=tuple(_io_stat(_text(f"{group}/io.stat"))),
    )


def _throttle(text: str) -> Iterator[tuple[int, int, str, int]]:
    """ "8:0 Read 4096" of version 1."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in ("Read", "Write"):
            major, minor = words[0].split(":")
            yield int(major), int(minor), words[1].lower(), int(words[2])


def _io_stat(text: str) -> Iterator[tuple[int, int, str, int]]:
    """ "8:0 rbytes=4096 wbytes=0 …" of version 2."""
    for line in text.splitlines():
        device, *words = line.split()
        major, colon, minor = device.partition(":")
        values = dict(word.split("=", 1) for word in words if "=" in word)
        for key, name in (("rbytes", "read"), ("wbytes", "write")):
            if colon and key in values:
                yield int(major), int(minor), name, int(values[key])


def _traffic(text: str) -> Iterator[tuple[str, Traffic]]:
    """proc(5), /proc/net/dev."""
    for line in text.splitlines()[2:]:
        name, _, values = line.partition(":")
        numbers = [int(word) for word in values.split()]
        if name.strip() != "lo":
            yield name.strip(), Traffic(*numbers[0:4], *numbers[8:12])


def _limit(path: str) -> int:
    text = _text(path).strip()
    found = int(text) if text.isdecimal() else 0
    return 0 if found >= _NO_LIMIT else found


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0


def _pairs(path: str) -> dict[str, int]:
    found = {}
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if value.isdecimal():
            found[key] = int(value)
    return found


def _text(path: str) -> str:
    """ "" where the kernel has no such file, or no longer."""
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as stream:
        return stream.read()
    return ""
