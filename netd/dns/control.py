"""The name server's control socket, RUN_DIR/dns.sock (0600): one line in, one line of JSON out, as often as wanted.

sync KEY          everything written is in force; an error when the attachment's resolver does not answer
status            numbers of attachments and resolvers, and the counters of outcomes
reset             the counters begin at 0 again
log on | log off  every query as a line of the log
"""

from __future__ import annotations

import json
from _socket import MSG_NOSIGNAL, socket
from collections.abc import Callable

from netd.dns.service import Service
from netd.loop import Loop

MAX_LINE = 4096


class Control:
    """Serves a listening unix socket, whose mode keeps others than its owner out."""

    def __init__(self, loop: Loop, service: Service, listening: socket) -> None:
        self._loop = loop
        self._service = service
        self._socket = listening
        listening.setblocking(False)
        loop.add(listening.fileno(), self._accept)
        self._clients: set[_Client] = set()

    def _accept(self) -> None:
        try:
            fd, _ = self._socket._accept()  # type: ignore[attr-defined]
        except OSError:
            return  # the client has gone again
        sock = socket(fileno=fd)
        sock.setblocking(False)
        self._clients.add(_Client(self._loop, sock, self._answer, self._clients.discard))

    def _answer(self, line: str) -> dict[str, object]:
        words = line.split()
        match words:
            case ["sync", key]:
                self._service.refresh()
                problem = self._service.problem(key)
                return {"error": problem} if problem else {}
            case ["status"]:
                return self._service.describe()
            case ["reset"]:
                self._service.counters.clear()
                return {}
            case ["log", ("on" | "off") as state]:
                self._service.switch_query_log(state == "on")
                return {}
        return {"error": f"unknown request {line!r}"}

    def close(self) -> None:
        for client in list(self._clients):
            client.close()
        self._loop.remove(self._socket.fileno())


class _Client:
    def __init__(
        self, loop: Loop, sock: socket, answer: Callable[[str], dict[str, object]], ended: Callable[[_Client], None]
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._answer = answer
        self._ended = ended
        self._received = b""
        loop.add(sock.fileno(), self._ready)

    def _ready(self) -> None:
        try:
            data = self._socket.recv(MAX_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        while b"\n" in self._received:
            line, _, self._received = self._received.partition(b"\n")
            reply = json.dumps(self._answer(line.decode(errors="replace"))) + "\n"
            try:
                self._socket.send(reply.encode(), MSG_NOSIGNAL)
            except OSError:
                data = b""  # it does not read, or has gone
                break
        if not data or len(self._received) > MAX_LINE:
            self.close()

    def close(self) -> None:
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._ended(self)
