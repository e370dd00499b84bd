"""`run`, `exec`, `attach` and `start -a` against a scripted daemon: the calls of docker's own command, in its order,
its exit statuses, and streams that keep their bytes."""

from __future__ import annotations

import signal
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_script import LIMIT, Request, Script, script
from cli_process import piped, pynet_terminal, started

ID = "c0ffee" + 58 * "0"
AT = f"/containers/{ID}"


class Container:
    """Handlers of one container that runs `program` between attach and wait."""

    def __init__(self, said: Script, status: int = 0, condition: str = "next-exit", tty: bool = False) -> None:
        self.said = said
        self.status = status
        self.condition = condition
        self.tty = tty
        self.stream: Request | None = None
        self.started, self.ended = threading.Event(), threading.Event()
        self.signals: list[str] = []
        self.sizes: list[tuple[str, str]] = []
        self.sized, self.signalled = threading.Event(), threading.Event()
        said.on("POST /containers/create", {"Id": ID, "Warnings": []})
        said.on(f"POST {AT}/attach", self.attach)
        said.on(f"POST {AT}/wait", self.wait)
        said.on(f"POST {AT}/start", self.start)
        said.on(f"POST {AT}/kill", self.kill)
        said.on(f"POST {AT}/resize", self.resize)

    def attach(self, request: Request) -> None:
        self.stream = request
        request.upgrade()
        assert self.started.wait(LIMIT)
        try:
            self.program(request.stream)
        finally:
            self.ended.set()
        request.connection.shutdown(2)

    def program(self, _typed: Any) -> None:
        """What runs in the container."""
        self.write(1, b"out\n")
        self.write(2, b"err\n")

    def write(self, stream: int, data: bytes) -> None:
        assert self.stream is not None
        self.stream.raw(data) if self.tty else self.stream.frame(stream, data)

    def wait(self, request: Request) -> None:
        assert request.query.get("condition", "not-running") == self.condition
        request.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert self.ended.wait(LIMIT)
        text = b'{"StatusCode":%d}' % self.status
        request.raw(b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))

    def start(self, request: Request) -> None:
        request.raw(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.started.set()

    def kill(self, request: Request) -> None:
        self.signals.append(request.query["signal"])
        self.signalled.set()
        request.raw(b"HTTP/1.1 204 No Content\r\n\r\n")

    def resize(self, request: Request) -> None:
        self.sizes.append((request.query["h"], request.query["w"]))
        self.sized.set()
        request.answer()


class Cat(Container):
    """Sends its input back until that ends."""

    def program(self, typed: Any) -> None:
        while piece := typed.read1(65536):
            self.write(1, piece)
        self.write(1, b"end\n")


class Sleep(Container):
    """Runs until it gets a signal."""

    def program(self, _typed: Any) -> None:
        self.write(1, b"ready\n")
        assert self.signalled.wait(LIMIT)
        self.status = 128 + int(self.signals[0])


@pytest.fixture
def said(tmp_path: Path) -> Iterator[Script]:
    with script(tmp_path) as made:
        yield made


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


def test_a_terminal_needs_one(said: Script, tmp_path: Path) -> None:
    done = piped(tmp_path, "run", "-it", "busybox")
    assert done.returncode == 125 and b"-t: standard input is no terminal" in done.stderr
    assert said.asked == []


def raw(modes: list[Any]) -> bool:
    return not modes[3] & (termios.ECHO | termios.ICANON | termios.ISIG) and not modes[1] & termios.OPOST


def test_a_terminal(said: Script, tmp_path: Path) -> None:
    cat = Cat(said, tty=True, status=4)
    with pynet_terminal(tmp_path, "run", "-it", "busybox") as terminal:
        assert cat.sized.wait(LIMIT) and cat.sizes == [("24", "80")]
        assert raw(terminal.modes)
        terminal.type(b"\x03\r\x1a")
        terminal.until(rb"\x03\r\x1a")
        cat.sized.clear()
        terminal.resize(40, 132)
        assert cat.sized.wait(LIMIT) and cat.sizes[1:] == [("40", "132")]
        assert cat.stream is not None
        cat.stream.connection.shutdown(0)
        terminal.until(rb"end\n")
        assert terminal.end() == 4
        assert terminal.modes == terminal.before
    assert cat.signals == []
    assert said.body("POST /containers/create")["HostConfig"]["ConsoleSize"] == [24, 80]


@pytest.mark.parametrize(("keys", "typed"), [((), b"\x10\x11"), (("--detach-keys", "ctrl-x,y"), b"\x18y")])
def test_detach_keys_leave_the_container_running(
    said: Script, tmp_path: Path, keys: tuple[str, ...], typed: bytes
) -> None:
    cat = Cat(said, tty=True)
    with pynet_terminal(tmp_path, "run", "-it", *keys, "busybox") as terminal:
        assert cat.sized.wait(LIMIT)
        terminal.type(typed[:1] + b"a")
        terminal.until(re_escape(typed[:1] + b"a"))
        terminal.type(typed[:1])
        terminal.type(typed[1:])
        assert terminal.end() == 0
        assert terminal.modes == terminal.before
    assert f"POST {AT}/kill" not in said.asked


def re_escape(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % octet for octet in text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_put_back_when_we_are_ended(said: Script, tmp_path: Path, number: signal.Signals) -> None:
    cat = Cat(said, tty=True)
    with pynet_terminal(tmp_path, "run", "-it", "busybox") as terminal:
        assert cat.sized.wait(LIMIT) and raw(terminal.modes)
        terminal.process.send_signal(number)
        assert terminal.end() == 128 + number
        assert terminal.modes == terminal.before


def test_the_terminal_is_put_back_when_the_daemon_dies(said: Script, tmp_path: Path) -> None:
    cat = Cat(said, tty=True)

    def die(request: Request) -> None:
        request.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert cat.ended.wait(LIMIT)
        request.connection.shutdown(2)

    said.on(f"POST {AT}/wait", die)
    with pynet_terminal(tmp_path, "run", "-it", "busybox") as terminal:
        assert cat.sized.wait(LIMIT) and cat.stream is not None
        cat.stream.connection.shutdown(2)
        assert terminal.end() == 125
        assert b"running containers are not affected" in terminal.seen
        assert terminal.modes == terminal.before


# --- exec


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


# --- attach, start -a


def inspected(**state: object) -> dict[str, Any]:
    return {
        "Id": ID,
        "State": {"Running": True, "Paused": False, "Restarting": False, **state},
        "Config": {"Tty": False, "OpenStdin": True},
        "HostConfig": {"AutoRemove": False},
    }


def test_attach(said: Script, tmp_path: Path) -> None:
    cat = Cat(said, status=5, condition="not-running")
    cat.started.set()
    said.on("GET /containers/web/json", inspected())
    done = piped(tmp_path, "attach", "web", stdin=b"abc")
    assert (done.returncode, done.stdout) == (5, b"abcend\n")
    for state, message in (
        ({"Running": False}, b"pynet: container web does not run: pynet start -ai web does both\n"),
        ({"Paused": True}, b"pynet: container web is paused: it cannot be attached to\n"),
    ):
        said.on("GET /containers/web/json", inspected(**state))
        done = piped(tmp_path, "attach", "web")
        assert (done.returncode, done.stderr) == (1, message)


def test_start_and_attach(said: Script, tmp_path: Path) -> None:
    Cat(said, status=6)
    said.on("GET /containers/web/json", inspected(Running=False))
    done = piped(tmp_path, "start", "-ai", "web", stdin=b"abc")
    assert (done.returncode, done.stdout) == (6, b"abcend\n")
    assert said.asked[1:] == [f"POST {AT}/{each}" for each in ("attach", "wait", "start")]
    assert piped(tmp_path, "start", "-a", "web", "db").stderr == b"pynet: --attach: one container at a time\n"


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
