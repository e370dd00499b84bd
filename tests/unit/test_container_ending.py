"""What is said of a container whose process has ended."""

from __future__ import annotations

from typing import Any, cast

import pytest

from netd.runtime import moments
from netd.runtime.ending import Ending
from netd.runtime.model import Container, ContainerConfig, HostConfig, State
from netd.runtime.parts import Parts

BEGAN = 1_700_000_000 * moments.NANOSECONDS + 500
MILLISECOND = 1_000_000


class Told:
    """In place of all parts: what was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, str]]] = []

    def tell(self, _container: Container, action: str, **attributes: str) -> None:
        self.events.append((action, attributes))


def no_work(_entry: Any) -> None:
    raise AssertionError("nothing is started or removed")


@pytest.mark.parametrize(
    ("moment", "finished", "seconds"),
    [
        (BEGAN + 2_500 * MILLISECOND, BEGAN + 2_500 * MILLISECOND, "2"),
        (BEGAN - 4 * MILLISECOND, BEGAN + 1, "0"),
    ],
)
def test_an_end_is_after_the_start_whatever_the_clock_of_files_says(moment: int, finished: int, seconds: str) -> None:
    told = Told()
    container = Container("i", "web", "", ContainerConfig(), HostConfig())
    container.state = State(status="running", pid=7, started_at=moments.written(BEGAN))
    Ending(cast(Parts, told), no_work, no_work).note_end(container, 3, False, moment)
    state = container.state
    assert (state.status, state.exit_code, state.pid) == ("exited", 3, 0)
    assert (state.started_at, state.finished_at) == (moments.written(BEGAN), moments.written(finished))
    assert told.events == [("die", {"exitCode": "3", "execDuration": seconds})]
