"""A server of `netd.api` with handlers of a test's own, on a real socket in a thread, and raw clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from netd.api.router import Route, Router
from netd.api.server import MAX_CONNECTIONS, Server

LIMIT = 20.0
"""Seconds that nothing in these tests takes."""


class Running:
    """`path` is the socket; `loop` the server's."""

    def __init__(self, path: str, routes: Sequence[Route], max_connections: int) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self._routes = routes
        self._max = max_connections
        self._serving = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._main())
        self.loop.close()

    async def _main(self) -> None:
        threads = ThreadPoolExecutor(16)
        server = Server(Router(self._routes), threads, self._max)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.path)
        await server.start(listening)
        self._serving.set()
        await self._end.wait()
        await server.stop()
        threads.shutdown()

    def start(self) -> None:
        self._thread.start()
        assert self._serving.wait(LIMIT)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._end.set)
            self._thread.join(LIMIT)
            assert not self._thread.is_alive()

    def client(self) -> Client:
        return Client(self.path)


@contextlib.contextmanager
def serving(directory: Path, routes: Sequence[Route], max_connections: int = MAX_CONNECTIONS) -> Iterator[Running]:
    running = Running(str(directory / "api.sock"), routes, max_connections)
    running.start()
    try:
        yield running
    finally:
        running.stop()


class Answer:
    """One answer, its chunks put together."""

    def __init__(self, status: int, reason: str, headers: dict[str, str], body: bytes) -> None:
        self.status, self.reason, self.headers, self.body = status, reason, headers, body


class Client:
    """Bytes as they are; a context manager."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        self.socket.connect(path)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def request(self, method: str, path: str, body: bytes = b"", headers: str = "") -> None:
        """`headers` are whole lines."""
        length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n" if body else ""
        self.send(f"{method} {path} HTTP/1.1\r\nHost: docker\r\n{headers}{length}\r\n".encode() + body)

    def head(self) -> tuple[int, str, dict[str, str]]:
        """Status, its words, and headers with their names in lower case."""
        _, status, *reason = self._file.readline().decode().rstrip("\r\n").split(" ", 2)
        headers = {}
        while line := self._file.readline().decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return int(status), " ".join(reason), headers

    def chunk(self) -> bytes:
        """The next chunk of a body; b"" after the last."""
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        assert self._file.readline() == b"\r\n"
        return data

    def answer(self, method: str = "GET") -> Answer:
        status, reason, headers = self.head()
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while data := self.chunk():
                body += data
        elif method != "HEAD":
            body = self._file.read(int(headers.get("content-length", "0")))
        return Answer(status, reason, headers, body)

    def ask(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Answer:
        self.request(method, path, body, headers)
        return self.answer(method)

    def read(self, size: int) -> bytes:
        return self._file.read(size)

    def rest(self) -> bytes:
        """All until the server closes."""
        return self._file.read()
