"""Putting plugins in place and taking them out again."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netd import systemd
from netd.cli import launcher, plugin_files, units
from netd.cli.main import main
from netd.cli.plugin_files import InstallError, place, withdraw
from pycni.invoke import LAUNCHER_MARK
from pycni_launcher.patch import settings_of
from pycni_plugins import NAMES

OURS = b"#!/bin/true\n" + LAUNCHER_MARK + b"\n"


def snapshot(folder: Path) -> dict[str, object]:
    """Everything about the files of a directory that a user can see."""
    found: dict[str, object] = {}
    for path in sorted(folder.iterdir()):
        state = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "directory"
        found[path.name] = (content, state.st_mode, state.st_uid, state.st_mtime_ns, state.st_ino)
    return found


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """A directory with plugins of someone else, one of them a symbolic link, and a file that is none of ours."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "bridge").write_bytes(b"reference bridge")
    (folder / "bridge").chmod(0o4711)
    (folder / "real").write_bytes(b"elsewhere")
    (folder / "portmap").symlink_to("real")
    (folder / "flannel").write_bytes(b"stays")
    return folder


def test_plugins_are_hard_links_of_one_file(dest: Path) -> None:
    changes = place(str(dest), NAMES, OURS)
    assert [(item.name, item.outcome, item.kept) for item in changes] == [
        (name, "installed", name in ("bridge", "portmap")) for name in NAMES
    ]
    assert len({(dest / name).stat().st_ino for name in NAMES}) == 1
    state = (dest / "tuning").stat()
    assert (state.st_nlink, state.st_mode & 0o7777) == (len(NAMES), 0o755)
    assert (dest / "tuning").read_bytes() == OURS
    assert not [name for name in os.listdir(dest) if name.startswith(".") and name != ".pynet-kept"]


def test_uninstall_restores_byte_for_byte(dest: Path) -> None:
    before = snapshot(dest)
    place(str(dest), NAMES, OURS)
    place(str(dest), ["bridge"], OURS + b"newer")
    outcomes = {item.name: item.outcome for item in withdraw(str(dest))}
    assert outcomes == {name: "restored" if name in ("bridge", "portmap") else "removed" for name in NAMES}
    assert snapshot(dest) == before
    assert withdraw(str(dest)) == []
    assert snapshot(dest) == before


def test_again_changes_nothing(dest: Path) -> None:
    place(str(dest), NAMES, OURS)
    before = snapshot(dest)
    assert {item.outcome for item in place(str(dest), NAMES, OURS)} == {"unchanged"}
    assert snapshot(dest) == before


def test_an_update_of_ours_keeps_what_was_there_before(dest: Path) -> None:
    place(str(dest), NAMES, OURS)
    place(str(dest), NAMES, OURS + b"newer")
    assert (dest / "bridge").read_bytes() == OURS + b"newer"
    withdraw(str(dest))
    assert (dest / "bridge").read_bytes() == b"reference bridge"


def test_what_a_package_puts_over_ours_is_theirs(dest: Path) -> None:
    place(str(dest), NAMES, OURS)
    (dest / "bridge").unlink()
    (dest / "bridge").write_bytes(b"reference bridge 2")
    assert {item.name: item.outcome for item in withdraw(str(dest))}["bridge"] == "left"
    assert (dest / "bridge").read_bytes() == b"reference bridge 2"
    place(str(dest), NAMES, OURS)
    withdraw(str(dest))
    assert (dest / "bridge").read_bytes() == b"reference bridge 2"


def test_a_directory_in_the_way_stops_everything(dest: Path) -> None:
    (dest / "tuning").mkdir()
    before = snapshot(dest)
    with pytest.raises(InstallError, match=r"tuning is a directory, not a plugin"):
        place(str(dest), NAMES, OURS)
    assert snapshot(dest) == before


