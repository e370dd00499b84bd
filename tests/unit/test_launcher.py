"""Both launchers, as executed by a runtime: what they answer alone, what they send, and when they run in-process."""

from __future__ import annotations

import _socket
import json
import os
import select
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from launchers import KINDS, PLAIN, call, install, telltale

from netd.engine import protocol
from netd.engine.connection import Request, receive
from netd.engine.protocol import Answer
from pycni_launcher import build
from pycni_launcher.patch import configure
from pycni_plugins import NAMES, load

LISTS = dict.fromkeys(NAMES, ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"))
LISTS["firewall"] = ("0.4.0", "1.0.0", "1.1.0")
LISTS["vrf"] = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
LISTS["bandwidth"] = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Contract 1.5."""

ADD = {"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "c", "CNI_NETNS": "/nowhere", "CNI_IFNAME": "eth0", "CNI_PATH": "/x"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def launchers(kind: str, tmp_path: Path) -> Path:
    """Launchers with a telltale in-process path and a socket where nobody listens yet."""
    settings = {
        "socket": str(tmp_path / "sock"),
        "entry": telltale(tmp_path / "telltale"),
        "run-dir": str(tmp_path / "run"),
    }
    return install(kind, tmp_path / "bin", settings, ("probe", *NAMES))


class FakeEngine:
    """Takes one connection and does with it what a test says; keeps the request."""

    def __init__(self, path: Path, talk: Callable[[_socket.socket], None]) -> None:
        self._listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.settimeout(20)
        self._thread = Thread(target=self._run, args=(talk,))
        self._thread.start()

    def _run(self, talk: Callable[[_socket.socket], None]) -> None:
        fd, _address = self._listener._accept()  # type: ignore[attr-defined]
        connection = _socket.socket(fileno=fd)
        try:
            talk(connection)
        finally:
            connection.close()

    def close(self) -> None:
        self._thread.join()
        self._listener.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Callable[[Callable[[_socket.socket], None]], None]]:
    made: list[FakeEngine] = []
    yield lambda talk: made.append(FakeEngine(tmp_path / "sock", talk))
    for each in made:
        each.close()


def answering(answer: bytes, taken: list[Request] | None = None) -> Callable[[_socket.socket], None]:
    """Reads the request whole, then sends these bytes and hangs up."""

    def talk(connection: _socket.socket) -> None:
        request = receive(connection)
        assert request is not None
        for fd, *_ in request.descriptors:
            os.close(fd)
        if taken is not None:
            taken.append(request)
        connection.sendall(answer)

    return talk


def told(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """What the telltale in-process path was given."""
    assert done.returncode == 7, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    found["env"].pop("LC_CTYPE", None)  # the interpreter's own, where the environment names no locale (PEP 538)
    return found


# --- what it answers alone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("environment", [{}, {"CNI_COMMAND": ""}, {"CNI_COMMAND": "", "CNI_NETNS": "x"}])
def test_about_text(launchers: Path, name: str, environment: dict[str, str]) -> None:
    done = call(launchers / name, environment)
    about = f"CNI {name} plugin v1.9.1\nCNI protocol versions supported: {', '.join(LISTS[name])}\n"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (0, b"", about)


@pytest.mark.parametrize("name", NAMES)
def test_version(launchers: Path, name: str) -> None:
    done = call(launchers / name, {"CNI_COMMAND": "VERSION"}, b"not even JSON")
    expected = {"cniVersion": "1.1.0", "supportedVersions": list(LISTS[name])}
    text = json.dumps(expected, separators=(",", ":")) + "\n"
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, text, b"")


@pytest.mark.parametrize("name", NAMES)
def test_the_plugins_accept_what_the_launcher_says(name: str) -> None:
    assert load(name).versions == LISTS[name]


def test_dhcp_daemon_runs_that_in_its_place(launchers: Path, tmp_path: Path) -> None:
    """Whatever the environment says; no other plugin knows the word."""
    for variables in ({}, ADD):
        done = subprocess.run(
            [str(launchers / "dhcp"), "daemon", "-timeout", "2s"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=variables,
            timeout=20,
            check=False,
        )
        # the telltale's entry takes the last word for the plugin's name
        found = told(done)
        assert (found["name"], found["run_dir"]) == ("2s", str(tmp_path / "run"))
    other = subprocess.run([str(launchers / "static"), "daemon"], capture_output=True, env={}, timeout=20, check=False)
    assert b"CNI static plugin" in other.stderr


def test_more_words_than_a_launcher_passes_on(tmp_path: Path) -> None:
    path = install("c", tmp_path, {"entry": "/entry"}, ("dhcp",)) / "dhcp"
    done = subprocess.run([str(path), "daemon", *["x"] * 80], capture_output=True, env={}, timeout=20, check=False)
    expected = {"code": 999, "msg": "the command line has too many words"}
    assert (done.returncode, json.loads(done.stdout)) == (1, expected)


def test_version_does_not_wait_for_input(launchers: Path) -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [str(launchers / "bridge")], stdin=reading, capture_output=True, env={"CNI_COMMAND": "VERSION"}, timeout=20
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert done.returncode == 0


def test_the_about_text_of_another_plugin_comes_from_its_code(launchers: Path) -> None:
    assert told(call(launchers / "probe", {}))["name"] == "probe"
    assert told(call(launchers / "probe", {"CNI_COMMAND": "VERSION"}))["name"] == "probe"


def test_a_launcher_that_was_never_configured_says_so(kind: str, tmp_path: Path) -> None:
    bare = install(kind, tmp_path, {"socket": str(tmp_path / "none")})
    done = call(bare / "probe", ADD)
    message = "no engine answers and no interpreter is configured; run pynet install"
    assert (done.returncode, json.loads(done.stdout)) == (1, {"code": 999, "msg": message})


@pytest.mark.parametrize("way", [kind for kind, _ in build._WAYS])
def test_every_way_to_compile_it(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    """With and without a C library; none of them needs the other."""
    monkeypatch.setattr(build, "_WAYS", tuple(each for each in build._WAYS if each[0] == way))
    path = tmp_path / "bridge"
    assert build.compile_launcher(str(path)) == way
    path.write_bytes(configure(path.read_bytes(), {"socket": str(tmp_path / "sock")}))
    engine(answering(answer(3, b"out" * 5_000, b"err")))
    done = call(path, ADD, b"{}" * 5_000)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out" * 5_000, b"err")


# --- its name -------------------------------------------------------------------------------------------------------


def test_a_symbolic_link_has_its_own_name(launchers: Path, tmp_path: Path) -> None:
    (tmp_path / "portmap").symlink_to(launchers / "bridge")
    assert b"CNI portmap plugin" in call(tmp_path / "portmap", {}).stderr


@pytest.mark.parametrize("argv0", ["", "/odd/", "-sh", "something"])
def test_an_odd_name_gives_way_to_the_file_s(tmp_path: Path, argv0: str) -> None:
    path = install("c", tmp_path, {}, ("firewall",)) / "firewall"
    done = subprocess.run([argv0], executable=path, capture_output=True, env={}, timeout=20, check=False)
    assert done.stderr.startswith(b"CNI firewall plugin ")


# --- the in-process path --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 300_000, 20 << 20])
def test_without_an_engine_the_plugin_runs_in_process(launchers: Path, tmp_path: Path, size: int) -> None:
    environment = {**ADD, "OTHER": "x y=z"}
    done = call(launchers / "host-local", environment, b"s" * size)
    assert told(done) == {
        "name": "host-local",
        "stdin": "s" * size,
        "run_dir": str(tmp_path / "run"),
        "env": environment,
    }


def test_the_run_directory_may_be_left_out(kind: str, tmp_path: Path) -> None:
    entry = telltale(tmp_path / "telltale")
    path = install(kind, tmp_path / "bin", {"socket": str(tmp_path / "none"), "entry": entry}) / "probe"
    assert told(call(path, ADD))["run_dir"] is None


def test_closed_standard_streams(launchers: Path) -> None:
    shell = f"exec {launchers}/probe <&- 2>&-"
    done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, env=ADD, timeout=20, check=False)
    assert told(done)["stdin"] == "Bad file descriptor"


def test_a_slow_non_blocking_stdin_is_read_to_its_end(launchers: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    child = subprocess.Popen([str(launchers / "probe")], stdin=reading, stdout=subprocess.PIPE, env=ADD)
    os.close(reading)
    for _ in range(3):
        os.write(writing, b"part")
    os.close(writing)
    stdout, _stderr = child.communicate(timeout=20)
    assert json.loads(stdout)["stdin"] == "partpartpart"


def test_an_interpreter_that_is_gone_is_an_error_object(tmp_path: Path) -> None:
    settings = {"socket": str(tmp_path / "none"), "entry": "/e", "interpreter": str(tmp_path / "python")}
    done = call(install("c", tmp_path / "bin", settings) / "probe", ADD)
    message = "no engine answers, and the configured interpreter cannot be executed: No such file or directory"
    assert (done.returncode, json.loads(done.stdout)) == (1, {"code": 999, "msg": message})


# --- the engine -----------------------------------------------------------------------------------------------------


def answer(status: int, stdout: bytes, stderr: bytes) -> bytes:
    return protocol.frame(protocol.ANSWER, protocol.encode_answer(Answer(status, stdout, stderr)))


def test_the_engine_s_answer_is_the_plugin_s(launchers: Path, engine: Any) -> None:
    taken: list[Request] = []
    engine(answering(answer(3, b"out" * 100_000, b"err"), taken))
    environment = {**ADD, "X": "a=b", "EMPTY": ""}
    done = call(launchers / "bridge", environment, b"{}" * 200_000)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out" * 100_000, b"err")
    sent = protocol.decode_call(taken[0].body)
    sent.environment.pop("LC_CTYPE", None)
    assert sent == protocol.Call("bridge", environment, b"{}" * 200_000)
    assert len(taken[0].descriptors) == 2, "a namespace that does not exist cannot be sent"


def test_the_namespaces_are_sent(launchers: Path, engine: Any) -> None:
    seen: list[os.stat_result] = []

    def talk(connection: _socket.socket) -> None:
        request = receive(connection)
        assert request is not None
        for fd, *_ in request.descriptors:
            seen.append(os.fstat(fd))
            os.close(fd)
        connection.sendall(answer(0, b"", b""))

    engine(talk)
    call(launchers / "bridge", {**ADD, "CNI_NETNS": "/proc/self/ns/uts"})
    here = [os.stat("/"), os.stat("/proc/self/ns/net"), os.stat("/proc/self/ns/uts")]
    assert [(each.st_dev, each.st_ino) for each in seen] == [(each.st_dev, each.st_ino) for each in here]


@pytest.mark.parametrize("command", ["ADD", "DEL"])
@pytest.mark.parametrize("reply", [protocol.frame(protocol.NOT_MINE), b"PYNT\1\2\0\0\0\0\0\0"])
def test_not_mine_runs_in_process(launchers: Path, engine: Any, command: str, reply: bytes) -> None:
    engine(answering(reply))
    assert told(call(launchers / "bridge", {**ADD, "CNI_COMMAND": command}, b"conf"))["stdin"] == "conf"


@pytest.mark.parametrize("size", [4, 4 << 20])
def test_an_engine_that_leaves_the_request_unread_did_not_execute_it(launchers: Path, engine: Any, size: int) -> None:
    def talk(connection: _socket.socket) -> None:
        connection.recv(1)

    engine(talk)
    assert told(call(launchers / "bridge", ADD, b"c" * size))["stdin"] == "c" * size


def test_a_call_still_in_the_queue_of_a_dying_engine_runs_in_process(launchers: Path, tmp_path: Path) -> None:
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "sock"))
    listener.listen(1)
    child = subprocess.Popen([str(launchers / "bridge")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ADD)
    assert select.select([listener.fileno()], [], [], 20)[0], "the launcher did not connect"
    listener.close()
    stdout, _stderr = child.communicate(timeout=20)
    assert json.loads(stdout)["name"] == "bridge"


HALVES = [b"", b"PY", b"PYNT\2\2\0\0\0\0\0\xff" + bytes(30), b"HTTP/1.1 400 Bad Request\r\n", answer(0, b"x", b"")[:-1]]


@pytest.mark.parametrize("half", HALVES)
def test_an_add_cut_in_half_is_not_repeated(launchers: Path, engine: Any, half: bytes) -> None:
    engine(answering(half))
    done = call(launchers / "bridge", ADD, b"conf")
    message = "the engine stopped in the middle of ADD; delete the attachment, then add it again"
    assert (done.returncode, json.loads(done.stdout)) == (1, {"code": 11, "msg": message})


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("command", ["DEL", "CHECK", "GC", "STATUS"])
def test_every_other_command_is_repeated_in_process(launchers: Path, engine: Any, half: bytes, command: str) -> None:
    engine(answering(half))
    assert told(call(launchers / "bridge", {**ADD, "CNI_COMMAND": command}, b"conf"))["stdin"] == "conf"


def test_the_twin_is_compiled_for_the_configured_interpreter(tmp_path: Path) -> None:
    path = install("twin", tmp_path, {}) / "probe"
    assert path.read_bytes().startswith(f"#!{PLAIN} -IS\n".encode())
