from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netd.failure import Unavailable
from netd.runtime.images.durable import Work, WorkArea
from netd.runtime.images.programs import ProgramFailed, lines, on_terminal, output, position, said_last


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with WorkArea(str(tmp_path / "work")).directory() as made:
        yield made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'time="2026-11-21T09:00:00Z" level=warning msg="never mind"\n'
            'time="2026-11-21T09:00:01Z" level=fatal msg="Error parsing \\"docker://x\\": manifest unknown"\n',
            'Error parsing "docker://x": manifest unknown',
        ),
        ("   ⨯ get manifest: no such file\n", "get manifest: no such file"),
        ("first\nlast words\n\n", "last words"),
        ("", "no reason given"),
        ('level=fatal msg="a\\x1bb"', "a\x1bb"),
    ],
)
def test_the_reason_is_found(text: str, said: str) -> None:
    assert said_last(text) == said


def test_output_and_failure(work: Work) -> None:
    assert output(work, ["sh", "-c", "echo noise >&2; pwd"]).decode().strip() == work.path
    with pytest.raises(ProgramFailed) as raised:
        output(work, ["sh", "-c", "echo it broke >&2; exit 3"])
    assert raised.value.said == "it broke" and str(raised.value) == "sh: it broke"


def test_a_terminal_of_a_known_width(work: Work) -> None:
    heard: list[str] = []
    on_terminal(work, ["sh", "-c", "test -t 1 && stty size <&1"], heard.append)
    assert "".join(heard).strip() == "50 200"
    with pytest.raises(ProgramFailed, match="no luck"):
        on_terminal(work, ["sh", "-c", "echo no luck >&2; exit 1"], heard.append)


def test_lines_and_how_far_it_has_read(work: Work, tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * 5000)
    go = tmp_path / "go"
    os.mkfifo(go)
    heard: list[str] = []
    seen: list[int] = []

    def idle(pid: int) -> None:
        seen.append(position(pid, str(big)))
        if seen[-1]:
            with open(go, "w") as stream:
                stream.write("go\n")

    script = f"echo one; exec 3<{big}; head -c 3000 <&3 >/dev/null; read word <{go}; echo two"
    lines(work, ["bash", "-c", script], heard.append, idle)
    assert heard == ["one", "two"]
    assert seen[-1] == 3000 or seen[-1] == 5000  # head may read ahead
    assert position(1 << 30, str(big)) == 0


def test_lines_of_a_failure(work: Work) -> None:
    with pytest.raises(ProgramFailed) as raised:
        lines(work, ["sh", "-c", "echo '   ⨯ bad layer'; exit 1"], lambda _: None, lambda _: None)
    assert raised.value.said == "bad layer"


@pytest.mark.parametrize("runner", ["terminal", "lines"])
def test_who_listens_may_call_it_off(work: Work, runner: str) -> None:
    class Off(Exception):
        pass

    def heard(_text: str) -> None:
        raise Off

    command = ["sh", "-c", "echo begun; exec sleep 600"]
    before = time.monotonic()
    with pytest.raises(Off):
        on_terminal(work, command, heard) if runner == "terminal" else lines(work, command, heard, lambda _: None)
    assert time.monotonic() - before < 60


def test_a_program_that_is_missing(work: Work) -> None:
    with pytest.raises(Unavailable, match="no-such-skopeo is not installed"):
        output(work, ["no-such-skopeo"])
    with pytest.raises(Unavailable, match="no-such-skopeo is not installed"):
        on_terminal(work, ["no-such-skopeo"], lambda _: None)


def test_work_vanishes_and_only_what_nobody_does_is_swept(tmp_path: Path) -> None:
    area = WorkArea(str(tmp_path / "work"))
    abandoned = tmp_path / "work" / "abandoned"
    (abandoned / "deep").mkdir(parents=True)
    with area.directory() as work:
        Path(work.path, "file").touch()
        area.sweep()
        assert os.path.exists(f"{work.path}/file")
        assert not abandoned.exists()
    assert os.listdir(area.path) == []
