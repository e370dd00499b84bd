"""Containers of other engines by name: what containerd's state directory says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netd.networks.errors import Ambiguous, InvalidRequest, NotFound
from netd.networks.foreign import Target, find, has_ended, states, tasks

WEB, DB, POD = "aa11" * 16, "aa22" * 16, "bb33" * 16
OWN = f"/proc/{os.getpid()}/ns/net"


def task(state: Path, namespace: str, container_id: str, name: str = "", pid: int | None = None) -> None:
    bundle = state / "io.containerd.runtime.v2.task" / namespace / container_id
    bundle.mkdir(parents=True)
    annotations = {"nerdctl/name": name} if name else None
    (bundle / "config.json").write_text(json.dumps({"annotations": annotations}))
    (bundle / "init.pid").write_text(str(os.getpid() if pid is None else pid))


@pytest.fixture
def state(tmp_path: Path) -> str:
    task(tmp_path, "default", WEB, "web")
    task(tmp_path, "default", DB, "db")
    task(tmp_path, "k8s.io", POD)
    return str(tmp_path)


def test_by_name_and_id(state: str) -> None:
    web = Target(OWN, f"default-{WEB}")
    assert find("nerdctl:web", state) == find(f"nerdctl:{WEB}", state) == find("nerdctl:aa11", state) == web
    assert find("cri:bb33bb33", state) == Target(OWN, f"k8s.io-{POD}")


def test_by_path() -> None:
    found = find("ns:/var/run/netns/x")
    assert found.netns == "/var/run/netns/x"
    assert found.container_id.startswith("ns-")


def test_a_name_in_two_namespaces(state: str) -> None:
    task(Path(state), "other", "cc44" * 16, "web")
    with pytest.raises(Ambiguous, match="default/aa11aa11aa11 and other/cc44cc44cc44"):
        find("nerdctl:web", state)
    task(Path(state), "default", "aa113" + "0" * 59)
    with pytest.raises(Ambiguous):
        find("nerdctl:aa11", state)


def test_a_name_that_begins_like_another_ones_id(state: str) -> None:
    task(Path(state), "default", "dd55" * 16, "aa11")
    assert find("nerdctl:aa11", state).container_id == f"default-{'dd55' * 16}"


@pytest.mark.parametrize("text", ["nerdctl:nobody", "cri:web", "nerdctl:bb33bb33", "nerdctl:aa", "cri:"])
def test_who_is_not_there(state: str, text: str) -> None:
    with pytest.raises((NotFound, InvalidRequest)):
        find(text, state)


def test_a_task_that_has_ended(state: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    task(Path(state), "default", "ee66" * 16, "gone", ended.pid)
    with pytest.raises(NotFound, match="nerdctl:gone does not run"):
        find("nerdctl:gone", state)
    (Path(state) / "io.containerd.runtime.v2.task/default" / WEB / "config.json").write_text("{")
    with pytest.raises(NotFound, match="not found among the running ones"):
        find("nerdctl:web", state)
    with pytest.raises(NotFound):
        find("nerdctl:web", f"{state}/none")


@pytest.mark.parametrize("text", ["web", "ns:relative", "docker:web", "nerdctl:"])
def test_what_is_no_such_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="expected"):
        find(text)


def shim(proc: Path, pid: int, bundle: Path, address: str, program: str = "containerd-shim-runc-v2") -> None:
    """A process as /proc shows it."""
    (proc / str(pid)).mkdir(parents=True)
    words = [f"/usr/bin/{program}", "-namespace", "default", "-id", "x", "-address", address, ""]
    (proc / str(pid) / "cmdline").write_bytes("\0".join(words).encode())
    (proc / str(pid) / "cwd").symlink_to(bundle)


def test_where_containerds_keep_their_state(tmp_path: Path) -> None:
    proc, first, second = tmp_path / "proc", tmp_path / "first", tmp_path / "second"
    for root, container_id in ((first, WEB), (second, DB)):
        task(root, "default", container_id, "web")
    bundles = {root: root / "io.containerd.runtime.v2.task/default" / one for root, one in ((first, WEB), (second, DB))}
    shim(proc, 10, bundles[first], "/run/first.sock")
    shim(proc, 11, bundles[first], "/run/first.sock")
    shim(proc, 12, bundles[second], "/run/second.sock")
    shim(proc, 13, tmp_path / "third/io.containerd.runtime.v2.task/a/b", "/run/third.sock", "shim-of-another")
    shim(proc, 14, tmp_path, "/run/fourth.sock")
    (proc / "self").mkdir()
    (proc / "15").mkdir()
    assert states({}, str(proc)) == ("/run/containerd", str(first), str(second))
    chosen = states({"CONTAINERD_ADDRESS": "/run/second.sock"}, str(proc))
    assert chosen == (str(second),) == states({"CONTAINERD_ADDRESS": "unix:///run/second.sock"}, str(proc))
    assert find("nerdctl:web", *chosen).container_id == f"default-{DB}"
    with pytest.raises(Ambiguous):
        find("nerdctl:web", *states({}, str(proc)))
    # no container of it: its usual place
    assert states({"CONTAINERD_ADDRESS": "/run/k3s/containerd/containerd.sock"}, str(proc)) == ("/run/k3s/containerd",)


def test_the_command_line_can_afford_it() -> None:
    script = "import sys, netd.networks.foreign; print([m for m in ('msgspec', 'asyncio', 'h11') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_task_has_ended_when_its_process_is_gone_and_its_shim_is_seen(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    root = tmp_path / "state/io.containerd.runtime.v2.task"
    bundles = {name: root / f"default/{name}" for name in ("lives", "ended", "begins")}
    for bundle in bundles.values():
        bundle.mkdir(parents=True)
    (bundles["lives"] / "init.pid").write_text("20")
    (bundles["ended"] / "init.pid").write_text("21")
    (proc / "20").mkdir(parents=True)

    def ended() -> set[str]:
        return {task.id for task in tasks(str(tmp_path / "state")) if has_ended(task, str(proc))}

    assert ended() == set(), "processes of another pid namespace"
    shim(proc, 10, bundles["lives"], "/run/first.sock")
    assert ended() == {"ended"}
