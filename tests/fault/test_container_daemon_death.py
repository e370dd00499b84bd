"""kill -9 of the daemon at every step of what it does with a container: a new one finds a container that is whole, or
none, can do everything with it, and leaves nothing; and a container that ran all the time never notices."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "netns"))

from container_client import PATIENCE
from container_house import House

from netd.failure import NotFound
from netd.runtime.model import ExecOptions

HERE = Path(__file__).resolve().parent
KILLED = -9


class Dying:
    """Daemons of a house that die."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._server = subprocess.Popen(
            [sys.executable, "-I", str(HERE / "container_dying.py"), str(house.base)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, deed: str, step: int) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps({"do": deed, "step": step}) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def close(self) -> None:
        self._server.communicate()


@pytest.fixture
def dying() -> Iterator[Dying]:
    with House() as house:
        house.run("sleep", "1000", name="stays")
        house.containers.close()
        made = Dying(house)
        try:
            yield made
        finally:
            made.close()


def recovered(house: House) -> list[str]:
    """What a new daemon cannot put right; afterwards there is only the container that stays."""
    containers = house.new_daemon()
    problems = []
    for each in containers.list():
        if each.name == "stays":
            continue
        if each.host_config.auto_remove:
            # it has ended, or is about to
            with contextlib.suppress(NotFound):
                containers.wait(each.id, "removed").result(PATIENCE)
            continue
        if each.state.status == "running":
            exec_id = containers.exec_create(each.id, ExecOptions(cmd=["true"]))
            containers.exec_start(exec_id, attached=False)
            if containers.exec_ended(exec_id).result(PATIENCE) != 0:
                problems.append(f"{each.name} runs, but nothing can be executed in it")
        elif each.state.status not in ("created", "exited") or each.state.pid:
            problems.append(f"{each.name} is {each.state}")
        containers.stop(each.id, timeout=0)
        containers.start(each.id)
        containers.remove(each.id, force=True)
    stays = containers.get("stays")
    if stays.state.status != "running" or not Path(f"/proc/{stays.state.pid}/exe").exists():
        problems.append(f"the other container is {stays.state}")
    # files of a removed container are deleted behind the answer
    containers.close()
    problems += [found for found in house.left() if stays.id not in found and not is_of(stays.state.pid, found)]
    return problems


def is_of(pid: int, found: str) -> bool:
    """Whether it is the process that monitors `pid`."""
    status = Path(f"/proc/{pid}/status").read_text()
    parent = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:"))
    return found == f"process {parent}"


@pytest.mark.parametrize("deed", ["cycle", "run", "exec"])
def test_a_daemon_killed_at_any_step_leaves_what_the_next_can_use(dying: Dying, deed: str) -> None:
    whole = dying.ask(deed, 0)
    assert whole["status"] == 0
    assert whole["steps"] > 5
    assert recovered(dying.house) == []
    problems = []
    for step in range(1, whole["steps"] + 1):
        died = dying.ask(deed, step)
        # threads race: a step may not come, when others were fewer this time
        if died["status"] != KILLED:
            assert died["status"] == 0, died
            continue
        left = recovered(dying.house)
        if left:
            problems.append("\n    ".join([f"killed before {died['chosen']}", *left]))
    assert not problems, "\n".join(problems)
