"""Running programs: exact input and environment, large outputs, failures in Go's words, what a child inherits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycni.execute import Completed, execute


def script(tmp_path: Path, body: str, name: str = "plugin", interpreter: str = "/bin/sh") -> str:
    path = tmp_path / name
    path.write_text(f"#!{interpreter}\n{body}\n")
    path.chmod(0o755)
    return str(path)


def python(tmp_path: Path, body: str) -> str:
    return script(tmp_path, body, interpreter=f"{sys.executable} -IS")


def test_input_and_environment_arrive_unchanged(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    path = script(tmp_path, 'echo "$A|$B" >&2; exec /bin/cat')
    assert execute(path, {"A": "x y", "B": "\udcff"}, data) == Completed("", data, b"x y|\xff\n")
    assert execute("/usr/bin/env", {"ONLY": "this"}, b"").stdout == b"ONLY=this\n"


def test_large_outputs_on_both_streams_cannot_block(tmp_path: Path) -> None:
    body = """
import os
for _ in range(64):
    os.write(2, b"e" * 65536)
    os.write(1, b"o" * 65536)
data = b""
while chunk := os.read(0, 1 << 20):
    data += chunk
os.write(1, data[-5:])
"""
    done = execute(python(tmp_path, body), {}, b"i" * (4 << 20) + b"end.\n")
    assert done == Completed("", b"o" * (4 << 20) + b"end.\n", b"e" * (4 << 20))


def test_a_shell_may_open_the_streams_by_name(tmp_path: Path) -> None:
    path = script(
        tmp_path, "/bin/cat /dev/stdin; echo one >/dev/stdout; echo two >/dev/stdout; echo three >/dev/stderr"
    )
    assert execute(path, {}, b"zero\n") == Completed("", b"zero\none\ntwo\n", b"three\n")


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("exit 3", "exit status 3"),
        ("kill -KILL $$", "signal: killed"),
        ("kill -TERM $$", "signal: terminated"),
    ],
)
def test_how_it_ended(tmp_path: Path, body: str, failure: str) -> None:
    assert execute(script(tmp_path, f"echo out; {body}"), {}, b"") == Completed(failure, b"out\n", b"")


def test_what_cannot_be_started(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("text")
    assert execute(str(plain), {}, b"").failure == f"fork/exec {plain}: permission denied"
    plain.chmod(0o755)
    assert execute(str(plain), {}, b"").failure == f"fork/exec {plain}: exec format error"
    gone = tmp_path / "gone"
    assert execute(str(gone), {}, b"").failure == f"fork/exec {gone}: no such file or directory"


def test_a_busy_file_is_tried_again(tmp_path: Path) -> None:
    path = script(tmp_path, "echo ready")
    naps: list[float] = []
    with open(path, "ab") as writer:

        def finish_writing(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                writer.close()

        assert execute(path, {}, b"", sleep=finish_writing) == Completed("", b"ready\n", b"")
    assert naps == [1.0, 1.0, 1.0]


def test_a_file_that_stays_busy_fails_after_six_attempts(tmp_path: Path) -> None:
    path = script(tmp_path, "echo ready")
    naps: list[float] = []
    with open(path, "ab"):
        assert execute(path, {}, b"", sleep=naps.append) == Completed(f"fork/exec {path}: text file busy")
    assert len(naps) == 5


def test_the_child_inherits_neither_our_files_nor_our_signals(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    ours = os.readlink(f"/proc/self/fd/{reader}")
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD})
    try:
        assert ours not in execute(script(tmp_path, "/bin/ls -l /proc/self/fd"), {}, b"").stdout.decode()
        state = execute(script(tmp_path, "/bin/grep Sig /proc/self/status"), {}, b"").stdout.decode()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        os.close(reader)
        os.close(writer)
    masks = dict(line.split(":\t") for line in state.splitlines())
    assert int(masks["SigBlk"], 16) == 0
    # the interpreter ignores these two for itself
    assert not int(masks["SigIgn"], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


def test_started_inside_and_nothing_else_is(tmp_path: Path) -> None:
    """Only the start happens within the block; waiting does not."""
    trace: list[str] = []

    @contextmanager
    def inside() -> Iterator[None]:
        trace.append("in")
        yield
        trace.append("out")

    release = tmp_path / "fifo"
    os.mkfifo(release)
    path = script(tmp_path, f"read line <{release}; echo $line")

    @contextmanager
    def releasing() -> Iterator[None]:
        with inside():
            yield
        # the child is running and waits for us: had `execute` waited for it inside, this line would never come
        release.write_text("go\n")

    assert execute(path, {}, b"", releasing).stdout == b"go\n"
    assert trace == ["in", "out"]


def test_closed_standard_streams_of_ours_do_not_matter(tmp_path: Path) -> None:
    path = script(tmp_path, "echo out; echo err >&2; exec /bin/cat")
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from pycni.execute import Completed, execute
report = os.dup(1)
os.set_inheritable(report, False)
for fd in (0, 1, 2):
    os.close(fd)
done = execute({path!r}, {{}}, b"in")
os.write(report, repr((done.failure, done.stdout, done.stderr)).encode())
"""
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == repr(("", b"out\nin", b"err\n"))


def test_no_descriptor_and_no_child_is_left(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    execute(script(tmp_path, "exit 1"), {}, b"x")
    execute("/nowhere", {}, b"x")
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
