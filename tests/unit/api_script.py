"""A daemon that says what a test tells it to, on a real unix socket, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LIMIT = 20.0
"""Seconds that nothing in these tests takes."""
ID = "c0ffee" + 58 * "0"
OTHER = "decaf0" + 58 * "0"
"""Of the containers and images that scripts know."""


class Request:
    """One request; `path` is without the version and the query.  `connection` is where the answer goes."""

    def __init__(self, connection: socket.socket, stream: Any) -> None:
        self.connection = connection
        self.stream = stream
        first = stream.readline().decode().split()
        if not first:
            raise EOFError
        self.method = first[0]
        url = urlsplit(first[1])
        assert url.path.startswith("/v1.50/"), url.path
        self.path = url.path.removeprefix("/v1.50")
        self.query = {key: values if len(values) > 1 else values[0] for key, values in parse_qs(url.query).items()}
        self.headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()
        self.body = self._read()

    def _read(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.stream.readline(), 16):
                parts.append(self.stream.read(size))
                self.stream.readline()
            self.stream.readline()
            return b"".join(parts)
        return bytes(self.stream.read(int(self.headers.get("content-length", "0"))))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def answer(self, value: Any = None, status: int = 200) -> None:
        content = b"" if value is None else json.dumps(value).encode()
        self.raw(b"HTTP/1.1 %d Words\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content))

    def refuse(self, status: int, message: str) -> None:
        self.answer({"message": message}, status)

    def chunks(self, *pieces: bytes) -> None:
        self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            self.raw(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.raw(b"0\r\n\r\n")

    def upgrade(self) -> None:
        assert self.headers["upgrade"] == "tcp" and self.headers["connection"] == "Upgrade"
        self.raw(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")

    def raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def frame(self, stream: int, data: bytes) -> None:
        self.raw(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)


Handler = Callable[[Request], None]


class Script:
    """`on("POST /containers/create", handler)`; a handler may be a value to answer with."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.requests: list[Request] = []
        self.problems: list[BaseException] = []
        self._handlers: dict[str, list[Handler | Any]] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def on(self, what: str, *answers: Any) -> None:
        """Several answers are given one after the other, the last one again and again."""
        self._handlers[what] = list(answers)

    def body(self, what: str) -> Any:
        """The JSON body of the last request like this."""
        return next(each for each in reversed(self.requests) if f"{each.method} {each.path}" == what).json

    def query(self, what: str) -> dict[str, Any]:
        return next(each for each in reversed(self.requests) if f"{each.method} {each.path}" == what).query

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while True:
                    self._one(Request(connection, stream))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except BaseException as problem:
            self.problems.append(problem)

    def _one(self, request: Request) -> None:
        what = f"{request.method} {request.path}"
        self.requests.append(request)
        self.asked.append(what)
        if what not in self._handlers:
            request.refuse(404, f"not in the script: {what}")
            return
        answers = self._handlers[what]
        handler = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(handler):
            handler(request)
        else:
            request.answer(handler)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(LIMIT)
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        if self.problems:
            raise self.problems[0]


@contextlib.contextmanager
def script(directory: Path) -> Iterator[Script]:
    """The daemon of `--run-dir DIRECTORY`."""
    made = Script(directory / "api.sock")
    try:
        yield made
    finally:
        made.close()
