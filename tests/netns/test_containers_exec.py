"""Containers under real conmon and runc: exec, and their processes."""

from __future__ import annotations

import pytest
from clean_house import execute, follow_until, house, script
from container_client import PATIENCE, await_event, await_output, receive, receive_all, receive_until, send_all, until
from container_house import House

from netd.failure import Conflict, InvalidParameter, NotFound
from netd.runtime.model import ExecOptions
from netd.runtime.start_failure import StartFailed

__all__ = ["house"]


def test_an_exec_runs_inside_and_gives_its_streams_and_exit_code(house: House) -> None:
    made = house.run("sleep", "1000")
    received, code = execute(house, made.id, *script("echo $FLAVOUR $OWN; ls /proc/1/exe >&2; exit 6"), env=["OWN=x"])
    assert (received[1], code) == (b"plain x\n", 6)
    assert house.containers.execs_of(made.id) == []


def test_an_exec_has_input_and_a_terminal_of_the_size_wanted(house: House) -> None:
    made = house.run("sleep", "1000")
    exec_id = house.containers.exec_create(
        made.id, ExecOptions(attach_stdin=True, attach_stdout=True, tty=True, cmd=["sh"], env=["PS1=> "])
    )
    stream = house.start_exec(exec_id, size=(44, 111))
    receive_until(stream, b"> ")
    await_output(stream, b"stty size\n", b"44 111")
    send_all(stream, b"exit 3\n")
    receive_all(stream)
    until(lambda: house.containers.exec_inspect(exec_id).exit_code == 3)


def test_the_end_of_an_exec_s_input_is_read_inside(house: House) -> None:
    made = house.run("sleep", "1000")
    exec_id = house.containers.exec_create(made.id, ExecOptions(attach_stdin=True, attach_stdout=True, cmd=["cat"]))
    stream = house.start_exec(exec_id)
    send_all(stream, b"through")
    stream.end_input()
    assert receive_all(stream)[1] == b"through"


@pytest.mark.parametrize(("command", "code"), [("nope", 127), ("/etc", 126)])
def test_an_exec_that_cannot_be_executed_has_docker_s_code(house: House, command: str, code: int) -> None:
    made = house.run("sleep", "1000")
    for attached in (True, False):
        exec_id = house.containers.exec_create(made.id, ExecOptions(attach_stdout=True, cmd=[command]))
        with pytest.raises(StartFailed, match="OCI runtime exec failed: exec failed"):
            house.containers.exec_start(exec_id, attached=attached)
        assert house.containers.exec_inspect(exec_id).exit_code == code
    assert made.state.status == "running"


def test_a_detached_exec_goes_on_by_itself(house: House) -> None:
    made = house.run("sleep", "1000")
    listener = house.events.subscribe()
    exec_id = house.containers.exec_create(made.id, ExecOptions(cmd=["true"]))
    assert house.containers.execs_of(made.id) == [exec_id]
    assert house.containers.exec_start(exec_id, attached=False) is None
    assert await_event(listener, "exec_die").attributes["exitCode"] == "0"
    with pytest.raises(Conflict, match="already been started"):
        house.containers.exec_start(exec_id)


def test_execs_end_with_their_container(house: House) -> None:
    made = house.run("sleep", "1000")
    exec_id = house.containers.exec_create(made.id, ExecOptions(attach_stdout=True, cmd=["sleep", "1000"]))
    stream = house.start_exec(exec_id)
    house.containers.kill(made.id)
    house.containers.wait(made.id).result(PATIENCE)
    assert receive(stream) is None
    until(lambda: house.containers.exec_inspect(exec_id).exit_code == 137)
    with pytest.raises(Conflict, match="is not running"):
        house.containers.exec_create(made.id, ExecOptions(cmd=["true"]))
    house.containers.remove(made.id)
    with pytest.raises(NotFound, match="No such exec instance"):
        house.containers.exec_inspect(exec_id)


def test_an_exec_without_a_command_is_refused(house: House) -> None:
    made = house.run("sleep", "1000")
    with pytest.raises(InvalidParameter, match="No exec command specified"):
        house.containers.exec_create(made.id, ExecOptions())


def test_the_processes_of_a_container_and_no_others(house: House) -> None:
    made = house.run(*script("sleep 1001 & sleep 1002 & echo ready; wait"))
    follow_until(house, made.id, b"ready\n")
    titles, rows = house.containers.top(made.id, "-eo pid,args")
    assert titles == ["PID", "COMMAND"]
    assert sorted(row[1] for row in rows)[-2:] == ["sleep 1001", "sleep 1002"]
    assert len(rows) == 3