@pytest.mark.parametrize("step", ["link", "rename"])
@pytest.mark.parametrize("number", range(1, 8))
def test_interrupted_at_any_step_no_plugin_is_missing_and_uninstall_still_restores(
    dest: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    before = snapshot(dest)
    calls = 0
    real = getattr(os, step)

    def failing(*arguments: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    monkeypatch.setattr(plugin_files.os, step, failing)
    with pytest.raises(OSError, match=r"No space"):
        place(str(dest), NAMES, OURS)
    monkeypatch.undo()
    assert (dest / "bridge").exists() and (dest / "portmap").exists()
    place(str(dest), NAMES, OURS)
    withdraw(str(dest))
    assert {name: value for name, value in snapshot(dest).items() if not name.startswith(".")} == before


@pytest.mark.parametrize("step", ["link", "rename", "unlink"])
@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_killed_at_any_step_nothing_stays_after_uninstall(dest: Path, step: str, number: int) -> None:
    before = snapshot(dest)
    child = os.fork()
    if not child:
        try:
            setattr(plugin_files.os, step, _deadly(getattr(os, step), number))
            place(str(dest), NAMES, OURS)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    withdraw(str(dest))
    assert snapshot(dest) == before


def _deadly(real: Callable[..., None], number: int) -> Callable[..., None]:
    """`real`, whose call of that number ends the process at once."""
    calls = iter(range(1, number))

    def step(*arguments: object, **options: object) -> None:
        if next(calls, None) is None:
            os._exit(9)
        real(*arguments, **options)

    return step


def test_two_at_once_keep_what_was_there(dest: Path) -> None:
    """The second waits: it must not take the first one's launcher for what stood there."""
    before = snapshot(dest)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(place, str(dest), NAMES, OURS + bytes([number])) for number in range(8)]:
            done.result()
    withdraw(str(dest))
    assert snapshot(dest) == before


def test_a_lost_manifest_is_written_again(dest: Path) -> None:
    place(str(dest), ["tuning"], OURS)
    shutil.rmtree(dest / plugin_files.KEPT)
    place(str(dest), ["tuning"], OURS)
    assert [(item.name, item.outcome) for item in withdraw(str(dest))] == [("tuning", "removed")]


def run(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    return main(list(words), out=out, err=err, environ={}), out.getvalue(), err.getvalue()


@pytest.mark.parametrize("flags", [[], ["--python-launcher"]])
def test_installed_plugins_run_as_lone_files(dest: Path, tmp_path: Path, flags: list[str]) -> None:
    before = snapshot(dest)
    run_dir = str(tmp_path / "run")
    status, text, _err = run("install", "--dest", str(dest), "--run-dir", run_dir, "--no-systemd", "--json", *flags)
    assert status == 0
    report = json.loads(text)
    assert report["Units"] == []
    assert (report["Launcher"] == "python") or not flags
    stored = settings_of((dest / "bridge").read_bytes())
    assert stored["socket"] == f"{run_dir}/cni.sock" and stored["run-dir"] == run_dir
    assert os.path.isabs(stored["interpreter"]) and ".venv" not in stored["interpreter"]
    assert os.path.isfile(stored["entry"])
    for name in NAMES:
        done = subprocess.run([dest / name], env={}, capture_output=True, text=True, check=True)
        assert done.stderr.startswith(f"CNI {name} plugin v1.9.1\n")
    # no engine, so this one goes through the interpreter that was stored
    failed = subprocess.run(
        [dest / "host-local"],
        env={"CNI_COMMAND": "ADD"},
        input=b"{}",
        capture_output=True,
        check=False,
    )
    assert failed.returncode == 1 and json.loads(failed.stdout)["code"] == 4
    assert run("uninstall", "--dest", str(dest), "--no-systemd")[0] == 0
    assert snapshot(dest) == before


def test_only_some_plugins(dest: Path) -> None:
    flags = ("--no-systemd", "--python-launcher", "--plugins", "tuning,loopback")
    assert run("install", "--dest", str(dest), *flags)[0] == 0
    assert sorted(os.listdir(dest)) == [".pynet-kept", "bridge", "flannel", "loopback", "portmap", "real", "tuning"]
    status, _out, err = run("install", "--dest", str(dest), "--plugins", "nope")
    assert (status, err.count("\n")) == (1, 1)
    assert "--plugins: there is no plugin 'nope'" in err


def test_a_path_that_the_launcher_cannot_store_is_refused_first(dest: Path) -> None:
    before = snapshot(dest)
    status, _out, err = run("install", "--dest", str(dest), "--run-dir", '/run/"x"', "--no-systemd")
    assert status == 1 and err.startswith("pynet: ") and '/run/"x"' in err
    assert snapshot(dest) == before


def test_the_interpreter_is_the_one_behind_the_virtual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "SYSTEM_PYTHON", "/nonexistent/python3")
    assert launcher.choose_interpreter() == os.path.abspath(sys._base_executable)  # type: ignore[attr-defined]
    monkeypatch.setattr(launcher, "MINIMUM", (99,))
    monkeypatch.setattr(launcher, "SYSTEM_PYTHON", sys.executable)
    assert launcher.choose_interpreter() == os.path.abspath(sys._base_executable)  # type: ignore[attr-defined]
    monkeypatch.setattr(launcher, "MINIMUM", (3, 11))
    assert launcher.choose_interpreter() == sys.executable


def test_units_are_written_once_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(systemd, "is_running", lambda: True)
    monkeypatch.setattr(units, "_systemctl", lambda *words: asked.append(words))
    folder = str(tmp_path / "units")
    files = ["pynetd.socket", "pynetd.service", "pynetd-dns.service", "pynetd-api.socket", "pynetd-api.service"]
    files += ["pynetd-dhcp.socket", "pynetd-dhcp.service"]
    assert [os.path.basename(path) for path in units.add(folder, "/run/other")] == files
    assert "ListenStream=/run/other/cni.sock\n" in Path(folder, "pynetd.socket").read_text()
    assert "--run-dir /run/other\n" in Path(folder, "pynetd.service").read_text()
    assert " dns --run-dir /run/other\n" in Path(folder, "pynetd-dns.service").read_text()
    assert " api --run-dir /run/other\n" in Path(folder, "pynetd-api.service").read_text()
    assert "ListenStream=/run/other/api.sock\n" in Path(folder, "pynetd-api.socket").read_text()
    assert "ListenStream=/run/other/dhcp.sock\n" in Path(folder, "pynetd-dhcp.socket").read_text()
    assert " dhcp --run-dir /run/other\n" in Path(folder, "pynetd-dhcp.service").read_text()
    started = ("pynetd.service", "pynetd-dns.service", "pynetd-api.service", "pynetd-dhcp.service")
    enabled = ("pynetd.socket", started[1], "pynetd-api.socket", started[2], "pynetd-dhcp.socket")
    assert asked == [
        ("daemon-reload",),
        ("try-restart", *started),
        ("enable", "--now", "--quiet", *enabled),
    ]
    assert units.add(folder, "/run/other") == []
    assert ("try-restart", *started) not in asked[3:]
    assert len(units.remove(folder)) == 7
    assert os.listdir(folder) == [] and units.remove(folder) == []
    assert asked[-2:] == [("disable", "--now", *files), ("daemon-reload",)]


def test_paths_reach_the_engine_through_systemds_quoting() -> None:
    text = units.texts("/run/a%b", ["/opt/my env/pynetd", "--run-dir", '/run/$x"y\\z'], ["n"], ["a"], ["l"])
    assert "ListenStream=/run/a%%b/cni.sock\n" in text["pynetd.socket"]
    assert 'ExecStart="/opt/my env/pynetd" --run-dir "/run/$$x\\"y\\\\z"\n' in text["pynetd.service"]
    assert (
        "ListenStream=/run/cni/dhcp.sock\n"
        in units.texts("/run/pynet", *(["x"] for _ in range(4)))["pynetd-dhcp.socket"]
    )
    with pytest.raises(InstallError, match=r"control characters"):
        units.texts("/run", ["a\nb"], ["n"], ["a"], ["l"])
