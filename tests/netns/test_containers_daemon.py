"""Containers under real conmon and runc: what the next daemon makes of them, and of conmon or runc killed."""

from __future__ import annotations

import os
from pathlib import Path

from clean_house import execute, house
from container_client import PATIENCE, await_event, until
from container_house import House

from netd.runtime import conmon
from netd.runtime.control_groups import group_of, members
from netd.runtime.model import NEVER, ExecOptions, RestartPolicy

__all__ = ["house"]


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
