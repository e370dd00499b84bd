"""Homes: what is watched, and that nobody waits for the kernel's end of a watch."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from netd.dhcp.homes import Homes
from netd.directory_watch import Watch
from netd.loop import Loop

SECONDS = 10.0


def identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def test_forgetting_the_last_one_of_a_directory_does_not_wait_for_the_watch_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed, closed = threading.Event(), threading.Event()
    close = Watch.close

    def slowly(watch: Watch) -> None:
        assert allowed.wait(SECONDS)
        close(watch)
        closed.set()

    monkeypatch.setattr(Watch, "close", slowly)
    home = tmp_path / "ns"
    home.touch()
    loop = Loop()
    homes = Homes(loop)
    gone: list[str] = []
    homes.watch("one", str(home), identity(home), lambda: gone.append("one"))
    homes.forget("one")
    assert not closed.is_set()
    # one that comes meanwhile has a watch of its own

    def two_is_gone() -> None:
        gone.append("two")
        homes.forget("two")
        loop.stop()

    homes.watch("two", str(home), identity(home), two_is_gone)
    allowed.set()
    assert closed.wait(SECONDS)
    home.unlink()
    loop.run()
    assert gone == ["two"]
    homes.close()
    loop.close()
