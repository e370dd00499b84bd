"""What this machine offers: read once, given to the pure functions, so that tests can be of any machine."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys

from pycni.record import Record

CGROUP = "/sys/fs/cgroup"

_INIT_PROGRAMS = ("docker-init", "catatonit", "tini-static")
"""Statically linked ones, which run in any image."""

_RRO_SINCE = (5, 12)
"""Linux has mount_setattr(2), with which a bind mount is read-only together with what is mounted below it."""


_ASK_X32 = "import ctypes; raise SystemExit(ctypes.CDLL(None).syscall(ctypes.c_long(0x40000027)) <= 0)"
"""getpid of x32."""


class Host(Record):
    """`cpus` are the processors of this machine, "0-3,7"; `capabilities` the numbers of those that we may hand on;
    `kernel` (major, minor); `machine` as uname says it; `init` the program for --init, "" for none;
    `thermal` directories in /sys that tell load by temperature; `x32` whether programs of that ABI run;
    `apparmor` whether the kernel confines with it."""

    cpu_count: int
    cpus: str
    capabilities: frozenset[int]
    kernel: tuple[int, int]
    machine: str
    oom_score_adj: int = 0
    cgroup_version: int = 2
    memory: bool = True
    swap: bool = True
    cpu_quota: bool = True
    cpuset: bool = True
    pids: bool = True
    init: str = ""
    thermal: tuple[str, ...] = ()
    x32: bool = True
    apparmor: bool = True

    @property
    def recursive_read_only(self) -> bool:
        return self.kernel >= _RRO_SINCE


@functools.cache
def this_host() -> Host:
    """It does not change while we run."""
    version = 2 if os.path.exists(f"{CGROUP}/cgroup.controllers") else 1
    controllers = _read(f"{CGROUP}/cgroup.controllers").split()

    def has(controller: str, file: str) -> bool:
        """`file` is the controller's in version 1, where a kernel may lack it."""
        return controller in controllers if version == 2 else os.path.exists(f"{CGROUP}/{controller}/{file}")

    numbers = re.match(r"(\d+)\.(\d+)", os.uname().release)
    assert numbers is not None
    return Host(
        cpu_count=os.cpu_count() or 1,
        cpus=_read("/sys/devices/system/cpu/online").strip(),
        capabilities=_capabilities(_read("/proc/self/status")),
        kernel=(int(numbers[1]), int(numbers[2])),
        machine=os.uname().machine,
        oom_score_adj=int(_read("/proc/self/oom_score_adj") or 0),
        cgroup_version=version,
        memory=has("memory", "memory.limit_in_bytes"),
        swap=_swap_is_counted(version),
        cpu_quota=has("cpu", "cpu.cfs_quota_us"),
        cpuset=has("cpuset", "cpuset.cpus"),
        pids=has("pids", "cgroup.procs"),
        init=next((path for path in map(shutil.which, _INIT_PROGRAMS) if path), ""),
        thermal=tuple(
            path
            for number in range(os.cpu_count() or 1)
            if os.path.exists(path := f"/sys/devices/system/cpu/cpu{number}/thermal_throttle")
        ),
        x32=_runs_x32(),
        apparmor=_read("/sys/module/apparmor/parameters/enabled").strip() == "Y",
    )


def _swap_is_counted(version: int) -> bool:
    if version == 1:
        return os.path.exists(f"{CGROUP}/memory/memory.memsw.limit_in_bytes")
    own = _read("/proc/self/cgroup").rpartition("::")[2].strip()
    # the root group has no limits
    return not own.strip("/") or os.path.exists(f"{CGROUP}{own}/memory.swap.max")


def _runs_x32() -> bool:
    """Asks the kernel, in a process of its own: what confines us may kill for the question."""
    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ASK_X32], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return asked.returncode == 0


def _capabilities(status: str) -> frozenset[int]:
    """What this process has and may still hand to a child."""
    masks = [int(found, 16) for found in re.findall(r"^Cap(?:Prm|Bnd):\s*([0-9a-f]+)", status, re.MULTILINE)]
    mask = masks[0] & masks[1] if len(masks) == 2 else 0
    return frozenset(number for number in range(64) if mask >> number & 1)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
