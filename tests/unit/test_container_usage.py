"""What a container uses, from files as the kernel writes them: both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from netd.runtime.usage import System, Traffic, Usage, system, usage

NET_DEV = """\
Inter-|   Receive            |  Transmit
 face |bytes    packets errs |bytes    packets errs
    lo:      84       1    0    0    0     0          0         0       84       1    0    0    0     0       0 0
  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
"""
TRAFFIC = (("eth0", Traffic(1000, 10, 1, 2, 2000, 20, 3, 4)),)


def process(tmp_path: Path, groups: str) -> str:
    (tmp_path / "proc/7/net").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(groups)
    (tmp_path / "proc/7/net/dev").write_text(NET_DEV)
    (tmp_path / "proc/stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2\ncpu1 1 2\nintr 5\n")
    return str(tmp_path / "proc")


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_version_2(tmp_path: Path) -> None:
    proc, root = process(tmp_path, "0::/pynet/x\n"), tmp_path / "cgroup"
    files = {
        "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n",
        "memory.current": "4096\n",
        "memory.peak": "8192\n",
        "memory.max": "max\n",
        "memory.stat": "anon 1\nfile 2\ninactive_file 3\n",
        "pids.current": "3\n",
        "pids.max": "100\n",
        "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n253:1 \n",
    }
    write(root, {"cgroup.controllers": "cpu memory"} | {f"pynet/x/{name}": text for name, text in files.items()})
    assert usage(7, root=str(root), proc=proc) == Usage(
        cpu=30_000,
        cpu_user=20_000,
        cpu_kernel=10_000,
        periods=5,
        throttled_periods=2,
        throttled=7_000,
        memory=4096,
        memory_most=8192,
        memory_details=(("anon", 1), ("file", 2), ("inactive_file", 3)),
        pids=3,
        pids_limit=100,
        disk=((8, 0, "read", 10), (8, 0, "write", 20)),
        traffic=TRAFFIC,
    )
    assert usage(7, own_network=False, root=str(root), proc=proc).traffic == ()
    assert system(proc) == System((1 + 2 + 3 + 4 + 5 + 6 + 7) * 10_000_000, 2)


def test_version_1(tmp_path: Path) -> None:
    lines = "4:memory:/m/x\n3:pids:/p/x\n2:cpu,cpuacct:/c/x\n1:blkio:/b/x\n0::/\n"
    proc, root = process(tmp_path, lines), tmp_path / "cgroup"
    write(
        root,
        {
            "cpuacct/c/x/cpuacct.usage": "123\n",
            "cpuacct/c/x/cpuacct.usage_percpu": "100 23 \n",
            "cpuacct/c/x/cpuacct.stat": "user 2\nsystem 1\n",
            "cpu/c/x/cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 7\n",
            "memory/m/x/memory.usage_in_bytes": "4096\n",
            "memory/m/x/memory.max_usage_in_bytes": "8192\n",
            "memory/m/x/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/m/x/memory.failcnt": "1\n",
            "memory/m/x/memory.stat": "cache 1\ntotal_inactive_file 3\n",
            "pids/p/x/pids.current": "3\n",
            "pids/p/x/pids.max": "max\n",
            "blkio/b/x/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:0 Sync 5\nTotal 35\n",
        },
    )
    assert usage(7, root=str(root), proc=proc) == Usage(
        cpu=123,
        cpu_user=20_000_000,
        cpu_kernel=10_000_000,
        per_cpu=(100, 23),
        periods=5,
        throttled_periods=2,
        throttled=7,
        memory=4096,
        memory_most=8192,
        memory_limit=0,
        memory_failures=1,
        memory_details=(("cache", 1), ("total_inactive_file", 3)),
        pids=3,
        disk=((8, 0, "read", 10), (8, 0, "write", 20)),
        traffic=TRAFFIC,
    )


def test_what_the_kernel_does_not_count_is_nothing(tmp_path: Path) -> None:
    proc = process(tmp_path, "1:name=systemd:/x\n0::/x\n")
    assert usage(7, root=str(tmp_path / "none"), proc=proc) == Usage(traffic=TRAFFIC)
    with pytest.raises(ProcessLookupError):
        usage(8, root=str(tmp_path), proc=proc)
