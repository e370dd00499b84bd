"""Containers under real conmon and runc: what they do from create to removal."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_client import PATIENCE, await_event, await_output, receive, receive_all, receive_until, send_all, until
from container_house import House, processes_of

from netd.failure import Conflict, Failure, InvalidParameter, NotFound
from netd.runtime import conmon
from netd.runtime.control_groups import group_of, members
from netd.runtime.model import NEVER, ExecOptions, RestartPolicy
from netd.runtime.start_failure import StartFailed


@pytest.fixture
def house() -> Iterator[House]:
    with House() as made:
        yield made
        for container in made.containers.list():
            made.containers.remove(container.id, force=True)
        # who waits for a removal hears of it before the last files are gone
        deadline = time.monotonic() + PATIENCE
        while made.left() and time.monotonic() < deadline:
            os.sched_yield()
        assert made.left() == []


def script(text: str) -> tuple[str, str, str]:
    return "sh", "-c", text


# create


def test_a_created_container_has_what_was_asked_and_what_the_image_says(house: House) -> None:
    made = house.create("echo", "hi", name="web", labels={"own": "1"}, env=["A=b"])
    assert (made.name, made.argv, made.state.status) == ("web", ["echo", "hi"], "created")
    assert made.config.env == ["A=b", "PATH=/bin", "FLAVOUR=plain"]
    assert made.config.labels == {"made": "here", "own": "1"}
    assert made.config.hostname == made.id[:12]
    assert house.containers.get("web") is house.containers.get(made.id[:6]) is made
    assert made.state.started_at == made.state.finished_at == NEVER


def test_a_taken_name_is_refused_and_leaves_nothing(house: House) -> None:
    house.create(name="web")
    with pytest.raises(Conflict, match='"/web" is already in use'):
        house.create(name="web")
    assert len(house.containers.list()) == 1
    assert len(os.listdir(house.places.containers)) == 1


def test_a_refusal_of_the_sandbox_frees_the_name(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> list[str]:
        raise InvalidParameter("conflicting options")

    with monkeypatch.context() as patch:
        patch.setattr(house.sandboxes, "check", refuse)
        with pytest.raises(InvalidParameter, match="conflicting options"):
            house.create(name="web")
    assert house.create(name="web").name == "web"


def test_without_a_name_one_is_made_up(house: House) -> None:
    assert house.create().name != house.create().name


def test_a_new_name_is_the_only_one(house: House) -> None:
    made = house.create(name="web")
    house.create(name="db")
    with pytest.raises(Conflict):
        house.containers.rename("web", "db")
    with pytest.raises(InvalidParameter):
        house.containers.rename("web", "web")
    listener = house.events.subscribe()
    house.containers.rename("web", "front")
    assert await_event(listener, "rename").attributes["oldName"] == "/web"
    assert house.containers.get("front") is made
    assert house.create(name="web").name == "web"
    assert "renamed web front" in house.sandboxes.calls


# start, end, exit codes


def test_output_exit_code_and_events_of_a_run(house: House) -> None:
    listener = house.events.subscribe()
    made = house.create(*script("echo out; echo err >&2; exit 3"), name="web")
    stream = house.attach("web")
    ended = house.containers.wait("web", "next-exit")
    assert house.containers.start("web")
    assert receive_all(stream) == {1: b"out\n", 2: b"err\n"}
    assert ended.result(PATIENCE) == 3
    assert (made.state.status, made.state.exit_code, made.state.pid, made.state.error) == ("exited", 3, 0, "")
    assert made.state.started_at < made.state.finished_at
    actions = [event.action for event in listener.take()]
    assert actions == ["create", "attach", "start", "die"]
    assert house.containers.wait("web").result(0) == 3


def test_the_death_by_a_signal_is_128_and_its_number(house: House) -> None:
    made = house.run("sleep", "1000")
    house.containers.kill(made.id)
    assert house.containers.wait(made.id).result(PATIENCE) == 137


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("nope", 127, "executable file not found in $PATH"),
        ("/etc", 126, "permission denied"),
        ("/etc/notes", 126, "perm"),
    ],
)
def test_what_cannot_be_executed_leaves_a_created_container(house: House, command: str, code: int, words: str) -> None:
    made = house.create(command, name="web")
    stream = house.attach("web")
    with pytest.raises(StartFailed) as caught:
        house.containers.start("web")
    assert words in caught.value.msg
    assert (caught.value.exit_code, caught.value.status) == (code, 400)
    assert (made.state.status, made.state.exit_code) == ("created", code)
    assert words in made.state.error
    with pytest.raises(StartFailed):
        stream.ready.result(0)
    assert house.sandboxes.opened == []


def test_a_failing_network_is_undone_and_exits_with_128(house: House) -> None:
    house.sandboxes.failure = Failure("no address left")
    made = house.create("true")
    with pytest.raises(Failure, match="no address left"):
        house.containers.start(made.id)
    assert (made.state.status, made.state.exit_code, made.state.error) == ("created", 128, "no address left")
    house.sandboxes.failure = None
    assert house.containers.start(made.id)
    assert house.containers.wait(made.id).result(PATIENCE) == 0
    assert made.state.error == ""


def test_a_container_runs_again_after_it_has_ended(house: House) -> None:
    made = house.run(*script("echo again"))
    for _ in range(3):
        assert house.containers.wait(made.id).result(PATIENCE) == 0
        house.containers.start(made.id)
    house.containers.wait(made.id).result(PATIENCE)
    assert list(house.containers.logs(made.id)) == [(1, b"again\n" * 4)]


def test_starting_what_runs_changes_nothing(house: House) -> None:
    made = house.run("sleep", "1000")
    pid = made.state.pid
    assert not house.containers.start(made.id)
    assert made.state.pid == pid


def test_out_of_memory_is_told(house: House) -> None:
    listener = house.events.subscribe()
    # tail keeps what it reads of a line without an end
    made = house.run("tail", "/dev/zero", host={"memory": 8 << 20})
    assert house.containers.wait(made.id).result(PATIENCE) == 137
    assert made.state.oom_killed
    assert [event.action for event in listener.take()][-2:] == ["oom", "die"]


# stop, kill, pause


def test_stop_is_polite_first(house: House) -> None:
    listener = house.events.subscribe()
    made = house.run(*script("trap 'exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done"))
    follow_until(house, made.id, b"ready\n")
    assert house.containers.stop(made.id)
    assert made.state.exit_code == 5
    assert made.stopped_by_user
    assert [event.action for event in listener.take()][-3:] == ["kill", "die", "stop"]
    assert not house.containers.stop(made.id)


def test_a_process_that_does_not_listen_is_killed_when_time_is_up(house: House) -> None:
    made = house.run("sleep", "1000")
    house.containers.stop(made.id, timeout=0)
    assert made.state.exit_code == 137


def test_the_image_or_the_user_choose_the_signal(house: House) -> None:
    made = house.run(*script("trap 'exit 6' USR1; echo ready; while :; do sleep 1000 & wait; done"), stop_signal="USR1")
    follow_until(house, made.id, b"ready\n")
    house.containers.stop(made.id)
    assert made.state.exit_code == 6


def test_a_signal_that_does_not_end_it_does_not_count_as_stopped(house: House) -> None:
    made = house.run(*script("trap 'echo got' USR1; echo ready; while :; do sleep 1000 & wait; done"))
    follow_until(house, made.id, b"ready\n")
    house.containers.kill(made.id, "USR1")
    follow_until(house, made.id, b"got\n")
    assert not made.stopped_by_user
    with pytest.raises(InvalidParameter):
        house.containers.kill(made.id, "NONSENSE")


def test_what_does_not_run_cannot_be_killed_paused_resized_or_listed(house: House) -> None:
    made = house.create("true")
    for act in (house.containers.kill, house.containers.pause, house.containers.unpause, house.containers.top):
        with pytest.raises(Conflict):
            act(made.id)
    with pytest.raises(Conflict):
        house.containers.resize(made.id, 24, 80)


def test_a_paused_container_stands_still_and_can_be_stopped(house: House) -> None:
    made = house.run("sleep", "1000")
    house.containers.pause(made.id)
    assert made.state.status == "paused"
    with pytest.raises(Conflict, match="already paused"):
        house.containers.pause(made.id)
    with pytest.raises(Conflict, match="unpause"):
        house.containers.start(made.id)
    with pytest.raises(Conflict):
        house.attach(made.id)
    with pytest.raises(Conflict):
        house.containers.exec_create(made.id, ExecOptions(cmd=["true"]))
    house.containers.unpause(made.id)
    assert made.state.status == "running"
    house.containers.pause(made.id)
    house.containers.stop(made.id, timeout=0)
    assert made.state.exit_code == 137


def test_a_restarted_container_has_another_process(house: House) -> None:
    made = house.run("sleep", "1000", host={"auto_remove": True})
    pid = made.state.pid
    listener = house.events.subscribe()
    house.containers.restart(made.id, timeout=0)
    assert made.state.status == "running"
    assert made.state.pid != pid
    assert [event.action for event in listener.take()] == ["kill", "kill", "die", "stop", "start", "restart"]


# remove


def test_removing_what_runs_needs_force(house: House) -> None:
    made = house.run("sleep", "1000", name="web")
    with pytest.raises(Conflict, match='cannot remove container "web": container is running'):
        house.containers.remove("web")
    gone = house.containers.wait("web", "removed")
    house.containers.remove("web", force=True)
    assert gone.result(PATIENCE) == 137
    with pytest.raises(NotFound, match="No such container: web"):
        house.containers.get("web")
    assert not os.path.exists(house.places.container(made.id))


def test_auto_remove_removes_at_the_end_and_keeps_the_exit_code(house: House) -> None:
    made = house.create(*script("exit 4"), host={"auto_remove": True}, name="web")
    gone, ended = house.containers.wait("web", "removed"), house.containers.wait("web", "next-exit")
    house.containers.start("web")
    assert (gone.result(PATIENCE), ended.result(PATIENCE)) == (4, 4)
    assert not os.path.exists(house.places.container(made.id))


def test_auto_remove_also_when_it_cannot_start(house: House) -> None:
    house.create("nope", host={"auto_remove": True}, name="web")
    gone = house.containers.wait("web", "removed")
    with pytest.raises(StartFailed):
        house.containers.start("web")
    assert gone.result(PATIENCE) == 127
    assert house.containers.list() == []


def test_removing_a_created_container_tells_who_waits_and_who_is_attached(house: House) -> None:
    house.create(name="web")
    stream, waiting = house.attach("web"), house.containers.wait("web", "next-exit")
    house.containers.remove("web")
    assert waiting.result(PATIENCE) == 0
    with pytest.raises(Conflict):
        stream.ready.result(0)


# restart policies


def test_a_failing_container_is_restarted_as_often_as_was_said(house: House) -> None:
    listener = house.events.subscribe()
    host = {"restart_policy": RestartPolicy(name="on-failure", maximum_retry_count=2)}
    made = house.create(*script("echo run; exit 7"), host=host)
    ended = house.containers.wait(made.id, "next-exit")
    house.containers.start(made.id)
    assert ended.result(PATIENCE) == 7
    assert (made.restart_count, made.state.status) == (2, "exited")
    assert list(house.containers.logs(made.id)) == [(1, b"run\n" * 3)]
    deaths = [event.time_ns for event in listener.take() if event.action in ("die", "start")]
    assert deaths[2] - deaths[1] >= 100_000_000
    assert deaths[4] - deaths[3] >= 200_000_000


def test_stopping_between_two_lives_ends_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netd.runtime.restart._FIRST_DELAY", 1000.0)
    made = house.create("false", host={"restart_policy": RestartPolicy(name="always")})
    ended = house.containers.wait(made.id, "next-exit")
    house.containers.start(made.id)
    until(lambda: made.state.status == "restarting")
    assert made.state.running
    assert not ended.done()
    with pytest.raises(Conflict, match="is restarting"):
        house.attach(made.id)
    with pytest.raises(Conflict, match="container is restarting"):
        house.containers.remove(made.id)
    house.containers.stop(made.id)
    assert ended.result(PATIENCE) == 1
    assert made.state.status == "exited"


def test_a_follower_of_the_log_stays_over_restarts(house: House) -> None:
    host = {"restart_policy": RestartPolicy(name="on-failure", maximum_retry_count=2)}
    made = house.run(*script("echo run; exit 1"), host=host)
    assert b"".join(data for _, data in house.containers.logs(made.id, follow=True)) == b"run\n" * 3


def test_what_the_user_stopped_is_not_restarted(house: House) -> None:
    made = house.run("sleep", "1000", host={"restart_policy": RestartPolicy(name="always")})
    house.containers.stop(made.id, timeout=0)
    assert (made.state.status, made.restart_count) == ("exited", 0)


# streams


def test_input_goes_in_and_its_end_ends_the_process(house: House) -> None:
    made = house.create("cat", open_stdin=True, stdin_once=True)
    stream = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    data = os.urandom(300_000)
    sender = threading.Thread(target=lambda: (send_all(stream, data), stream.end_input()))
    sender.start()
    assert receive_all(stream)[1] == data
    sender.join()
    assert house.containers.wait(made.id).result(PATIENCE) == 0


def test_a_client_that_leaves_does_not_end_an_input_that_stays_open(house: House) -> None:
    made = house.create("cat", open_stdin=True)
    first = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    send_all(first, b"one\n")
    receive_until(first, b"one\n")
    first.close()
    second = house.attach(made.id, stdin=True)
    send_all(second, b"two\n")
    assert receive_until(second, b"two\n") == b"two\n"


def test_a_listener_that_leaves_does_not_end_another_s_input(house: House) -> None:
    made = house.create("cat", open_stdin=True, stdin_once=True)
    first = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    listener = house.attach(made.id)
    send_all(first, b"one\n")
    receive_until(listener, b"one\n")
    listener.close()
    send_all(first, b"two\n")
    receive_until(first, b"two\n")
    first.end_input()
    assert receive(first) is None


def test_a_terminal_is_one_stream_of_the_size_that_was_set(house: House) -> None:
    made = house.create("sh", tty=True, open_stdin=True, stdin_once=True, env=["PS1=> "])
    stream = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    receive_until(stream, b"> ")
    house.containers.resize(made.id, 33, 99)
    await_output(stream, b"stty size\n", b"33 99")
    send_all(stream, b"tty; echo err >&2; exit 9\n")
    rest = receive_all(stream)
    assert b"/dev/pts/0\r\n" in rest[1]
    assert b"err\r\n" in rest[1]
    assert rest[2] == b""
    assert house.containers.wait(made.id).result(PATIENCE) == 9


def test_one_can_leave_a_terminal_and_come_back(house: House) -> None:
    made = house.create("sh", tty=True, open_stdin=True, stdin_once=True, env=["PS1=> "])
    stream = house.attach(made.id, stdin=True)
    house.containers.start(made.id)
    receive_until(stream, b"> ")
    stream.close()
    again = house.attach(made.id, stdin=True)
    send_all(again, b"exit 8\n")
    receive_all(again)
    assert house.containers.wait(made.id).result(PATIENCE) == 8


def test_a_client_that_does_not_read_cannot_hold_up_the_end(house: House) -> None:
    made = house.create("cat", "/dev/zero")
    stream = house.attach(made.id)
    house.containers.start(made.id)
    stream.ready.result(PATIENCE)
    house.containers.kill(made.id)
    assert house.containers.wait(made.id).result(PATIENCE) == 137


# logs


def follow_until(house: House, ref: str, end: bytes) -> bytes:
    seen = b""
    reader = house.containers.logs(ref, follow=True)
    for _, data in reader:
        seen += data
        if seen.endswith(end):
            reader.close()
    return seen


def test_a_log_is_read_after_the_end_by_stream_tail_and_time(house: House) -> None:
    made = house.run(*script("for i in 1 2 3; do echo out$i; echo err$i >&2; done; printf rest"))
    house.containers.wait(made.id).result(PATIENCE)
    logs = house.containers.logs
    assert b"".join(data for _, data in logs(made.id, stderr=False)) == b"out1\nout2\nout3\nrest"
    assert b"".join(data for _, data in logs(made.id, stdout=False, tail=2)) == b"err2\nerr3\n"
    assert b"".join(data for _, data in logs(made.id, stderr=False, tail=1)) == b"rest"
    assert list(logs(made.id, tail=0)) == []
    stamped = b"".join(data for _, data in logs(made.id, stderr=False, tail=2, timestamps=True)).decode()
    assert [line.split(" ")[1] for line in stamped.splitlines()] == ["out3", "rest"]
    assert all(line.split(" ")[0].endswith("Z") for line in stamped.splitlines())


def test_following_ends_with_the_container_and_has_everything(house: House) -> None:
    made = house.run(
        *script("echo first; read line; i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done"), open_stdin=True
    )
    seen: list[bytes] = []
    reader = house.containers.logs(made.id, follow=True)
    thread = threading.Thread(target=lambda: seen.extend(data for _, data in reader))
    thread.start()
    send_all(house.attach(made.id, stdin=True), b"go\n")
    thread.join(PATIENCE)
    assert b"".join(seen) == b"first\n" + b"".join(b"%d\n" % number for number in range(2000))


def test_the_log_of_a_container_that_never_ran_is_empty_and_over(house: House) -> None:
    assert list(house.containers.logs(house.create("true").id, follow=True)) == []


# exec and top


def execute(house: House, ref: str, *command: str, **options: object) -> tuple[dict[int, bytes], int]:
    wanted = ExecOptions(attach_stdout=True, attach_stderr=True, cmd=list(command), **options)  # type: ignore[arg-type]
    listener = house.events.subscribe()
    exec_id = house.containers.exec_create(ref, wanted)
    stream = house.start_exec(exec_id)
    received = receive_all(stream)
    await_event(listener, "exec_die")
    state = house.containers.exec_inspect(exec_id)
    assert state.exit_code is not None
    assert not state.running
    return received, state.exit_code


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


# another daemon


def test_a_new_daemon_knows_what_runs_and_what_not(house: House) -> None:
    running = house.run("sleep", "1000", name="running")
    paused = house.run("sleep", "1000", name="paused")
    house.containers.pause("paused")
    house.create("true", name="created")
    house.run("false", name="ended")
    house.containers.wait("ended").result(PATIENCE)
    again = house.new_daemon()
    states = {each.name: each.state.status for each in again.list()}
    assert states == {"running": "running", "paused": "paused", "created": "created", "ended": "exited"}
    assert again.get("running").state.pid == running.state.pid
    assert again.get("ended").state.exit_code == 1
    assert execute(house, "running", "echo", "hi") == ({1: b"hi\n", 2: b""}, 0)
    again.unpause("paused")
    again.stop("running", timeout=0)
    assert again.get("running").state.exit_code == 137
    assert paused.state.pid == again.get("paused").state.pid


def test_what_ended_without_a_daemon_is_told_by_the_next(house: House) -> None:
    made = house.run("sleep", "1000", name="web")
    removed = house.run("sleep", "1000", name="removed", host={"auto_remove": True})
    house.containers.close()
    for each in (made, removed):
        os.kill(each.state.pid, 9)
    until(lambda: all(Path(house.places.run, "containers", each.id, "exit").exists() for each in (made, removed)))
    listener = house.events.subscribe()
    again = house.new_daemon()
    assert {event.actor_id for event in listener.take() if event.action == "die"} == {made.id, removed.id}
    assert [each.name for each in again.list()] == ["web"]
    assert (again.get("web").state.status, again.get("web").state.exit_code) == ("exited", 137)


def test_a_new_daemon_watches_the_execs_too(house: House) -> None:
    made = house.run("sleep", "1000", name="web")
    exec_id = house.containers.exec_create(made.id, ExecOptions(cmd=["sleep", "1000"]))
    house.containers.exec_start(exec_id, attached=False)
    again = house.new_daemon()
    state = again.exec_inspect(exec_id)
    assert state.running
    os.kill(state.pid, 9)
    until(lambda: again.exec_inspect(exec_id).exit_code == 137)


def test_policies_after_the_daemon_was_away(house: House) -> None:
    policies = {"no": "", "always": "always", "unless": "unless-stopped", "failed": "on-failure"}
    for name, policy in policies.items():
        house.run("sleep", "1000", name=name, host={"restart_policy": RestartPolicy(name=policy)})
        house.run("sleep", "1000", name=f"{name}-stopped", host={"restart_policy": RestartPolicy(name=policy)})
        house.containers.stop(f"{name}-stopped", timeout=0)
    house.create("sleep", "1000", name="created", host={"restart_policy": RestartPolicy(name="always")})
    house.reboot()
    again = house.new_daemon()
    running = {each.name for each in again.list() if each.state.status == "running"}
    assert running == {"always", "always-stopped", "unless", "failed"}
    assert again.get("no").state.exit_code == 255
    assert again.get("created").state.status == "created"
    assert again.get("no").state.started_at != NEVER


def test_auto_remove_after_a_reboot(house: House) -> None:
    made = house.run("sleep", "1000", host={"auto_remove": True})
    house.reboot()
    assert house.new_daemon().list() == []
    assert not os.path.exists(house.places.container(made.id))


def test_a_container_whose_conmon_was_killed_is_ended_and_restarted(house: House) -> None:
    listener = house.events.subscribe()
    made = house.run("sleep", "1000", host={"restart_policy": RestartPolicy(name="on-failure")})
    pid = made.state.pid
    conmon_pid = int(Path(house.places.run, "containers", made.id, "conmon.pid").read_text())
    os.kill(conmon_pid, 9)
    assert await_event(listener, "die").attributes["exitCode"] == "137"
    await_event(listener, "start")
    assert made.state.pid != pid
    # a zombie has no program any more, whoever is to reap it
    assert not Path(f"/proc/{pid}/exe").exists()


def test_a_killed_runc_start_leaves_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made = house.create("sleep", "1000")

    def dies(*_arguments: object) -> None:
        raise OSError(5, "the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("netd.runtime.runc.Runc.release", dies)
        with pytest.raises(Failure, match="the disk is gone"):
            house.containers.start(made.id)
    assert processes_of(str(house.base)) == []
    assert (made.state.status, made.state.exit_code) == ("created", 128)
    assert house.containers.start(made.id)


def test_control_groups_that_runc_forgot_go_with_what_is_in_them(house: House) -> None:
    made = house.run("sleep", "1000")
    group = group_of(made.state.pid)
    house.containers.close()
    bundle = f"{house.places.run}/containers/{made.id}"
    conmon.abandon(bundle)
    assert conmon.open_process(bundle) == -1
    os.unlink(f"{house.places.run}/runc/{made.id}/state.json")
    assert members(group) == {made.state.pid}
    again = house.new_daemon()
    assert not os.path.exists(group)
    assert (again.get(made.id).state.status, again.get(made.id).state.exit_code) == ("exited", 255)


def test_ten_containers_at_a_time(house: House) -> None:
    made = [house.create(*script(f"echo {number}; exit {number}")) for number in range(10)]
    waiting = [house.containers.wait(each.id, "next-exit") for each in made]
    threads = [threading.Thread(target=house.containers.start, args=(each.id,)) for each in made]
    for thread in threads:
        thread.start()
    assert [each.result(PATIENCE) for each in waiting] == list(range(10))
    for thread in threads:
        thread.join()
    control_groups = subprocess.run(
        ["find", "/sys/fs/cgroup", "-name", f"*{made[0].id}*"], capture_output=True, check=True
    )
    assert control_groups.stdout == b""


def test_on_a_full_disk_containers_are_stopped_and_removed_all_the_same(house: House) -> None:
    root = house.places.containers
    os.makedirs(root, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", root], check=True)
    try:
        for name in ("web", "db"):
            house.create("sleep", "600", name=name)
            house.containers.start(name)
        with open(f"{root}/ballast", "wb", buffering=0) as ballast, pytest.raises(OSError, match="No space left"):
            while True:
                ballast.write(bytes(4096))
        with pytest.raises(Failure, match=r"container late.*no space left on device"):
            house.create("sleep", "600", name="late")
        assert house.containers.stop("web", 0, "")
        assert house.containers.get("web").state.status == "exited"
        house.containers.remove("db", force=True)
        house.containers.remove("web")
        assert [container.name for container in house.containers.list()] == []
        os.unlink(f"{root}/ballast")
        house.create("sleep", "600", name="late")
        house.containers.remove("late")
    finally:
        for container in house.containers.list():
            house.containers.remove(container.id, force=True)
        subprocess.run(["umount", "--lazy", root], check=True)
