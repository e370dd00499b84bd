"""Containers under real conmon and runc: create, start, stop, remove."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest
from clean_house import follow_until, house, script
from container_client import PATIENCE, await_event, receive_all
from container_house import House, processes_of

from netd.failure import Conflict, Failure, InvalidParameter, NotFound
from netd.runtime.model import NEVER, ExecOptions
from netd.runtime.start_failure import StartFailed

__all__ = ["house"]


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


# mishaps, and many at a time


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
