"""The HTTP client: every form of body, errors in the daemon's words, and a daemon that goes away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from api_script import Request, Script, script
from hypothesis import given
from hypothesis import strategies as st

from netd.cli.client import ApiError, Daemon, NoDaemon, escaped, query
from netd.cli.frames import Frames
from netd.failure import Failure


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(str(tmp_path / "api.sock"))
    yield made
    made.close()


def test_bodies_of_every_form(said: Script, daemon: Daemon) -> None:
    said.on("GET /length", {"a": [1, "ü"]})
    said.on("GET /chunks", lambda request: request.chunks(b'{"a"', b": 1", b"}"))
    said.on("GET /none", lambda request: request.raw(b"HTTP/1.1 204 No Content\r\n\r\n"))
    said.on("POST /echo", lambda request: request.answer(request.json))

    def until_closed(request: Request) -> None:
        request.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[1,")
        request.raw(b"2]")
        request.connection.shutdown(2)

    said.on("GET /closed", until_closed)
    assert daemon.get("/length") == {"a": [1, "ü"]}
    assert daemon.get("/chunks") == {"a": 1}
    assert daemon.get("/none") is None
    assert daemon.post("/echo", {"x": "<&>\n\u2028"}) == {"x": "<&>\n\u2028"}
    assert daemon.get("/closed") == [1, 2]
    assert daemon.get("/length") == {"a": [1, "ü"]}


def test_ordinary_requests_share_a_connection(said: Script, daemon: Daemon) -> None:
    said.on("GET /x", {})
    daemon.get("/x")
    daemon.get("/x")
    assert said.requests[0].connection is said.requests[1].connection


def test_the_daemons_words_are_the_error(said: Script, daemon: Daemon) -> None:
    said.on("GET /a", lambda request: request.refuse(409, "the name is taken"))
    said.on("GET /b", lambda request: request.raw(b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\noops"))
    said.on("GET /c", lambda request: request.raw(b"HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n"))
    for path, status, message in (
        ("/a", 409, "the name is taken"),
        ("/b", 502, "oops"),
        ("/c", 500, "without a reason"),
    ):
        with pytest.raises(ApiError, match=message) as caught:
            daemon.get(path)
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "pynetd ended in the middle"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "pynetd ended in the middle"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "pynetd ended in the middle"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "pynetd sent no HTTP response: 'SSH-2.0"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<p>", "pynetd sent no JSON"),
    ],
)
def test_a_daemon_that_breaks_off(said: Script, daemon: Daemon, answer: bytes, message: str) -> None:
    def break_off(request: Request) -> None:
        request.raw(answer)
        request.connection.shutdown(2)

    said.on("GET /x", break_off)
    with pytest.raises(Failure, match=message):
        daemon.get("/x")


def test_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with pytest.raises(NoDaemon, match=rf"^pynetd does not run \(there is no {path}\); start it with: pynetd &$"):
        Daemon(str(path)).get("/x")
    with script(tmp_path):
        pass
    with pytest.raises(NoDaemon, match=rf"^pynetd does not run \(nobody serves {path}\)"):
        Daemon(str(path)).get("/x")


def test_an_upload_in_pieces_and_one_that_is_refused(said: Script, daemon: Daemon) -> None:
    said.on("POST /load", lambda request: request.answer(len(request.body)))
    assert daemon.upload("/load", iter([b"a" * 70000, b"", b"b"])).json() == 70001

    with Refusing(daemon.path + "2") as refusing, pytest.raises(ApiError, match="no room"):
        Daemon(refusing).upload("/load", iter(lambda: b"x" * 65536, b""))


class Refusing:
    """Answers at once and reads no more."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()

    def __enter__(self) -> str:
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self.path

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b'HTTP/1.1 507 Full\r\nContent-Length: 21\r\n\r\n{"message":"no room"}')

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        self._listener.close()


def test_lines_as_they_come(said: Script, daemon: Daemon) -> None:
    said.on("GET /events", lambda request: request.chunks(b'{"a":1}\r\n{"a"', b":2}\n\n", b'{"a":3}'))
    assert [item["a"] for item in daemon.stream("GET", "/events").lines()] == [1, 2, 3]


@given(st.text())
def test_any_name_fits_into_a_path(name: str) -> None:
    try:
        expected = name.encode()
    except UnicodeEncodeError:
        return
    assert escaped(name).isascii() and "/" not in escaped(name) and unquote(escaped(name)).encode() == expected


def test_a_query_says_only_what_matters() -> None:
    assert (
        query("/x", all=True, limit=0, name="", t=None, force=False, f='{"a":1}')
        == "/x?all=1&limit=0&f=%7B%22a%22%3A1%7D"
    )
    assert query("/x") == "/x"


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=20)), max_size=6), st.data())
def test_frames_cut_anywhere_give_the_same_bytes(pieces: list[tuple[int, bytes]], data: st.DataObject) -> None:
    whole = b"".join(bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for stream, text in pieces)
    frames, seen = Frames(), {1: b"", 2: b""}
    while whole:
        cut = data.draw(st.integers(1, len(whole)))
        for stream, text in frames.feed(whole[:cut]):
            seen[stream] += text
        whole = whole[cut:]
    for stream in (1, 2):
        assert seen[stream] == b"".join(text for each, text in pieces if each == stream)
