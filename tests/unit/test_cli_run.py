"""`pynet run` against a scripted daemon: the calls of docker's own command, in its order, its exit statuses, streams
that keep their bytes, and signals."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from api_script import ID, LIMIT, Request, Script
from cli_process import piped, started
from scripted_container import AT, Cat, Container, Sleep


def test_foreground(said: Script, tmp_path: Path) -> None:
    Container(said, status=7)
    done = piped(tmp_path, "run", "--name", "web", "busybox", "sh", "-c", "exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert said.asked == ["POST /containers/create", *(f"POST {AT}/{each}" for each in ("attach", "wait", "start"))]
    assert said.query("POST /containers/create") == {"name": "web"}
    assert said.query(f"POST {AT}/attach") == {"stream": "1", "stdout": "1", "stderr": "1"}
    body = said.body("POST /containers/create")
    assert body["Cmd"] == ["sh", "-c", "exit 7"] and body["AttachStdout"] and "AttachStdin" not in body


def test_rm_waits_for_the_removal(said: Script, tmp_path: Path) -> None:
    Container(said, condition="removed")
    assert piped(tmp_path, "run", "--rm", "busybox").returncode == 0
    assert said.body("POST /containers/create")["HostConfig"]["AutoRemove"] is True


def test_detached(said: Script, tmp_path: Path) -> None:
    Container(said)
    said.on("POST /containers/create", {"Id": ID, "Warnings": ["--memory is not kept"]})
    cidfile = tmp_path / "cid"
    done = piped(tmp_path, "run", "-d", "--cidfile", str(cidfile), "busybox")
    assert (done.returncode, done.stdout) == (0, f"{ID}\n".encode())
    assert done.stderr == b"pynet: warning: --memory is not kept\n"
    assert said.asked == ["POST /containers/create", f"POST {AT}/start"]
    assert cidfile.read_text() == ID
    done = piped(tmp_path, "run", "-d", "--cidfile", str(cidfile), "busybox")
    assert done.returncode == 125 and b"--cidfile" in done.stderr and len(said.asked) == 2


def test_input_is_passed_on_and_its_end_too(said: Script, tmp_path: Path) -> None:
    Cat(said)
    text = bytes(range(256)) * 4096
    done = piped(tmp_path, "run", "-i", "busybox", "cat", stdin=text)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == text + b"end\n"
    body = said.body("POST /containers/create")
    assert body["OpenStdin"] and body["StdinOnce"] and body["AttachStdin"] and "Tty" not in body


def test_input_that_never_ends_does_not_hold_the_end_up(said: Script, tmp_path: Path) -> None:
    Container(said, status=3)
    process = started(tmp_path, "run", "-i", "busybox")
    assert process.wait(LIMIT) == 3
    assert process.communicate()[0] == b"out\n"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ('runc: exec: "nope": executable file not found in $PATH', 127),
        ('runc: exec: "/etc": permission denied', 126),
        ("port is already allocated", 125),
    ],
)
def test_a_start_that_fails(said: Script, tmp_path: Path, message: str, status: int) -> None:
    Container(said)
    said.on(f"POST {AT}/start", lambda request: request.refuse(500, message))
    said.on(f"POST {AT}/attach", lambda request: request.upgrade())
    said.on(f"POST {AT}/wait", lambda request: request.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    for more in ([], ["-d"]):
        done = piped(tmp_path, "run", *more, "busybox")
        assert (done.returncode, done.stderr.decode()) == (status, f"pynet: {message}\n")
        assert done.stdout.decode() == (f"{ID}\n" if more else "")


def test_an_image_that_is_not_here_is_pulled(said: Script, tmp_path: Path) -> None:
    Container(said)

    def absent(request: Request) -> None:
        request.refuse(404, "No such image: example.org/team/app:1")

    pulled = (b'{"status":"Pulling","id":"a1"}\n', b'{"status":"Done","id":"a1"}\n')
    said.on("POST /containers/create", absent, {"Id": ID, "Warnings": []})
    said.on("POST /images/create", lambda request: request.chunks(*pulled))
    done = piped(tmp_path, "run", "-d", "example.org/team/app:1")
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        "image example.org/team/app:1 is not here yet: pulling it",
        "a1: Pulling",
        "a1: Done",
    ]
    assert said.query("POST /images/create") == {"fromImage": "example.org/team/app", "tag": "1"}

    said.on("POST /containers/create", absent)
    done = piped(tmp_path, "run", "--pull", "never", "example.org/team/app:1")
    assert (done.returncode, done.stderr) == (125, b"pynet: No such image: example.org/team/app:1\n")

    said.on("POST /images/create", lambda request: request.chunks(b'{"error":"unauthorized"}\n'))
    done = piped(tmp_path, "run", "-q", "example.org/team/app:1")
    assert (done.returncode, done.stderr) == (125, b"pynet: unauthorized\n")

    said.asked.clear()
    said.on("POST /containers/create", {"Id": ID, "Warnings": []})
    said.on("POST /images/create", lambda request: request.chunks(*pulled))
    assert piped(tmp_path, "run", "-dq", "--pull=always", "busybox").stderr == b""
    assert said.asked[:2] == ["POST /images/create", "POST /containers/create"]


def test_signals_go_to_the_container(said: Script, tmp_path: Path) -> None:
    Sleep(said)
    process = started(tmp_path, "run", "busybox")
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT) == 143
    process.communicate()
    assert said.query(f"POST {AT}/kill") == {"signal": "15"}


def test_without_sig_proxy_a_signal_is_ours(said: Script, tmp_path: Path) -> None:
    sleeping = Sleep(said)
    process = started(tmp_path, "run", "--sig-proxy=false", "busybox")
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT) == 130
    process.communicate()
    assert sleeping.signals == []
    sleeping.signals.append("0")
    sleeping.signalled.set()


def test_a_reader_that_has_seen_enough(said: Script, tmp_path: Path) -> None:
    class Chatter(Container):
        def program(self, _typed: Any) -> None:
            while True:
                self.write(1, b"x" * 65536)

    Chatter(said)
    process = started(tmp_path, "run", "busybox")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.wait(LIMIT) == 141
    assert process.communicate()[1] == b""


def interrupted_at_create(
    said: Script, folder: Path, *words: str, number: int = signal.SIGINT
) -> tuple[int, bytes, bytes]:
    """What `run` ends with when a signal comes while the daemon makes the container."""
    asked, go_on = threading.Event(), threading.Event()

    def create(request: Request) -> None:
        asked.set()
        assert go_on.wait(LIMIT)
        request.answer({"Id": ID, "Warnings": []})

    said.on("POST /containers/create", create)
    process = started(folder, "run", *words, "busybox")
    assert asked.wait(LIMIT)
    process.send_signal(number)
    go_on.set()
    out, err = process.communicate(timeout=LIMIT)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", [("--rm",), ("--rm", "-d")])
def test_a_signal_before_the_start_leaves_no_container(
    said: Script, tmp_path: Path, number: int, words: tuple[str, ...]
) -> None:
    Container(said)
    said.on(f"DELETE {AT}", lambda request: request.answer())
    assert interrupted_at_create(said, tmp_path, *words, number=number) == (128 + number, b"", b"")
    assert f"POST {AT}/start" not in said.asked and said.asked[-1] == f"DELETE {AT}"
    assert said.query(f"DELETE {AT}") == {"force": "1"}


def test_a_container_that_stays_is_named(said: Script, tmp_path: Path) -> None:
    Container(said)
    status, out, err = interrupted_at_create(said, tmp_path)
    assert (status, out, err) == (130, b"", b"pynet: container c0ffee000000 was made, and not started\n")
    assert f"POST {AT}/start" not in said.asked
