"""A container of a scripted daemon: what the daemon answers to `run`, `exec`, `attach` and `start -a`, and what runs
meanwhile."""

from __future__ import annotations

import threading
from typing import Any

from api_script import ID, LIMIT, Request, Script

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
