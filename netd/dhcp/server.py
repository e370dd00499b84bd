"""The plugin's way in: Go's net/rpc on a unix socket, whose mode keeps others than its owner out."""

from __future__ import annotations

from _socket import MSG_NOSIGNAL, socket
from collections.abc import Callable
from typing import Any

from netd.dhcp.service import Cancel, Service
from netd.loop import Loop
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.dhcp import calls
from pycni_plugins.dhcp.gob import GobError, Reader, Writer

_CHUNK = 65536
_MAX_HEAD = 4096


class Server:
    """Serves a listening socket; `quiet` is called whenever the last caller has gone."""

    def __init__(self, loop: Loop, listening: socket, service: Service, quiet: Callable[[], None]) -> None:
        self._loop = loop
        self._socket = listening
        self._service = service
        self._quiet = quiet
        self._callers: set[_Caller] = set()
        listening.setblocking(False)
        loop.add(listening.fileno(), self._accept)

    @property
    def is_idle(self) -> bool:
        return not self._callers

    def _accept(self) -> None:
        try:
            fd, _ = self._socket._accept()  # type: ignore[attr-defined]
        except OSError:
            return  # the caller has gone again
        sock = socket(fileno=fd)
        sock.setblocking(False)
        self._callers.add(_Caller(self._loop, sock, self._service, self._ended))

    def _ended(self, caller: _Caller) -> None:
        self._callers.discard(caller)
        if not self._callers:
            self._quiet()

    def close(self) -> None:
        self._quiet = lambda: None
        for caller in list(self._callers):
            caller.close()
        self._loop.remove(self._socket.fileno())


class _Caller:
    """One connection.  Whatever is not understood ends it."""

    def __init__(self, loop: Loop, sock: socket, service: Service, ended: Callable[[_Caller], None]) -> None:
        self._loop = loop
        self._socket = sock
        self._service = service
        self._ended = ended
        self._head: bytes | None = b""
        self._reader = Reader()
        self._writer = Writer()
        self._request: dict[str, Any] | None = None
        self._cancels: dict[int, Cancel] = {}
        self._closed = False
        loop.add(sock.fileno(), self._ready)

    def _ready(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
            if not data:
                self.close()
            elif self._head is not None:
                self._greet(data)
            else:
                self._read(data)
        except BlockingIOError:
            return
        except (OSError, GobError):
            self.close()

    def _greet(self, data: bytes) -> None:
        assert self._head is not None
        self._head += data
        for end in (b"\r\n\r\n", b"\n\n"):
            head, found, rest = self._head.partition(end)
            if found:
                if not head.startswith(b"CONNECT "):
                    raise GobError("not a call")
                self._head = None
                self._send(calls.CONNECTED)
                self._read(rest)
                return
        if len(self._head) > _MAX_HEAD:
            raise GobError("not a call")

    def _read(self, data: bytes) -> None:
        self._reader.feed(data)
        while not self._closed and (found := self._reader.read()) is not None:
            if not isinstance(found[0], dict):
                raise GobError("not a call")
            if self._request is None:
                self._request = found[0]
                continue
            request, self._request = self._request, None
            self._serve(request, found[0])

    def _serve(self, request: dict[str, Any], arguments: dict[str, Any]) -> None:
        method, number = str(request.get("ServiceMethod", "")), request.get("Seq", 0)
        if any(not isinstance(arguments.get(name, blank), type(blank)) for name, blank in _BLANK.items()):
            raise GobError("arguments of other types")
        answered = False

        def reply(outcome: Result | CniError) -> None:
            nonlocal answered
            answered = True
            self._cancels.pop(number, None)
            self._reply(method, number, outcome)

        cancel = self._service.answer(method, arguments, reply)
        if not answered:
            self._cancels[number] = cancel

    def _reply(self, method: str, number: int, outcome: Result | CniError) -> None:
        if self._closed:
            return
        failed = isinstance(outcome, CniError)
        head = {"ServiceMethod": method, "Seq": number, "Error": str(outcome) if failed else ""}
        out = self._writer.write(calls.RESPONSE, head)
        if isinstance(outcome, CniError) or method not in (calls.ALLOCATE, calls.CHECK):
            out += self._writer.write(calls.NOTHING, {})
        else:
            out += self._writer.write(calls.RESULT, calls.to_wire(outcome))
        try:
            self._send(out)
        except OSError:
            self.close()

    def _send(self, data: bytes) -> None:
        """An answer is shorter than a socket's buffer; who has not read the one before is not worth waiting for."""
        if self._socket.send(data, MSG_NOSIGNAL) < len(data):
            raise BrokenPipeError

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        for cancel in list(self._cancels.values()):
            cancel()
        self._cancels.clear()
        self._ended(self)


_BLANK: dict[str, str | bytes] = {
    "ContainerID": "",
    "Netns": "",
    "IfName": "",
    "Args": "",
    "StdinData": b"",
}
