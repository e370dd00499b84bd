"""What runc says when it cannot start something, conmon's command line, and ps's rows."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from netd.failure import InvalidParameter, Unavailable
from netd.runtime import conmon, control_groups
from netd.runtime.control_groups import group_of, members
from netd.runtime.places import RuntimePlaces
from netd.runtime.start_failure import CannotExecute, start_failure
from netd.runtime.top import select_rows, top

NOT_FOUND = 'runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH\n'
DENIED = 'runc create failed: unable to start container process: exec: "/etc": permission denied\n'


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (NOT_FOUND, 127, 400),
        ('exec: "/nope": stat /nope: no such file or directory', 127, 400),
        (DENIED, 126, 400),
        ("runc create failed: cgroups: out of memory", 128, 500),
    ],
)
def test_runc_s_words_become_docker_s_codes(words: str, code: int, status: int) -> None:
    failure = start_failure(words, "OCI runtime create failed")
    assert (failure.exit_code, failure.status) == (code, status)
    assert failure.msg == f"OCI runtime create failed: {words.strip()}"
    assert isinstance(failure, CannotExecute) is (code != 128)


def launch(**changes: object) -> conmon.Launch:
    options = {
        "unit": "u1",
        "container_id": "c1",
        "bundle": "/run/b",
        "log": "/log",
        "terminal": False,
        "stdin": False,
        "keep_stdin": False,
    }
    return conmon.Launch(**{**options, **changes})  # type: ignore[arg-type]


def pairs(command: list[str]) -> set[tuple[str, str]]:
    return set(pairwise(command))


def test_conmon_is_told_where_everything_is() -> None:
    command = conmon.command(RuntimePlaces(run="/run/x", runc="sh", conmon="cat"), launch())
    assert command[0].endswith("/cat")
    assert {("-c", "c1"), ("-u", "u1"), ("-b", "/run/b"), ("-l", "k8s-file:/log")} <= pairs(command)
    assert {("--runtime-arg", "--root"), ("--runtime-arg", "/run/x/runc"), ("--persist-dir", "/run/b")} <= pairs(
        command
    )
    assert not {"-t", "-i", "--leave-stdin-open"} & set(command)


def test_terminal_and_input_are_options_of_their_own() -> None:
    places = RuntimePlaces(runc="sh", conmon="cat")
    command = conmon.command(places, launch(terminal=True, stdin=True, keep_stdin=True, log=""))
    assert command[-5:] == ["-l", "none", "-t", "-i", "--leave-stdin-open"]


def test_a_missing_program_is_named() -> None:
    with pytest.raises(Unavailable, match="no-such-runc is not installed"):
        conmon.command(RuntimePlaces(runc="no-such-runc", conmon="cat"), launch())


def test_a_bundle_that_nobody_serves(tmp_path: Path) -> None:
    bundle = str(tmp_path)
    assert conmon.open_process(bundle) == -1
    assert not conmon.is_alive(bundle)
    conmon.abandon(bundle)
    conmon.resize(bundle, 24, 80)
    os.mkfifo(f"{bundle}/ctl")
    conmon.resize(bundle, 24, 80)
    assert conmon.exit_code(bundle) is None
    assert not conmon.killed_for_memory(bundle)


def test_a_pid_that_another_process_has_by_now_is_not_conmon_s(tmp_path: Path) -> None:
    (tmp_path / "conmon.pid").write_text(str(os.getpid()))
    assert conmon.open_process(str(tmp_path)) == -1
    conmon.abandon(str(tmp_path))


def test_what_conmon_noted_is_read(tmp_path: Path) -> None:
    (tmp_path / "exit").write_text("137")
    (tmp_path / "oom").touch()
    os.utime(tmp_path / "exit", ns=(5, 5))
    assert conmon.exit_code(str(tmp_path)) == 137
    assert conmon.exit_moment(str(tmp_path)) == 5
    assert conmon.killed_for_memory(str(tmp_path))


PS = "UID   PID  PPID CMD\nroot    1     0 /sbin/init\nroot   20     1 sh -c  x\nnobody 30    20 sleep 1\n"


def test_rows_of_other_processes_are_left_out() -> None:
    titles, rows = select_rows(PS, {20, 30, 40})
    assert titles == ["UID", "PID", "PPID", "CMD"]
    assert rows == [["root", "20", "1", "sh -c  x"], ["nobody", "30", "20", "sleep 1"]]


def test_without_the_column_pid_nothing_can_be_told() -> None:
    with pytest.raises(InvalidParameter, match="Couldn't find PID field"):
        select_rows("USER CMD\nroot init\n", {1})


@pytest.mark.parametrize("path", ["", "/", "//", "/."])
def test_nobody_removes_the_group_where_everybody_is(path: str) -> None:
    with pytest.raises(ValueError, match="not a container's control group"):
        control_groups.remove(path)


def test_a_process_is_in_its_own_control_group() -> None:
    assert os.getpid() in members(group_of(os.getpid()))
    titles, rows = top(os.getpid(), "-o pid,args -e")
    assert titles == ["PID", "COMMAND"]
    assert str(os.getpid()) in [row[0] for row in rows]
