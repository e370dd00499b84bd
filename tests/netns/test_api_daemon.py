"""`pynetd api` as a process: readiness, end and death, the sockets it is given, and what it keeps in memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_server import Client
from pynet_runtime import RuntimeSandbox

IMAGE = "local/busybox:test"
LIMIT = 30
SOCKET = "/run/pynet/api.sock"


@pytest.fixture(scope="module")
def ring() -> Iterator[RuntimeSandbox]:
    with RuntimeSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(ring: RuntimeSandbox) -> Iterator[RuntimeSandbox]:
    yield ring
    for each in json.loads(ask(ring, "GET", "/containers/json?all=1")):
        ask(ring, "DELETE", f"/containers/{each['Id']}?force=1")


def path(sandbox: RuntimeSandbox) -> str:
    """The socket as it is reached from outside."""
    return f"/proc/{sandbox._holder.pid}/root{SOCKET}"  # type: ignore[union-attr]


@contextlib.contextmanager
def client(sandbox: RuntimeSandbox) -> Iterator[Client]:
    with Client(path(sandbox)) as connected:
        yield connected


def ask(sandbox: RuntimeSandbox, method: str, where: str, body: Any = None, status: int | None = None) -> bytes:
    with client(sandbox) as connected:
        answer = connected.ask(method, where, b"" if body is None else json.dumps(body).encode())
    assert answer.status < 400 if status is None else answer.status == status, answer.body
    return answer.body


def create(sandbox: RuntimeSandbox, *command: str, name: str = "", **more: Any) -> str:
    body = {"Image": IMAGE, "Cmd": list(command), **more}
    where = f"/containers/create?name={name}" if name else "/containers/create"
    return str(json.loads(ask(sandbox, "POST", where, body))["Id"])


def run(sandbox: RuntimeSandbox, *command: str, **more: Any) -> str:
    made = create(sandbox, *command, **more)
    ask(sandbox, "POST", f"/containers/{made}/start", status=204)
    return made


def state(sandbox: RuntimeSandbox, container: str) -> dict[str, Any]:
    return dict(json.loads(ask(sandbox, "GET", f"/containers/{container}/json"))["State"])


def test_what_there_is_not_is_refused_by_name(sandbox: RuntimeSandbox) -> None:
    body = {"Image": IMAGE, "HostConfig": {"LogConfig": {"Type": "syslog"}}}
    said = json.loads(ask(sandbox, "POST", "/containers/create?name=web", body, status=400))
    assert said == {"message": "HostConfig.LogConfig.Type syslog: this engine has no such function"}
    ask(sandbox, "POST", "/containers/create?name=web&platform=linux/s390", {"Image": IMAGE}, status=400)
    ask(sandbox, "POST", "/images/create?fromImage=box&platform=linux/s390", status=400)
    assert json.loads(ask(sandbox, "GET", "/containers/json?all=1")) == []
    made = create(sandbox, "true", HostConfig={"CpuPeriod": 50_000, "CpuQuota": 20_000, "Annotations": {"a": "b"}})
    ask(sandbox, "POST", f"/containers/{made}/update", {"BlkioWeight": 10}, status=400)
    ask(sandbox, "POST", f"/containers/{made}/update", {"CpuQuota": 30_000})
    shown = json.loads(ask(sandbox, "GET", f"/containers/{made}/json"))["HostConfig"]
    assert (shown["CpuPeriod"], shown["CpuQuota"], shown["Annotations"]) == (50_000, 30_000, {"a": "b"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_containers_go_on_without_it_and_the_next_knows_them(sandbox: RuntimeSandbox, number: signal.Signals) -> None:
    container = run(sandbox, "sh", "-c", "mkfifo /tmp/go; cat /tmp/go; echo after; exit 6", name="web")
    before = state(sandbox, container)
    daemon = sandbox._daemons["api"]
    sandbox.kill("api", number)
    assert daemon.returncode == (0 if number == signal.SIGTERM else -9)
    assert Path(f"/proc/{before['Pid']}").exists()
    sandbox.start("api")
    assert state(sandbox, "web") == before
    with client(sandbox) as waiting:
        waiting.request("POST", f"/containers/{container}/wait?condition=next-exit")
        assert waiting.head()[0] == 200
        made = json.loads(ask(sandbox, "POST", "/containers/web/exec", {"Cmd": ["sh", "-c", "echo >/tmp/go"]}))["Id"]
        ask(sandbox, "POST", f"/exec/{made}/start", {"Detach": True})
        assert json.loads(waiting.chunk()) == {"StatusCode": 6}
    with client(sandbox) as reading:
        assert b"after\n" in reading.ask("GET", "/containers/web/logs?stdout=1").body


def test_an_ended_daemon_leaves_no_socket_and_ends_open_connections(sandbox: RuntimeSandbox) -> None:
    with client(sandbox) as idle, client(sandbox) as listening:
        assert idle.ask("GET", "/_ping").status == 200
        listening.request("GET", "/events")
        assert listening.head()[0] == 200
        sandbox.kill("api", signal.SIGTERM)
        assert not os.path.lexists(path(sandbox))
        assert idle.rest() == b""
        with contextlib.suppress(ConnectionResetError):
            listening.rest()
    sandbox.start("api")


def test_only_one_serves_a_socket_and_only_root_may_connect(sandbox: RuntimeSandbox) -> None:
    assert os.stat(path(sandbox)).st_mode & 0o777 == 0o600
    done = sandbox.run(f"{sys.executable} -m netd.daemon api")
    assert done.returncode == 1
    assert "another engine serves there" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--socket x", "--socket needs an absolute path"),
        ("--root", "--root needs an absolute path"),
        ("--x", "unknown argument --x"),
    ],
)
def test_a_wrong_command_line(sandbox: RuntimeSandbox, words: str, text: str) -> None:
    done = sandbox.run(f"{sys.executable} -m netd.daemon api {words}")
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr and "usage: pynetd api" in done.stderr


def test_it_tells_its_manager_and_takes_its_socket(sandbox: RuntimeSandbox, tmp_path: Path) -> None:
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.settimeout(LIMIT)
    # with a path: names without one belong to a network namespace
    notices.bind(str(tmp_path / "notify.sock"))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "passed.sock"))
    listening.listen()
    start = (
        f"export LISTEN_FDS=1 LISTEN_PID=$$; exec {sys.executable} -m netd.daemon api --run-dir /run/b --root /run/c"
    )
    environment = {**sandbox._environment(), "NOTIFY_SOCKET": notices.getsockname()}
    words = sandbox._words(f"exec 3<&{listening.fileno()}; {start}")
    process = subprocess.Popen(words, env=environment, cwd="/", pass_fds=[listening.fileno()])
    try:
        assert notices.recv(100) == b"READY=1"
        with Client(str(tmp_path / "passed.sock")) as passed:
            assert passed.ask("GET", "/_ping").status == 200
        process.send_signal(signal.SIGINT)
        assert notices.recv(100) == b"STOPPING=1"
        assert process.wait(LIMIT) == 0
        assert (tmp_path / "passed.sock").exists()
    finally:
        process.kill()
        process.wait()
        listening.close()
        notices.close()


def test_many_clients_at_once(sandbox: RuntimeSandbox) -> None:
    waiting = [Client(path(sandbox)) for _ in range(100)]
    container = create(sandbox, "true")
    for each in waiting:
        each.request("POST", f"/containers/{container}/wait?condition=next-exit")
    assert [each.head()[0] for each in waiting] == [200] * len(waiting)
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            made = run(sandbox, "true", name=f"many{number}")
            ask(sandbox, "POST", f"/containers/{made}/wait")
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert problems == []
    ask(sandbox, "POST", f"/containers/{container}/start", status=204)
    assert [json.loads(each.chunk()) for each in waiting] == [{"StatusCode": 0}] * len(waiting)
    for each in waiting:
        each.close()


def resident(sandbox: RuntimeSandbox) -> int:
    """Bytes of the daemon's memory at their highest so far."""
    text = Path(f"/proc/{sandbox._daemons['api'].pid}/status").read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def test_neither_archives_nor_logs_are_ever_in_memory(sandbox: RuntimeSandbox) -> None:
    """64 MiB of each."""
    size = 64 * 1024 * 1024
    assert json.loads(ask(sandbox, "GET", "/info"))["OSType"] == "linux"
    before = resident(sandbox)
    with client(sandbox) as loading:
        loading.send(f"POST /images/load HTTP/1.1\r\nHost: d\r\nContent-Length: {size}\r\n\r\n")
        block = bytes(1024 * 1024)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(size // len(block)):
                loading.send(block)
        assert loading.answer().status >= 400
    container = run(sandbox, "sh", "-c", f"head -c {size} /dev/zero | tr '\\0' y | fold -w 4000")
    ask(sandbox, "POST", f"/containers/{container}/wait")
    with client(sandbox) as slow:
        slow.request("GET", f"/containers/{container}/logs?stdout=1")
        assert slow.head()[0] == 200
        # a client that has read the beginning and no more keeps nobody waiting
        assert slow.chunk()
        assert ask(sandbox, "GET", "/_ping") == b"OK"
    assert resident(sandbox) - before < 32 * 1024 * 1024


def test_bytes_of_a_tty_arrive_as_they_are_and_detach_keys_leave_the_container_running(sandbox: RuntimeSandbox) -> None:
    container = create(sandbox, "cat", Tty=True, OpenStdin=True)
    with client(sandbox) as attached:
        attached.request(
            "POST",
            f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,x",
            headers="Connection: Upgrade\r\nUpgrade: tcp\r\n",
        )
        status, _, headers = attached.head()
        assert (status, headers["content-type"]) == (101, "application/vnd.docker.raw-stream")
        ask(sandbox, "POST", f"/containers/{container}/start", status=204)
        attached.send("hello\n")
        assert attached.read(14) == b"hello\r\nhello\r\n"
        attached.send(b"\x01x")
        attached.rest()
    assert state(sandbox, container)["Running"] is True


def test_the_api_answers_what_docker_answers(sandbox: RuntimeSandbox) -> None:
    ask(sandbox, "GET", "/containers/nobody/json", status=404)
    ask(sandbox, "POST", "/containers/create", {"Image": "nothing:1"}, status=404)
    ask(sandbox, "POST", "/containers/create", {"Image": 1}, status=400)
    container = create(sandbox, "sleep", "100", name="web", HostConfig=None, Hostname=None)
    assert create_conflict(sandbox) == 409
    ask(sandbox, "POST", f"/containers/{container}/start", status=204)
    ask(sandbox, "POST", f"/containers/{container}/start", status=304)
    ask(sandbox, "POST", f"/containers/{container}/exec", {}, status=400)
    ask(sandbox, "GET", f"/containers/{container}/logs", status=400)
    ask(sandbox, "POST", f"/containers/{container}/wait?condition=soon", status=400)
    ask(sandbox, "DELETE", f"/containers/{container}", status=409)
    ask(sandbox, "POST", f"/containers/{container}/stop?t=0", status=204)
    ask(sandbox, "POST", f"/containers/{container}/stop", status=304)
    ask(sandbox, "POST", f"/containers/{container}/kill", status=409)
    ask(sandbox, "DELETE", f"/containers/{container}", status=204)
    ask(sandbox, "POST", "/networks/create", {"Name": "bridge"}, status=403)
    ask(sandbox, "POST", "/networks/create", {"Name": "mynet"}, status=201)
    ask(sandbox, "POST", "/networks/create", {"Name": "mynet"}, status=409)
    ask(sandbox, "POST", "/networks/mynet/connect", {}, status=400)
    ask(sandbox, "POST", "/networks/mynet/connect", {"Container": "nobody"}, status=404)
    ask(sandbox, "DELETE", "/networks/mynet", status=204)
    ask(sandbox, "DELETE", "/networks/mynet", status=404)
    ask(sandbox, "DELETE", "/networks/none", status=403)


def create_conflict(sandbox: RuntimeSandbox) -> int:
    with client(sandbox) as connected:
        body = json.dumps({"Image": IMAGE}).encode()
        return connected.ask("POST", "/containers/create?name=web", body).status


SILENT = """
import socket
listener = socket.create_server(("127.0.0.1", 5001))
print("listening", flush=True)
connection, _ = listener.accept()
connection.recv(1)
print("asked", flush=True)
while connection.recv(65536):
    pass
print("left", flush=True)
"""
"""A registry that takes a request and never answers."""


def test_a_pull_ends_with_its_client(sandbox: RuntimeSandbox) -> None:
    registry = sandbox.process(f"{sys.executable} -c '{SILENT}'")
    try:
        assert registry.stdout is not None and registry.stdout.readline() == b"listening\n"
        with client(sandbox) as pulling:
            pulling.request("POST", "/images/create?fromImage=127.0.0.1:5001/app&tag=1")
            assert registry.stdout.readline() == b"asked\n"
        # only skopeo's death closes its connection
        assert registry.stdout.readline() == b"left\n"
        sandbox.until('test -z "$(ls /var/lib/pynet/images/work)"')
        assert ask(sandbox, "GET", "/_ping") == b"OK"
    finally:
        registry.kill()
        registry.communicate()
