"""`container_house` as a fixture that must be left clean, and what tests of its containers ask again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from container_client import PATIENCE, await_event, receive_all
from container_house import House

from netd.runtime.model import ExecOptions


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


def follow_until(house: House, ref: str, end: bytes) -> bytes:
    seen = b""
    reader = house.containers.logs(ref, follow=True)
    for _, data in reader:
        seen += data
        if seen.endswith(end):
            reader.close()
    return seen


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
