"""`pynet exec` against a scripted daemon: its calls, streams, terminal and exit statuses."""

from __future__ import annotations

from pathlib import Path

from api_script import LIMIT, Script
from cli_process import piped, pynet_terminal, raw
from scripted_container import Cat, Container


class Execution(Container):
    """The same for a process beside the container's own."""

    def __init__(self, said: Script, status: int = 0, tty: bool = False) -> None:
        super().__init__(said, status, tty=tty)
        said.on("POST /containers/web/exec", {"Id": "e1"})
        said.on("POST /exec/e1/start", self.attach)
        said.on("POST /exec/e1/resize", self.resize)
        said.on("GET /exec/e1/json", {"ExitCode": status})
        self.started.set()


def test_exec(said: Script, tmp_path: Path) -> None:
    Execution(said, status=3)
    done = piped(tmp_path, "exec", "-e", "A=1", "-w", "/tmp", "-u", "nobody", "--privileged", "web", "ls", "-l")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert said.asked == ["POST /containers/web/exec", "POST /exec/e1/start", "GET /exec/e1/json"]
    body = said.body("POST /containers/web/exec")
    assert (body["Cmd"], body["Env"], body["User"], body["WorkingDir"]) == (["ls", "-l"], ["A=1"], "nobody", "/tmp")
    assert body["Privileged"] is True and body["AttachStdin"] is False
    assert said.body("POST /exec/e1/start") == {"Detach": False, "Tty": False}


def test_exec_with_input(said: Script, tmp_path: Path) -> None:
    class Both(Execution, Cat):
        pass

    Both(said)
    assert piped(tmp_path, "exec", "-i", "web", "cat", stdin=b"abc").stdout == b"abcend\n"


def test_exec_detached(said: Script, tmp_path: Path) -> None:
    Execution(said)
    said.on("POST /exec/e1/start", {})
    assert piped(tmp_path, "exec", "-d", "web", "sleep", "9").returncode == 0
    assert said.body("POST /exec/e1/start") == {"Detach": True, "Tty": False}


def test_exec_on_a_terminal(said: Script, tmp_path: Path) -> None:
    class Both(Execution, Cat):
        pass

    cat = Both(said, status=9, tty=True)
    with pynet_terminal(tmp_path, "exec", "-it", "web", "sh") as terminal:
        assert cat.sized.wait(LIMIT) and raw(terminal.modes)
        terminal.type(b"hi")
        terminal.until(b"hi")
        assert cat.stream is not None
        cat.stream.connection.shutdown(0)
        assert terminal.end() == 9
        assert terminal.modes == terminal.before


def test_exec_that_cannot_be_run(said: Script, tmp_path: Path) -> None:
    Execution(said)
    said.on("POST /exec/e1/start", lambda request: request.refuse(400, "exec: nope: executable file not found"))
    assert piped(tmp_path, "exec", "web", "nope").returncode == 127
    said.on("POST /containers/web/exec", lambda request: request.refuse(409, "container web is not running"))
    done = piped(tmp_path, "exec", "web", "ls")
    assert (done.returncode, done.stderr) == (1, b"pynet: container web is not running\n")
